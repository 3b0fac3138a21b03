"""LoRA adapters for tests: of random numbers, and trained with PEFT on a real small model."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Pair = tuple[Array, Array]
"""The halves of one adapter's matrix: (rank, inputs) and (outputs, rank) float32."""

_RANK, ALPHA = 8, 16.0
_TARGETS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_down")


def write(
    path: Path, pairs: Mapping[str, Pair], *, alpha: float, keys: Mapping[str, str] | None = None
) -> str:
    """Write a GGUF adapter as llama.cpp's convert_lora_to_gguf.py does; return its SHA-256.

    Args:
        path: Where to.
        pairs: By the name of the model's tensor, such as `blk.0.attn_q.weight`.
        alpha: PEFT's `lora_alpha`: what is added has the weight alpha / rank.
        keys: Metadata that differ from a right adapter's; an empty one is left out.
    """
    given = {"general.type": "adapter", "adapter.type": "lora", "general.name": path.stem}
    given |= keys or {}
    writer = gguf.GGUFWriter(path, given.pop("general.architecture", "llama"))
    for name, value in given.items():
        if value:
            writer.add_string(name, value)
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, (a, b) in pairs.items():
        writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(a, np.float32))
        writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(b, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def random_pairs(base: Path, *, seed: int, rank: int = 4, strength: float = 1.0) -> dict[str, Pair]:
    """Return random halves for the attention and the second feed-forward matrix of each layer."""
    draw = np.random.default_rng(seed)
    pairs = {}
    for tensor in gguf.GGUFReader(base).tensors:
        if tensor.name.split(".")[-2] in _TARGETS:
            inputs, outputs = (int(size) for size in tensor.shape)
            a = draw.standard_normal((rank, inputs), np.float32) / np.float32(inputs**0.5)
            b = draw.standard_normal((outputs, rank), np.float32) * np.float32(strength)
            pairs[tensor.name] = (a, b)
    return pairs


def network(base: Path) -> Any:  # noqa: ANN401 - transformers is loaded only here
    """Return a Llama of a GGUF file as transformers runs it, its weights dequantized.

    Rotary positions go over halves there and over neighbours in llama.cpp: rows of q and k stand in
    another order (convert_hf_to_gguf.py, `permute`).
    """
    import torch  # noqa: PLC0415 - seconds to load
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    file = gguf.GGUFReader(base)

    def number(name: str) -> Any:  # noqa: ANN401
        return file.fields[f"llama.{name}"].contents()

    heads, shared = number("attention.head_count"), number("attention.head_count_kv")
    config = LlamaConfig(
        vocab_size=int(file.tensors[0].shape[1]),
        hidden_size=number("embedding_length"),
        intermediate_size=number("feed_forward_length"),
        num_hidden_layers=number("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=shared,
        rms_norm_eps=number("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": number("rope.freq_base")},
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        made = LlamaForCausalLM(config)
    weights = {}
    for tensor in file.tensors:
        value = gguf.dequantize(tensor.data, tensor.tensor_type)
        if ".attn_q." in tensor.name or ".attn_k." in tensor.name:
            value = _halves(value, heads if ".attn_q." in tensor.name else shared)
        weights[_NAMES.get(tensor.name) or _peft_name(tensor.name)] = torch.from_numpy(value.copy())
    made.load_state_dict(weights, strict=False, assign=True)
    made.tie_weights()
    made.model.rotary_emb = type(made.model.rotary_emb)(config)
    return made


def train(
    base: Path, examples: Sequence[tuple[list[int], list[int]]], *, steps: int, rate: float
) -> tuple[dict[str, Pair], list[float]]:
    """Train a LoRA adapter with PEFT; return its halves in llama.cpp's order, and the losses.

    Args:
        base: The model's GGUF file.
        examples: Tokens of prompts and of what shall follow each.
        steps: Each sees four examples.
        rate: Learning rate.
    """
    import torch  # noqa: PLC0415
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415

    torch.manual_seed(0)
    torch.set_num_threads(1)  # two that wait for each other on a busy machine took twice the time
    whole = network(base)
    config = whole.config
    wanted = LoraConfig(
        r=_RANK, lora_alpha=ALPHA, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]
    )
    model = get_peft_model(whole, wanted)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    losses = []
    for step in range(steps):
        batch = [examples[(4 * step + at) % len(examples)] for at in range(4)]
        size = max(len(prompt) + len(output) for prompt, output in batch)
        ids = torch.zeros((len(batch), size), dtype=torch.long)
        labels = torch.full((len(batch), size), -100)
        for at, (prompt, output) in enumerate(batch):
            tokens = torch.tensor([*prompt, *output])
            ids[at, : len(tokens)] = tokens
            labels[at, len(prompt) : len(tokens)] = tokens[len(prompt) :]
        loss = model(input_ids=ids, labels=labels).loss  # padding stands after all that counts
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    state = {
        name.removeprefix("base_model.model."): value.detach().numpy()
        for name, value in model.state_dict().items()
        if ".lora_" in name
    }
    return dict(_pairs(state, config.num_attention_heads, config.num_key_value_heads)), losses


_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
}
_PARTS = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _peft_name(name: str) -> str:
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{_PARTS[part]}.weight"


def _pairs(state: Mapping[str, Array], heads: int, shared: int) -> Iterable[tuple[str, Pair]]:
    parts = {there: here for here, there in _PARTS.items()}
    for name, a in state.items():
        if ".lora_A." not in name:
            continue
        b = state[name.replace(".lora_A.", ".lora_B.")]
        _, _, layer, *rest = name.partition(".lora_A.")[0].split(".")
        part = parts[".".join(rest)]
        if part in ("attn_q", "attn_k"):
            b = _neighbours(b, heads if part == "attn_q" else shared)
        yield f"blk.{layer}.{part}.weight", (a, b)


def _halves(rows: Array, heads: int) -> Array:
    """Put the rows of each head from llama.cpp's order into that of transformers."""
    return rows.reshape(heads, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def _neighbours(rows: Array, heads: int) -> Array:
    """The other way round."""
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)
