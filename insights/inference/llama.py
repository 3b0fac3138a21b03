"""The only door to llama.cpp: load, tokenize, decode, sequence memory, logits.

One thread may use a `Context`; three threads on one hang llama.cpp (docs/inference.md). A `Model`'s
tokenizer is safe from any thread. Nothing here forks: a fork after the load hangs.
"""

import ctypes
import functools
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import llama_cpp as ll
import llama_cpp._ggml as ggml
import numpy as np
import numpy.typing as npt

from insights import errors
from insights.inference.planner import KV_TYPES, Plan
from insights.model import Adapter

Logits = npt.NDArray[np.float32]

# ggml.h: enum ggml_type, for the KV cache.
_GGML_TYPES = {"f32": 0, "f16": 1, "q8_0": 8}
# llama.h: enum llama_token_attr.
_CONTROL, _USER_DEFINED = 1 << 3, 1 << 4
_LOG_ERROR = 4
_FLASH_AUTO, _FLASH_OFF, _FLASH_ON = -1, 0, 1  # llama.h: enum llama_flash_attn_type
_NO_KV_SLOT, _ABORTED = 1, 2
# ggml-backend.h: enum ggml_backend_dev_type.
CPU, GPU = 0, 1

_last_error: list[str] = []


@ll.llama_log_callback  # type: ignore[untyped-decorator]
def _keep_errors(level: int, text: bytes, _user: object) -> None:
    """Keep llama.cpp's last error lines for our own messages; drop its chatter."""
    if level == _LOG_ERROR:
        _last_error.append(text.decode("utf-8", "replace").strip())
        del _last_error[:-5]


def _reason() -> str:
    return "; ".join(line for line in _last_error if line) or "llama.cpp gave no reason"


class Model:
    """Loaded weights and their vocabulary.

    Args:
        path: The GGUF file, already checked by `weights.ModelFile`.
        gpu_layers: How many layers to keep on the GPU; ignored by a build without one.
        name: What messages call it; None takes the path.

    Raises:
        errors.ModelError: If llama.cpp refuses the file (its load returns NULL).
    """

    def __init__(self, path: Path, *, gpu_layers: int = 0, name: Path | None = None) -> None:
        _last_error.clear()
        ll.llama_log_set(_keep_errors, ctypes.c_void_p(0))
        load_variants()
        ll.llama_backend_init()
        params = ll.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        self.pointer: Any = ll.llama_model_load_from_file(str(path).encode(), params)
        if not self.pointer:
            raise errors.ModelError(
                f"llama.cpp cannot load it ({_reason()})",
                where=str(name or path),
                fix="check that this llama.cpp knows the architecture and that memory suffices",
            )
        self.vocab: Any = ll.llama_model_get_vocab(self.pointer)
        self.size = int(ll.llama_vocab_n_tokens(self.vocab))
        self.adds_bos = bool(ll.llama_vocab_get_add_bos(self.vocab))
        self.bos = int(ll.llama_vocab_bos(self.vocab))
        self.eos = int(ll.llama_vocab_eos(self.vocab))
        self.ends = frozenset(t for t in range(self.size) if ll.llama_vocab_is_eog(self.vocab, t))
        self.user_defined = self._texts(_USER_DEFINED)
        template = ll.llama_model_chat_template(self.pointer, None)
        self.chat_template = template.decode() if template else ""
        self.trained_context = int(ll.llama_model_n_ctx_train(self.pointer))
        self.description = _text(ll.llama_model_desc, self.pointer)
        self.adapters: dict[str, Any] = {}

    def add_adapter(self, sha256: str, path: Path, *, name: str) -> None:
        """Load a LoRA adapter beside the weights; it is freed with them.

        A context reserves its graph for the adapters that were there when it was made.

        Args:
            sha256: What contexts know it by.
            path: The GGUF file, already checked by `adapters.check`.
            name: What messages call it.

        Raises:
            errors.AdapterError: If llama.cpp refuses it.
        """
        _last_error.clear()
        pointer = ll.llama_adapter_lora_init(self.pointer, str(path).encode())
        if not pointer:
            raise errors.AdapterError(
                f"llama.cpp cannot load this adapter ({_reason()})",
                where=name,
                fix="convert it again for exactly this model, or take [adapter] out",
            )
        self.adapters[sha256] = pointer

    def is_control(self, text: str) -> bool:
        """Return whether a text is one token, and no ordinary one."""
        tokens = self.tokenize(text, special=True)
        kinds = _CONTROL | _USER_DEFINED
        return len(tokens) == 1 and bool(ll.llama_vocab_get_attr(self.vocab, tokens[0]) & kinds)

    def _texts(self, kind: int) -> dict[str, int]:
        """Return the texts of all tokens of one kind."""
        kinds = (ll.llama_vocab_get_attr(self.vocab, token) for token in range(self.size))
        return {
            self.piece(token, special=True).decode("utf-8", "replace"): token
            for token, found in enumerate(kinds)
            if found & kind
        }

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens of a text; control tokens in it are only recognised if `special`."""
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        while True:
            out = (ll.llama_token * room)()
            count = int(ll.llama_tokenize(self.vocab, raw, len(raw), out, room, False, special))  # noqa: FBT003 - C's signature
            if count >= 0:
                return list(out[:count])
            room = -count

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Return a token's bytes; a control token's are empty unless `special`."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = int(ll.llama_token_to_piece(self.vocab, token, buffer, size, 0, special))
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def close(self) -> None:
        """Free the weights; any context on them must be closed before."""
        if self.pointer:
            ll.llama_model_free(self.pointer)
            self.pointer = None


class Context:
    """The KV cache of all sequences, and one batch.

    Each sequence has a stream of its own, unless the plan is `unified`: then attention costs grow
    with all sequences together (16 were slower than one on a CPU), and passes do not split
    (docs/inference.md).

    Args:
        model: The loaded model.
        plan: Sizes and threads.

    Raises:
        errors.ModelError: If llama.cpp cannot make the context, which mostly means memory.
    """

    def __init__(self, model: Model, plan: Plan) -> None:
        _last_error.clear()
        params = ll.llama_context_default_params()
        params.n_ctx = plan.context * plan.parallel
        params.n_batch = plan.batch
        params.n_ubatch = plan.micro_batch
        params.n_seq_max = plan.parallel
        params.n_threads = plan.threads
        params.n_threads_batch = plan.threads
        params.kv_unified = plan.unified
        params.type_k = params.type_v = _GGML_TYPES[plan.kv_type]
        # A cache in 8 bits has no other kernels; for models that have none of it AUTO goes without.
        params.flash_attn_type = _FLASH_OFF if plan.flash is False else _FLASH_AUTO
        if plan.kv_type not in KV_TYPES[:2]:
            params.flash_attn_type = _FLASH_ON
        params.no_perf = True
        self.pointer: Any = ll.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise errors.ModelError(
                f"llama.cpp cannot make a context of {plan.parallel} sequences of {plan.context} "
                f"tokens ({_reason()})",
                fix="lower model.parallel or model.context, or set model.kv_type to q8_0",
            )
        # Of a unified cache llama.cpp would let one row take all.
        self.sequence_tokens = min(int(ll.llama_n_ctx_seq(self.pointer)), plan.context)
        self._memory: Any = ll.llama_get_memory(self.pointer)
        self._adapters = model.adapters
        self._vocabulary = model.size
        self._token = np.zeros(plan.batch, np.int32)
        self._pos = np.zeros(plan.batch, np.int32)
        self._count = np.ones(plan.batch, np.int32)
        self._seq = np.zeros(plan.batch, np.int32)
        self._seq_pointers = (self._seq.ctypes.data + 4 * np.arange(plan.batch)).astype(np.uintp)
        self._wanted = np.zeros(plan.batch, np.int8)
        self._batch = ll.llama_batch(
            n_tokens=0,
            token=self._token.ctypes.data_as(ctypes.POINTER(ll.llama_token)),
            embd=None,
            pos=self._pos.ctypes.data_as(ctypes.POINTER(ll.llama_pos)),
            n_seq_id=self._count.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            seq_id=self._seq_pointers.ctypes.data_as(
                ctypes.POINTER(ctypes.POINTER(ll.llama_seq_id))
            ),
            logits=self._wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def decode(
        self, tokens: list[int], positions: list[int], sequences: list[int], wanted: list[bool]
    ) -> None:
        """Evaluate one batch; logits are kept for the entries that are `wanted`.

        Raises:
            errors.Overloaded: If the KV cache has no room left for it.
            errors.ModelError: If llama.cpp failed; the context's contents are then unknown.
        """
        count = len(tokens)
        self._token[:count] = tokens
        self._pos[:count] = positions
        self._seq[:count] = sequences
        self._wanted[:count] = wanted
        self._batch.n_tokens = count
        status = int(ll.llama_decode(self.pointer, self._batch))
        if status == _NO_KV_SLOT:
            raise errors.Overloaded("the KV cache has no room for the batch")
        if status != 0:
            raise errors.ModelError(f"llama_decode failed with {status} ({_reason()})")

    def adapt(self, adapter: Adapter | None) -> None:
        """Evaluate under an adapter from the next batch on; None: as the model is by itself.

        What the sequences hold stays what it was evaluated under.

        Raises:
            errors.ModelError: If llama.cpp refuses.
        """
        count = 0 if adapter is None else 1
        pointers = (ll.llama_adapter_lora_p_ctypes * 1)()
        scales = (ctypes.c_float * 1)()
        if adapter is not None:
            pointers[0], scales[0] = self._adapters[adapter.sha256], adapter.scale
        if ll.llama_set_adapters_lora(self.pointer, pointers, count, scales) != 0:
            raise errors.ModelError(f"llama.cpp takes no adapter ({_reason()})")

    def use(self, threads: int) -> None:
        """Work with so many threads from the next batch on."""
        ll.llama_set_n_threads(self.pointer, threads, threads)

    def logits(self, index: int) -> Logits:
        """Return the logits (vocabulary,) of the batch's entry `index`; valid until `decode`."""
        pointer = ll.llama_get_logits_ith(self.pointer, index)
        address = ctypes.addressof(pointer.contents)
        array = (ctypes.c_float * self._vocabulary).from_address(address)
        return np.ctypeslib.as_array(array)

    def trim(self, sequence: int, length: int) -> bool:
        """Forget all but the first `length` tokens; False if this model's memory cannot."""
        return bool(ll.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def clear(self) -> None:
        """Forget everything, the numbers too: a NaN counts even where attention is 0."""
        ll.llama_memory_clear(self._memory, True)  # noqa: FBT003 - C's signature

    def copy(self, source: int, target: int) -> None:
        """Make `target` a copy of the whole of `source` (streams cannot copy a part)."""
        ll.llama_memory_seq_rm(self._memory, target, -1, -1)
        ll.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def close(self) -> None:
        """Free the KV cache."""
        if self.pointer:
            ll.llama_free(self.pointer)
            self.pointer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@functools.cache  # once a process, as llama.cpp registers what it loads, and crashes at twice
def load_variants() -> None:
    """Load the processor's own kernels, where the build keeps them in files of their own.

    Such a build (GGML_BACKEND_DL, docs/install.md) has no processor at all before this; llama.cpp
    takes of its variants the best that the processor has. Any other build is left as it is.
    """
    folder = Path(ll.__file__).parent / "lib"
    if not any(folder.glob("libggml-cpu-*.so")):
        return
    ll.llama_log_set(_keep_errors, ctypes.c_void_p(0))
    load = ctypes.CDLL(str(folder / "libggml.so")).ggml_backend_load_all_from_path
    load.argtypes, load.restype = [ctypes.c_char_p], None
    load(str(folder).encode())


def gpu() -> bool:
    """Return whether this build of llama.cpp can use a GPU."""
    load_variants()
    return bool(ll.llama_supports_gpu_offload())


def free_memory(kind: int = GPU) -> int:
    """Return the free bytes of all devices of a kind; layers are spread over all GPUs."""
    load_variants()
    library, total = ggml.libggml, 0
    library.ggml_backend_dev_count.restype = ctypes.c_size_t
    library.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    library.ggml_backend_dev_get.restype = ctypes.c_void_p
    for number in range(library.ggml_backend_dev_count()):
        device = ctypes.c_void_p(library.ggml_backend_dev_get(number))
        if library.ggml_backend_dev_type(device) == kind:
            free, whole = ctypes.c_size_t(), ctypes.c_size_t()
            library.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(whole))
            total += free.value
    return total


def version() -> str:
    """Return the version of llama-cpp-python."""
    return str(ll.__version__)


def compiled() -> tuple[str, ...]:
    """Return the instruction sets that llama.cpp was compiled for, by its own names."""
    load_variants()
    said = ll.llama_print_system_info().decode("utf-8", "replace")
    pairs = (part.rpartition(":")[2].partition("=") for part in said.split("|"))
    return tuple(name.strip() for name, _, value in pairs if value.strip() == "1")


def build() -> str:
    """Return what tells this build of llama.cpp from others."""
    return f"{ll.__version__} {'gpu' if gpu() else 'cpu'}"


def quantize(source: Path, target: Path, ftype: int, *, threads: int = 2) -> None:
    """Write a quantized copy of a model; `ftype` is llama.h's llama_ftype (15 is Q4_K_M).

    Raises:
        errors.ModelError: If llama.cpp refuses.
    """
    ll.llama_log_set(_keep_errors, ctypes.c_void_p(0))
    load_variants()
    params = ll.llama_model_quantize_default_params()
    params.ftype = ftype
    params.nthread = threads
    if ll.llama_model_quantize(str(source).encode(), str(target).encode(), params) != 0:
        raise errors.ModelError(f"llama.cpp cannot quantize it ({_reason()})", where=str(source))


def _text(function: Any, pointer: Any) -> str:  # noqa: ANN401 - ctypes
    buffer = ctypes.create_string_buffer(256)
    function(pointer, buffer, len(buffer))
    return buffer.value.decode("utf-8", "replace")
