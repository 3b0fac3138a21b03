"""A GGUF of any shape with random weights, for tests and for measuring.

A tiny one (about 1 MB) takes a second; `SHAPES` has real ones too. What it generates is arbitrary,
within the schema: it promises no more.
"""

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_NORMAL, _CONTROL_TYPE = 1, 3  # llama.h: enum llama_token_type


@dataclass(frozen=True)
class Shape:
    """A Llama-architecture model: sizes as in its GGUF metadata, without control tokens."""

    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int = 8_192


SHAPES = {
    "tiny": Shape(2, 64, 128, 4, 2, 1_024),
    "0.4b": Shape(24, 1_024, 4_096, 16, 4, 50_000),
    "8b": Shape(32, 4_096, 14_336, 32, 8, 128_000),
}


def build(
    path: Path,
    shape: Shape = SHAPES["tiny"],
    *,
    vocabulary: Path | None = None,
    chat_template: str = CHAT_TEMPLATE,
) -> Path:
    """Write the model, the same bytes each time, and return its path.

    Args:
        path: Where to write; parents are made.
        shape: Its sizes. Weights are F32 in a tiny model, F16 above 64 dimensions.
        vocabulary: A GGUF to take a byte-level BPE vocabulary from; otherwise one is trained on the
            standard library's text, up to the shape's size.
        chat_template: What the file says of itself; this or one that writes the same.
    """
    import gguf  # noqa: PLC0415 - an extra

    tokens, merges = _from_gguf(vocabulary) if vocabulary else _train(shape.vocabulary)
    tokens = [token for token in tokens if token not in _CONTROL]
    ids = len(tokens)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("stand-in with random weights")
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.embedding // shape.heads)
    writer.add_vocab_size(ids + len(_CONTROL))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*tokens, *_CONTROL])
    writer.add_token_types([_NORMAL] * ids + [_CONTROL_TYPE] * len(_CONTROL))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ids)
    writer.add_eos_token_id(ids + 2)
    writer.add_add_bos_token(False)  # noqa: FBT003 - gguf's signature
    writer.add_chat_template(chat_template)
    _add_weights(writer, shape, ids + len(_CONTROL))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_weights(writer: Any, shape: Shape, vocabulary: int) -> None:  # noqa: ANN401 - gguf is untyped
    random = np.random.default_rng(0)
    kind = np.float32 if shape.embedding <= 64 else np.float16

    def add(name: str, rows: int, columns: int) -> None:
        scale = np.float32(columns**-0.5)
        weights = random.standard_normal((rows, columns), np.float32) * scale
        writer.add_tensor(name, weights.astype(kind))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(shape.embedding, np.float32))

    kv = shape.embedding // shape.heads * shape.kv_heads
    add("token_embd.weight", vocabulary, shape.embedding)
    ones("output_norm.weight")
    for layer in range(shape.layers):
        ones(f"blk.{layer}.attn_norm.weight")
        ones(f"blk.{layer}.ffn_norm.weight")
        add(f"blk.{layer}.attn_q.weight", shape.embedding, shape.embedding)
        add(f"blk.{layer}.attn_k.weight", kv, shape.embedding)
        add(f"blk.{layer}.attn_v.weight", kv, shape.embedding)
        add(f"blk.{layer}.attn_output.weight", shape.embedding, shape.embedding)
        add(f"blk.{layer}.ffn_gate.weight", shape.feed_forward, shape.embedding)
        add(f"blk.{layer}.ffn_up.weight", shape.feed_forward, shape.embedding)
        add(f"blk.{layer}.ffn_down.weight", shape.embedding, shape.feed_forward)


def _train(size: int) -> tuple[list[str], list[str]]:
    """Train a byte-level BPE on the standard library's own source, which every machine has."""
    from tokenizers import (  # noqa: PLC0415 - an extra
        Tokenizer,
        models,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator(_corpus(size), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    return tokens, [" ".join(merge) for merge in model["merges"]]


def _corpus(size: int) -> list[str]:
    library = Path(inspect.getfile(inspect)).parent
    files = sorted(library.glob("*.py"))[: max(4, size // 250)]
    return [file.read_text("utf-8", "replace") for file in files]


def _from_gguf(path: Path) -> tuple[list[str], list[str]]:
    import gguf  # noqa: PLC0415 - an extra

    fields = gguf.GGUFReader(path).fields
    return fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.merges"].contents()
