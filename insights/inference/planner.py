"""How a model is run on this machine: sizes chosen and memory counted before anything is loaded."""

import math

import msgspec

from insights import errors
from insights.inference.messages import EngineSettings, KvType, Speeds
from insights.inference.weights import Weights
from insights.model import Value

_MB = 1 << 20
KV_TYPES: tuple[KvType, ...] = ("f32", "f16", "q8_0")
_KV_BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}  # bytes a value; q8_0 has a scale per 32
_CONTEXT = 4_096  # tokens a row may take unless set: prompts here are rows and passages
_SMALLEST_CONTEXT = 512
_PARALLEL_CPU, _PARALLEL_GPU = 16, 64  # measured: benchmarks/engine.py, docs/inference.md
_SMALL = 64 * _MB  # bytes of weights below which threads wait for each other longer than they work
_BATCH = _MICRO_BATCH = 512
_PAD = 256  # llama.cpp rounds a stream's cells up to this
# Where `insights tune` measured nothing. What a pass costs on a CPU grows with its tokens in steps
# of 16, so a shorter one wastes the rest; with a small model a pass costs about the same whatever
# is in it, and steps count. With a unified cache a step's tokens are all that makes passes.
_RUN, _RUN_SMALL = 16, 2
_FEW = 2
_OVERHEAD = 1.05  # llama.cpp's own tables beside the weights, observed 2-4 %
_ALL_LAYERS = 999
# What a row costs, in tokens: measured on prompts of three passages, most of them shared.
PROMPT_TOKENS, WRITTEN_TOKENS = 160, 80


class Machine(Value, frozen=True):
    """What there is: cores, memory that may be used, and whether llama.cpp has a GPU (bytes).

    `gpu_memory_bytes` is 0 where it is not known.
    """

    cores: int
    memory_bytes: int
    gpu: bool = False
    gpu_memory_bytes: int = 0


class Plan(Value, frozen=True):
    """How the engine runs: `parallel` rows at once, each with `context` tokens; sizes in tokens.

    `run` and `few` are the batcher's: see `batcher.Batcher`. `unified` is one KV cache for all,
    as a GPU wants it: any tokens of any rows make one pass, of `micro_batch` at most. `flash` is
    flash attention; None is what llama.cpp chooses.
    """

    parallel: int
    context: int
    batch: int
    micro_batch: int
    threads: int
    kv_type: KvType
    gpu_layers: int
    run: int = _RUN
    few: int = _FEW
    unified: bool = False
    memory_bytes: int = 0
    flash: bool | None = None


def plan(
    weights: Weights,
    machine: Machine,
    settings: EngineSettings,
    *,
    tuned: Speeds | None = None,
    flash: bool | None = None,
    shrink: int = 0,
    adapters: int = 0,
) -> Plan:
    """Return a plan that fits; settings win over what was measured, and that over rules.

    `flash` is what a probe found; `shrink` halves what was chosen; `adapters` are the bytes of
    those that are loaded too.

    Raises:
        errors.ModelError: If even the smallest plan cannot fit; says what would.
    """
    wanted = _wanted(weights, machine, settings, tuned, probed=flash)
    # A model that is on the card as a whole needs the card's memory, and nearly none beside it.
    whole = machine.gpu_memory_bytes if wanted.gpu_layers >= weights.layers else 0
    budget = (settings.memory_mb or 0) * _MB or whole or machine.memory_bytes
    for attempt in range(shrink, shrink + 12):
        candidate = _smaller(wanted, settings, attempt)
        need = memory(weights, candidate) + adapters
        if need <= budget:
            return msgspec.structs.replace(candidate, memory_bytes=need)
        if candidate == _smaller(wanted, settings, attempt + 1):
            break
    least = memory(weights, candidate) + adapters
    raise errors.ModelError(
        f"does not fit: {candidate.parallel} rows of {candidate.context} tokens "
        f"({candidate.kv_type} cache) need {least // _MB} MB, {budget // _MB} MB are there",
        where=weights.path,
        fix=f"give it {math.ceil(least / _MB)} MB, or choose a smaller quantization or model "
        "(docs/inference.md has a table)",
    )


def threads_why(
    weights: Weights, made: Plan, settings: EngineSettings, tuned: Speeds | None, *, host: str
) -> str:
    """Say why a plan has the threads that it has; `host` says what the machine gives."""
    if made.gpu_layers:
        return "the GPU does the work"
    if settings.threads:
        return "as the settings say"
    if tuned is not None:
        return "as `insights tune` measured"
    if weights.file_bytes < _SMALL:
        return "the model is so small that more would wait for each other"
    return host


def memory(weights: Weights, candidate: Plan) -> int:
    """Return the bytes a plan takes: weights, KV cache of all sequences, compute buffers."""
    cache = weights.kv_bytes_per_token(_KV_BYTES[candidate.kv_type])
    # Compute buffers: logits of a micro-batch and some activations, all f32; and which cells each
    # token may see, 2 bytes on both sides.
    cells = candidate.context * (candidate.parallel if candidate.unified else 1)
    compute = candidate.micro_batch * 4 * (weights.vocabulary + 16 * weights.embedding + cells)
    return int(
        weights.file_bytes * _OVERHEAD + cache * candidate.context * candidate.parallel + compute
    )


def probes(
    weights: Weights, machine: Machine, settings: EngineSettings, tuned: Speeds | None
) -> bool:
    """Return whether flash attention is to be tried: on a processor, with nothing that says."""
    told = settings.flash is not None or (tuned is not None and tuned.flash is not None)
    kv_type = settings.kv_type or (tuned.kv_type if tuned else "f16")
    small = weights.file_bytes < _SMALL
    return not (told or small or _on_gpu(machine, settings)) and kv_type in KV_TYPES[:2]


def _on_gpu(machine: Machine, settings: EngineSettings) -> bool:
    return machine.gpu and settings.gpu_layers != 0


def _wanted(
    weights: Weights,
    machine: Machine,
    settings: EngineSettings,
    tuned: Speeds | None,
    *,
    probed: bool | None,
) -> Plan:
    on_gpu = _on_gpu(machine, settings)
    layers = settings.gpu_layers if settings.gpu_layers is not None else _ALL_LAYERS
    best = tuned or _rules(weights, machine, on_gpu=on_gpu)
    parallel = settings.parallel or best.parallel
    context = settings.context or min(_CONTEXT, weights.context or _CONTEXT)
    unified = on_gpu if settings.unified is None else settings.unified
    micro_batch = settings.micro_batch or best.micro_batch
    batch = max(settings.batch or (micro_batch if unified else _BATCH), parallel)
    small = weights.file_bytes < _SMALL
    return Plan(
        parallel=parallel,
        context=-(-context // _PAD) * _PAD,
        batch=batch,
        micro_batch=min(micro_batch, batch),
        threads=settings.threads or best.threads,
        kv_type=settings.kv_type or best.kv_type,
        gpu_layers=layers if on_gpu else 0,
        run=best.run or (_RUN_SMALL if small else _RUN),
        few=parallel if unified else _FEW,
        unified=unified,
        flash=next((f for f in (settings.flash, best.flash, probed) if f is not None), None),
    )


def _rules(weights: Weights, machine: Machine, *, on_gpu: bool) -> Speeds:
    """Return what is chosen where nothing was measured."""
    return Speeds(
        threads=1 if weights.file_bytes < _SMALL else machine.cores,
        parallel=_PARALLEL_GPU if on_gpu else _PARALLEL_CPU,
        micro_batch=_MICRO_BATCH,
        kv_type="f16",
    )


def _smaller(wanted: Plan, settings: EngineSettings, steps: int) -> Plan:
    """Halve what was chosen, `steps` times: first the rows at once, then the context."""
    parallel, context = wanted.parallel, wanted.context
    for _ in range(steps):
        if settings.parallel is None and parallel > 1:
            parallel //= 2
        elif settings.context is None:
            context = max(_SMALLEST_CONTEXT, context // 2)
    return msgspec.structs.replace(wanted, parallel=parallel, context=context)
