"""How a model is run on this machine: sizes chosen and memory counted before anything is loaded."""

import math

import msgspec

from insights import errors
from insights.inference.messages import EngineSettings, KvType
from insights.inference.weights import Weights
from insights.model import Value

KV_TYPES: tuple[KvType, ...] = ("f32", "f16", "q8_0")
_KV_BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}  # bytes a value; q8_0 has a scale per 32
_CONTEXT = 4_096  # tokens a row may take unless set: prompts here are rows and passages
_SMALLEST_CONTEXT = 512
_PARALLEL_CPU, _PARALLEL_GPU = 8, 64  # measured: benchmarks/engine.py, docs/inference.md
_KEEPERS = 2  # sequences that only keep prefixes
_BATCH_CPU, _BATCH_GPU = 512, 2_048
_OVERHEAD = 1.05  # llama.cpp's own tables beside the weights, observed 2-4 %
_ALL_LAYERS = 999
_MB = 1 << 20


class Machine(Value, frozen=True):
    """What there is: cores, memory that may be used, and whether llama.cpp has a GPU (bytes)."""

    cores: int
    memory_bytes: int
    gpu: bool = False
    gpu_memory_bytes: int = 0


class Plan(Value, frozen=True):
    """How the engine runs. `sequences` = `parallel` rows + keepers of prefixes; sizes in tokens."""

    parallel: int
    keepers: int
    context: int
    batch: int
    micro_batch: int
    threads: int
    threads_batch: int
    kv_type: KvType
    gpu_layers: int
    memory_bytes: int

    @property
    def sequences(self) -> int:
        """Streams of the KV cache."""
        return self.parallel + self.keepers


def plan(weights: Weights, machine: Machine, settings: EngineSettings, *, shrink: int = 0) -> Plan:
    """Return a plan that fits; settings win over choices, `shrink` halves what was chosen.

    Raises:
        errors.ModelError: If even the smallest plan cannot fit; says what would.
    """
    wanted = _wanted(weights, machine, settings)
    budget = (settings.memory_mb * _MB if settings.memory_mb else 0) or machine.memory_bytes
    for attempt in range(shrink, shrink + 12):
        candidate = _smaller(wanted, settings, attempt)
        need = memory(weights, candidate)
        if need <= budget:
            return _with_memory(candidate, need)
        if candidate == _smaller(wanted, settings, attempt + 1):
            break
    least = memory(weights, candidate)
    raise errors.ModelError(
        f"does not fit: {candidate.parallel} sequences of {candidate.context} tokens "
        f"({candidate.kv_type} cache) need {least // _MB} MB, {budget // _MB} MB are there",
        where=weights.path,
        fix=f"give it {math.ceil(least / _MB)} MB, or choose a smaller quantization or model "
        "(docs/inference.md has a table)",
    )


def memory(weights: Weights, candidate: Plan) -> int:
    """Return the bytes a plan takes: weights, KV cache of all sequences, compute buffers."""
    cache = weights.kv_bytes_per_token(_KV_BYTES[candidate.kv_type])
    # Compute buffers: logits of a micro-batch and some activations, all f32.
    compute = candidate.micro_batch * 4 * (weights.vocabulary + 16 * weights.embedding)
    return int(
        weights.file_bytes * _OVERHEAD + cache * candidate.context * candidate.sequences + compute
    )


def _wanted(weights: Weights, machine: Machine, settings: EngineSettings) -> Plan:
    on_gpu = machine.gpu and settings.gpu_layers != 0
    parallel = settings.parallel or (_PARALLEL_GPU if on_gpu else _PARALLEL_CPU)
    context = settings.context or min(_CONTEXT, weights.context or _CONTEXT)
    batch = settings.batch or (_BATCH_GPU if on_gpu else _BATCH_CPU)
    threads = settings.threads or max(1, machine.cores)
    return Plan(
        parallel=parallel,
        keepers=_KEEPERS,
        context=-(-context // 256) * 256,  # llama.cpp pads streams to 256
        batch=max(batch, parallel),
        micro_batch=min(settings.micro_batch or min(batch, 512), batch),
        threads=threads,
        threads_batch=threads,
        kv_type=settings.kv_type or "f16",
        gpu_layers=_ALL_LAYERS
        if settings.gpu_layers is None and on_gpu
        else settings.gpu_layers or 0,
        memory_bytes=0,
    )


def _smaller(wanted: Plan, settings: EngineSettings, steps: int) -> Plan:
    """Halve what was chosen, `steps` times: first the rows at once, then the context."""
    parallel, context, keepers = wanted.parallel, wanted.context, wanted.keepers
    for _ in range(steps):
        if settings.parallel is None and parallel > 1:
            parallel = parallel // 2
        elif settings.context is None and context > _SMALLEST_CONTEXT:
            context = max(_SMALLEST_CONTEXT, context // 2)
        else:
            keepers = 0
    return Plan(
        parallel=parallel,
        keepers=keepers,
        context=context,
        batch=wanted.batch,
        micro_batch=wanted.micro_batch,
        threads=wanted.threads,
        threads_batch=wanted.threads_batch,
        kv_type=wanted.kv_type,
        gpu_layers=wanted.gpu_layers,
        memory_bytes=0,
    )


def _with_memory(candidate: Plan, need: int) -> Plan:
    return msgspec.structs.replace(candidate, memory_bytes=need)
