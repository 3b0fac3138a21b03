"""What attention costs on this machine, with flash attention and without: tried at each start.

Which is faster depends on processor and head size: where it computes in halves (AVX512-FP16),
llama.cpp's flash attention takes at head size 64 a path that made a row's attention 1.9 times as
dear; at 128 the two are alike. So no rule of ours says which. A model of one layer is made in
memory, with the loaded model's heads and nearly nothing else: what a pass over it takes is
attention. One thread measures, by its own processor time: a busy machine changes nothing.
"""

import os
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from insights import errors
from insights.inference import llama
from insights.inference.messages import EngineSettings, Speeds
from insights.inference.planner import PROMPT_TOKENS, WRITTEN_TOKENS, Machine, Plan, probes
from insights.inference.weights import Weights
from insights.model import Value

_DEPTH, _CHUNK = 512, 256  # tokens a row has when it begins to write; those of a prompt measured
_CONTEXT = 1_024
_ROWS = 16  # that write
_ROUNDS, _MOST_S = 3, 1.0
_KV_HEADS = 2  # at most: more cost as much each
_HEAD_SIZES, _MOST_HEADS = (32, 64, 80, 96, 128, 192, 256), 16  # of a model, and beside one KV head
_WORTH = 0.9  # of what llama.cpp chooses by itself: less difference is chance
_WIDTH, _VOCABULARY = 64, 64
_F32, _F16 = 0, 1  # ggml.h: enum ggml_type
_UINT, _INT, _FLOAT, _TEXT, _ARRAY = 4, 5, 6, 8, 9  # GGUF's kinds of values
_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3  # llama.h: enum llama_token_type
_ALIGNMENT = 32


class Probe(Value, frozen=True):
    """Processor seconds that a row's attention takes, a layer; `flash` is what to choose."""

    flash_s: float
    plain_s: float

    @property
    def flash(self) -> bool:
        """Whether flash attention, which llama.cpp would take by itself, is the better way."""
        return self.plain_s > _WORTH * self.flash_s


def flash(
    weights: Weights, machine: Machine, settings: EngineSettings, tuned: Speeds | None
) -> bool | None:
    """Return whether to use flash attention; None where others say, or it cannot be tried."""
    found = attention(weights) if probes(weights, machine, settings, tuned) else None
    return found.flash if found else None


def attention(weights: Weights) -> Probe | None:
    """Measure both ways with a model's heads; None where llama.cpp does not take the small model.

    Takes one or two tenths of a second of one core, and after a second no further round.
    """
    heads, kv_heads = weights.heads // max(weights.kv_heads, 1), min(weights.kv_heads, _KV_HEADS)
    # Of other shapes llama.cpp's kernels may think what they like, with an abort.
    if weights.head_size not in _HEAD_SIZES or not 1 <= heads <= _MOST_HEADS:
        return None
    try:
        with ExitStack() as stack:
            path = stack.enter_context(_file(heads * kv_heads, kv_heads, weights.head_size))
            model = llama.Model(path)
            stack.callback(model.close)
            tried = [stack.enter_context(_trial(model, flash=flash)) for flash in (True, False)]
            trials = [_Trial(context) for context in tried]
            begun = time.perf_counter()
            for _ in range(_ROUNDS):
                for trial in trials:
                    trial.round()
                if time.perf_counter() - begun > _MOST_S:
                    break
    except (errors.InsightsError, OSError):
        return None
    return Probe(*(trial.row_s for trial in trials))


def _trial(model: llama.Model, *, flash: bool) -> llama.Context:
    plan = Plan(
        parallel=_ROWS,
        context=_CONTEXT,
        batch=_DEPTH,
        micro_batch=_DEPTH,
        threads=1,
        kv_type="f16",
        gpu_layers=0,
        flash=flash,
    )
    return llama.Context(model, plan)


class _Trial:
    """One way, and the least that it took: what is more is the machine's doing."""

    def __init__(self, context: llama.Context) -> None:
        self._context = context
        self._prompt_s = self._write_s = float("inf")
        self._read(_DEPTH - _CHUNK, 0)
        self._read(_CHUNK, _DEPTH - _CHUNK)
        for sequence in range(1, _ROWS):
            context.copy(0, sequence)
        self._write()  # which makes the copies

    @property
    def row_s(self) -> float:
        """Processor seconds of a row's prompt and output."""
        written = self._write_s / _ROWS * WRITTEN_TOKENS
        return self._prompt_s / _CHUNK * PROMPT_TOKENS + written

    def round(self) -> None:
        """Measure once more."""
        self._context.trim(0, _DEPTH - _CHUNK)
        self._prompt_s = min(self._prompt_s, self._read(_CHUNK, _DEPTH - _CHUNK))
        for sequence in range(_ROWS):
            self._context.trim(sequence, _DEPTH)
        self._write_s = min(self._write_s, self._write())

    def _read(self, tokens: int, at: int) -> float:
        places = list(range(at, at + tokens))
        return self._decode(places, [0] * tokens, [*[False] * (tokens - 1), True])

    def _write(self) -> float:
        return self._decode([_DEPTH] * _ROWS, list(range(_ROWS)), [True] * _ROWS)

    def _decode(self, places: list[int], sequences: list[int], wanted: list[bool]) -> float:
        begun = time.thread_time()
        self._context.decode([_UNKNOWN] * len(places), places, sequences, wanted)
        self._context.logits(len(places) - 1)
        return time.thread_time() - begun


@contextmanager
def _file(heads: int, kv_heads: int, head_size: int) -> Iterator[Path]:
    """Yield a path to a GGUF in memory: one layer, these heads, weights at random."""
    written = memoryview(_gguf(heads, kv_heads, head_size))
    descriptor = os.memfd_create("attention")
    try:
        while written:
            written = written[os.write(descriptor, written) :]
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _gguf(heads: int, kv_heads: int, head_size: int) -> bytes:
    """Return the file. Source of the format: ggml-org/ggml `docs/gguf.md`, version 3."""
    kinds = [_UNKNOWN, _CONTROL, _CONTROL, *[_NORMAL] * (_VOCABULARY - 3)]
    numbers = {
        "block_count": 1,
        "context_length": _CONTEXT,
        "embedding_length": _WIDTH,
        "feed_forward_length": _WIDTH,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.key_length": head_size,
        "attention.value_length": head_size,
        "rope.dimension_count": head_size,
        "vocab_size": _VOCABULARY,
    }
    keys = [
        _key("general.architecture", _TEXT, _text("llama")),
        *(_key(f"llama.{name}", _UINT, struct.pack("<I", n)) for name, n in numbers.items()),
        _key("llama.attention.layer_norm_rms_epsilon", _FLOAT, struct.pack("<f", 1e-5)),
        _key("tokenizer.ggml.model", _TEXT, _text("llama")),
        _list("tokens", _TEXT, [_text(f"t{n}") for n in range(_VOCABULARY)]),
        _list("scores", _FLOAT, [struct.pack("<f", 0.0)] * _VOCABULARY),
        _list("token_type", _INT, [struct.pack("<i", kind) for kind in kinds]),
    ]
    q, kv = heads * head_size, kv_heads * head_size
    matrices = {
        "token_embd": (_VOCABULARY, _WIDTH),
        "blk.0.attn_q": (q, _WIDTH),
        "blk.0.attn_k": (kv, _WIDTH),
        "blk.0.attn_v": (kv, _WIDTH),
        "blk.0.attn_output": (_WIDTH, q),
        **{f"blk.0.ffn_{part}": (_WIDTH, _WIDTH) for part in ("gate", "up", "down")},
    }
    random = np.random.default_rng(0)
    tensors: list[tuple[str, int, tuple[int, ...], bytes]] = [
        (f"{name}.weight", _F32, (_WIDTH,), np.ones(_WIDTH, np.float32).tobytes())
        for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")
    ]
    for name, (rows, columns) in matrices.items():
        made = random.standard_normal(rows * columns, np.float32) * np.float32(columns**-0.5)
        raw = made.astype(np.float16).tobytes()
        tensors.append((f"{name}.weight", _F16, (columns, rows), raw))
    infos, data = b"", b""
    for name, kind, sizes, raw in tensors:
        form = f"<I{len(sizes)}QIQ"
        infos += _text(name) + struct.pack(form, len(sizes), *sizes, kind, len(data))
        data += raw + bytes(-len(raw) % _ALIGNMENT)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(keys)) + b"".join(keys) + infos
    return head + bytes(-len(head) % _ALIGNMENT) + data


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _key(name: str, kind: int, value: bytes) -> bytes:
    return _text(name) + struct.pack("<I", kind) + value


def _list(name: str, kind: int, values: list[bytes]) -> bytes:
    head = struct.pack("<IQ", kind, len(values))
    return _key(f"tokenizer.ggml.{name}", _ARRAY, head + b"".join(values))
