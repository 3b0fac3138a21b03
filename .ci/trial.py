"""A real forward pass of a llama.cpp build, against results that are known beforehand.

    python .ci/trial.py make FOLDER    writes tiny models and what they must answer
    python .ci/trial.py run FOLDER     tries the `llama_cpp` that Python finds; exit 0 if it passed
    python .ci/trial.py speed FOLDER   prints a JSON object: tokens a CPU second, one thread
    python .ci/trial.py variant        prints the file with the kernels that were chosen here

A build can compile and still be worthless: a compiler that emits what the processor lacks, or one
that drops stores it needs (GCC 12 and AMX), shows only when a kernel runs. `run` is meant for a
child process: it says what it is about to do before it does it, so that the parent can tell what
was running when a signal ended it.

The models have random weights. What they must answer is computed here with numpy, in 64 bits, from
the dequantized weights: RMS norm, rotary positions, grouped-query attention, SwiGLU.
"""

import ctypes
import functools
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Each weight type that README's models are made of (Q4_K_M mixes Q4_K with Q6_K), and how far from
# the reference an answer may be, as |difference| / |reference|. llama.cpp also rounds activations
# to 8 bits: a sound AVX2 build was up to 0.040 off; one wrong block of 32 in each row makes 0.3.
KINDS = ("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K")
TOLERANCE = 0.1
# Prompts of several sequences: longer and shorter than any tile, and none a multiple of all.
LENGTHS = (37, 16, 5, 1, 24)
_EPSILON, _ROPE_BASE = 1e-5, 10_000.0


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama: rows of 256 are the least that K-quants have."""

    layers: int = 2
    embedding: int = 256
    feed_forward: int = 512
    heads: int = 4
    kv_heads: int = 2
    vocabulary: int = 512

    @property
    def head(self) -> int:
        """Dimensions of one attention head."""
        return self.embedding // self.heads

    def matrices(self) -> list[tuple[str, int, int]]:
        """Return each weight's name, rows and columns."""
        kv, wide = self.head * self.kv_heads, self.embedding
        names = [("token_embd", self.vocabulary, wide)]
        for layer in range(self.layers):
            names += [
                (f"blk.{layer}.attn_q", wide, wide),
                (f"blk.{layer}.attn_k", kv, wide),
                (f"blk.{layer}.attn_v", kv, wide),
                (f"blk.{layer}.attn_output", wide, wide),
                (f"blk.{layer}.ffn_gate", self.feed_forward, wide),
                (f"blk.{layer}.ffn_up", self.feed_forward, wide),
                (f"blk.{layer}.ffn_down", wide, self.feed_forward),
            ]
        return names


SMALL = Shape()
FAST = Shape(layers=4, embedding=1_024, feed_forward=2_816, heads=16, kv_heads=4, vocabulary=4_096)


# --- models ---------------------------------------------------------------------------------------


def make(folder: Path, *, measured: bool = True) -> None:
    """Write a model of each kind, the answers wanted, and two models to measure with if asked."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        weights = _write(folder / f"{kind}.gguf", SMALL, kind, seed=1)
        answers = [_forward(SMALL, weights, tokens) for tokens in _sequences()]
        np.savez(folder / f"{kind}.npz", *answers)
    for kind in ("Q8_0", "Q4_K") if measured else ():
        _write(folder / f"fast-{kind}.gguf", FAST, kind, seed=2)
    (folder / "made").write_text("whole\n", "utf-8")


def _sequences() -> list[list[int]]:
    random = np.random.default_rng(3)
    return [list(map(int, random.integers(0, SMALL.vocabulary, n + 2))) for n in LENGTHS]


def _write(path: Path, shape: Shape, kind: str, *, seed: int) -> dict[str, Floats]:
    """Write a model with random weights; return them as llama.cpp will see them."""
    import gguf  # noqa: PLC0415 - only where models are made

    quantization = gguf.GGMLQuantizationType[kind]
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(shape.layers)
    writer.add_context_length(1_024)
    writer.add_embedding_length(shape.embedding)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(_EPSILON)
    writer.add_rope_dimension_count(shape.head)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("no_vocab")
    seen: dict[str, Floats] = {}
    for name, rows, columns in shape.matrices():
        data = _random_rows(random, kind, rows, columns)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=quantization)
        seen[name] = gguf.dequantize(data, quantization).astype(np.float64)
    norms = [f"blk.{n}.{part}_norm" for n in range(shape.layers) for part in ("attn", "ffn")]
    for name in [*norms, "output_norm"]:
        writer.add_tensor(f"{name}.weight", np.ones(shape.embedding, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return seen


def _random_rows(random: Any, kind: str, rows: int, columns: int) -> Any:  # noqa: ANN401 - as numpy
    """Return rows of a kind as bytes, of zero mean and a variance of 1 / columns."""
    import gguf  # noqa: PLC0415 - only where models are made

    quantization = gguf.GGMLQuantizationType[kind]
    if not kind.endswith("_K"):
        weights = random.standard_normal((rows, columns), np.float32) * np.float32(columns**-0.5)
        return gguf.quantize(weights, quantization)
    # gguf cannot quantize to K: random blocks are as good. ggml-common.h has their layout.
    size = gguf.GGML_QUANT_SIZES[quantization][1]
    blocks = random.integers(0, 256, (rows * columns // 256, size), np.uint8)
    scale = 1.0
    for _ in range(2):  # once to measure the spread of scale 1, once to set it
        if kind == "Q6_K":
            _put_half(blocks, size - 2, scale)
        else:
            _put_half(blocks, 0, scale)
            # The least value is taken off: half of the largest (15, 31) makes the mean zero.
            _put_half(blocks, 2, scale * (7.5 if kind == "Q4_K" else 15.5))
        spread = float(np.std(gguf.dequantize(blocks.reshape(rows, -1), quantization)))
        scale *= columns**-0.5 / spread
    return blocks.reshape(rows, -1)


def _put_half(blocks: npt.NDArray[np.uint8], at: int, value: float) -> None:
    blocks[:, at : at + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)


# --- the reference --------------------------------------------------------------------------------


def _forward(shape: Shape, weights: dict[str, Floats], tokens: list[int]) -> Floats:
    """Return the logits (tokens, vocabulary) of one sequence."""
    x = weights["token_embd"][tokens]
    cos, sin = _rotations(len(tokens), shape.head)
    group = shape.heads // shape.kv_heads
    future = np.triu(np.full((len(tokens), len(tokens)), -np.inf), 1)
    for layer in range(shape.layers):
        block = {
            part: weights[f"blk.{layer}.{part}"]
            for part in (
                "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
            )
        }  # fmt: skip
        y = _norm(x)
        q = _rotate((y @ block["attn_q"].T).reshape(len(tokens), shape.heads, -1), cos, sin)
        k = _rotate((y @ block["attn_k"].T).reshape(len(tokens), shape.kv_heads, -1), cos, sin)
        v = (y @ block["attn_v"].T).reshape(len(tokens), shape.kv_heads, -1)
        k, v = k.repeat(group, axis=1), v.repeat(group, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k) * shape.head**-0.5 + future
        chances = np.exp(scores - scores.max(-1, keepdims=True))
        chances /= chances.sum(-1, keepdims=True)
        seen = np.einsum("hqk,khd->qhd", chances, v).reshape(len(tokens), -1)
        x = x + seen @ block["attn_output"].T
        y = _norm(x)
        gate = y @ block["ffn_gate"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ block["ffn_up"].T)) @ block["ffn_down"].T
    return np.asarray(_norm(x) @ weights["token_embd"].T)


def _norm(x: Floats) -> Floats:
    return np.asarray(x / np.sqrt((x * x).mean(-1, keepdims=True) + _EPSILON))


def _rotations(length: int, head: int) -> tuple[Floats, Floats]:
    angles = np.arange(length)[:, None] * _ROPE_BASE ** (-np.arange(0, head, 2) / head)
    return np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]


def _rotate(x: Floats, cos: Floats, sin: Floats) -> Floats:
    """Rotate neighbouring pairs, as llama.cpp does for this architecture."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


# --- llama.cpp ------------------------------------------------------------------------------------


class Run:
    """One model in one context, by llama.cpp's own calls.

    Args:
        path: A model that `make` wrote.
        threads: How many compute.
        cells: Tokens that each sequence has room for.
        gpu_layers: How many layers go to a GPU, where the build has one.
        small_cache: Keep keys and values in 8 bits, which takes flash attention's kernels.
    """

    def __init__(
        self, path: Path, *, threads: int, cells: int, gpu_layers: int, small_cache: bool
    ) -> None:
        import llama_cpp  # noqa: PLC0415 - the build on trial

        self._ll: Any = llama_cpp
        self._quiet = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self._quiet, ctypes.c_void_p(0))
        _load_variants(llama_cpp)
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_default_params()
        model.n_gpu_layers = gpu_layers
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), model)
        if not self._model:
            raise SystemExit(f"llama.cpp cannot load {path.name}")
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = cells * len(LENGTHS)
        context.n_batch = context.n_ubatch = 512
        context.n_seq_max = len(LENGTHS)
        context.n_threads = context.n_threads_batch = threads
        context.kv_unified = False
        if small_cache:
            context.type_k = context.type_v = 8  # ggml.h: GGML_TYPE_Q8_0
            context.flash_attn_type = 1
        self._context = llama_cpp.llama_init_from_model(self._model, context)
        if not self._context:
            raise SystemExit(f"llama.cpp cannot make a context for {path.name}")
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._size = int(llama_cpp.llama_vocab_n_tokens(vocabulary))
        self._batch = llama_cpp.llama_batch_init(512, 0, 1)

    def decode(self, entries: list[tuple[int, int, int, bool]]) -> list[Floats]:
        """Evaluate (token, position, sequence, wanted) entries; return the wanted logits."""
        batch = self._batch
        batch.n_tokens = len(entries)
        for index, (token, position, sequence, wanted) in enumerate(entries):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = wanted
        status = self._ll.llama_decode(self._context, batch)
        if status != 0:
            raise SystemExit(f"llama_decode returned {status}")
        found = []
        for index, entry in enumerate(entries):
            if entry[3]:
                row = self._ll.llama_get_logits_ith(self._context, index)
                found.append(np.array(row[: self._size], np.float64))
        return found

    def clear(self) -> None:
        """Forget every sequence."""
        self._ll.llama_memory_clear(self._ll.llama_get_memory(self._context), False)  # noqa: FBT003 - C's signature

    def close(self) -> None:
        """Free it all."""
        self._ll.llama_batch_free(self._batch)
        self._ll.llama_free(self._context)
        self._ll.llama_model_free(self._model)


@functools.cache  # once a process: a second time crashes llama.cpp
def _load_variants(llama_cpp: Any) -> None:  # noqa: ANN401 - the module on trial
    """Load the processor's own kernels where the build keeps them in files of their own."""
    folder = Path(llama_cpp.__file__).parent / "lib"
    if any(folder.glob("libggml-cpu-*.so")):
        load = ctypes.CDLL(str(folder / "libggml.so")).ggml_backend_load_all_from_path
        load.argtypes, load.restype = [ctypes.c_char_p], None
        load(str(folder).encode())


def run(folder: Path) -> None:
    """Try every kind; leave with a message at the first that answers wrongly."""
    for kind in KINDS:
        _try(folder, kind)
    _try(folder, "Q8_0", small_cache=True)
    import llama_cpp  # noqa: PLC0415 - the build on trial

    if llama_cpp.llama_supports_gpu_offload():
        for kind in KINDS:
            _try(folder, kind, gpu_layers=99)


def _try(folder: Path, kind: str, *, gpu_layers: int = 0, small_cache: bool = False) -> None:
    where = f"{kind} on the GPU" if gpu_layers else kind
    where += " with an 8-bit cache" if small_cache else ""
    with np.load(folder / f"{kind}.npz") as answers:
        wanted = [answers[name] for name in answers.files]
    model = Run(
        folder / f"{kind}.gguf",
        threads=2,
        cells=256,
        gpu_layers=gpu_layers,
        small_cache=small_cache,
    )
    sequences = _sequences()
    _about_to(f"{where}, a prompt of {LENGTHS[0]} tokens")
    prompt = [(t, n, 0, True) for n, t in enumerate(sequences[0][: LENGTHS[0]])]
    _compare(where, model.decode(prompt), list(wanted[0][: LENGTHS[0]]))
    model.clear()
    _about_to(f"{where}, {len(LENGTHS)} prompts at once")
    prompts = [
        (token, place, number, place == length - 1)
        for number, length in enumerate(LENGTHS)
        for place, token in enumerate(sequences[number][:length])
    ]
    _compare(where, model.decode(prompts), [w[n - 1] for w, n in zip(wanted, LENGTHS, strict=True)])
    _about_to(f"{where}, one token of {len(LENGTHS)} sequences")
    step = [(sequences[s][n], n, s, True) for s, n in enumerate(LENGTHS)]
    _compare(where, model.decode(step), [w[n] for w, n in zip(wanted, LENGTHS, strict=True)])
    _about_to(f"{where}, one token of one sequence")
    last = LENGTHS[0] + 1
    _compare(where, model.decode([(sequences[0][last], last, 0, True)]), [wanted[0][last]])
    model.close()


def _about_to(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


def _compare(where: str, found: list[Floats], wanted: list[Floats]) -> None:
    for got, want in zip(found, wanted, strict=True):
        off = float(np.linalg.norm(got - want) / np.linalg.norm(want))
        if not off <= TOLERANCE:  # a NaN is off too
            raise SystemExit(
                f"{where}: the answer is {off:.2f} off, at most {TOLERANCE} is rounding"
            )


def speed(folder: Path) -> dict[str, float]:
    """Return tokens a CPU second of one thread: prompts, and five sequences writing.

    CPU seconds, not the clock's: set-up shares the machine. The best of three, as noise only slows.
    """
    rates = {}
    for kind in ("Q8_0", "Q4_K"):
        path = folder / f"fast-{kind}.gguf"
        model = Run(path, threads=1, cells=256, gpu_layers=0, small_cache=False)
        prompt = [(n % 4_000, n, 0, n == 127) for n in range(128)]
        rates[f"{kind} prompt"] = _best(model, [prompt])
        steps = [[(n, n, s, True) for s in range(len(LENGTHS))] for n in range(6)]
        rates[f"{kind} writing"] = _best(model, steps)
        model.close()
    return rates


def _best(model: Run, batches: list[list[tuple[int, int, int, bool]]]) -> float:
    best = 0.0
    for _ in range(3):
        model.clear()
        began = time.process_time()
        for batch in batches:
            model.decode(batch)
        best = max(best, sum(map(len, batches)) / (time.process_time() - began))
    return best


def variant() -> str:
    """Return the path of the file whose kernels llama.cpp chose for this processor.

    Choosing runs none of them. Empty if the build has no such files, or none that fits.
    """
    import llama_cpp  # noqa: PLC0415 - the build on trial

    quiet = llama_cpp.llama_log_callback(lambda *_: None)  # alive for as long as it is called
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    _load_variants(llama_cpp)
    maps = Path("/proc/self/maps").read_text("utf-8").splitlines()
    return next((line.split(maxsplit=5)[5] for line in maps if "/libggml-cpu-" in line), "")


def main() -> int:
    """Do what the command line says."""
    what, folder = sys.argv[1], Path(sys.argv[-1])
    if what == "variant":
        sys.stdout.write(variant() + "\n")
    elif what == "make":
        make(folder)
    elif what == "run":
        run(folder)
    else:
        sys.stdout.write(json.dumps(speed(folder)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
