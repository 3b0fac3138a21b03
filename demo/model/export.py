"""Export to GGUF, Q8_0: a file that llama.cpp and everything built on it reads."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tokenizers import Tokenizer

from demo.model.network import Network
from demo.model.words import CHAT_TEMPLATE, CONTROLS, END

_NORMAL, _CONTROL = 1, 3  # llama.h: enum llama_token_type
_NAMES = {
    "attention_norm": "attn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "out": "attn_output",
    "forward_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def export(network: Network, tokenizer: Tokenizer, path: Path) -> Path:
    """Write the network and its tokenizer; input and output share one table."""
    shape = network.shape
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("helpdesk-triage")
    writer.add_description("Triage of helpdesk tickets by choosing and quoting; for the demo only")
    writer.add_license("Apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([_CONTROL if token in CONTROLS else _NORMAL for token in tokens])
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    )
    writer.add_eos_token_id(tokens.index(END))
    writer.add_pad_token_id(tokens.index(CONTROLS[0]))
    writer.add_add_bos_token(False)  # noqa: FBT003 - gguf's signature
    writer.add_chat_template(CHAT_TEMPLATE)
    _add(writer, "token_embd.weight", network.table().detach().float().numpy())
    _add(writer, "output_norm.weight", network.norm.weight.detach().numpy())
    for name, weight in network.blocks.named_parameters():
        layer, part, _ = name.split(".")
        _add(writer, f"blk.{layer}.{_NAMES[part]}.weight", weight.detach().numpy())
    path.parent.mkdir(parents=True, exist_ok=True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: Any, name: str, weight: np.ndarray[Any, np.dtype[np.float32]]) -> None:  # noqa: ANN401 - gguf has no types
    if weight.ndim == 1:
        writer.add_tensor(name, weight)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)
