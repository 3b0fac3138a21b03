"""What the end of a generator means: too little memory, or a llama.cpp that this CPU cannot run."""

import signal
import sys

from insights import errors
from insights.inference.messages import Built
from insights.workers.child import End
from insights.workers.process import Worker

OUT_OF_MEMORY = 71  # EX_OSERR of sysexits(3): how the child leaves after a MemoryError
_ASK_S = 30.0

# llama.cpp's names of instruction sets, and the processor flag that each needs.
_NEEDS = {
    "AMX_INT8": "amx_int8", "AVX": "avx", "AVX2": "avx2", "AVX512": "avx512f",
    "AVX512_BF16": "avx512_bf16", "AVX512_VBMI": "avx512vbmi", "AVX512_VNNI": "avx512_vnni",
    "AVX_VNNI": "avx_vnni", "BMI2": "bmi2", "F16C": "f16c", "FMA": "fma", "SSSE3": "ssse3",
}  # fmt: skip


def for_memory(end: End) -> bool:
    """Return whether the kernel killed it, or it left, for want of memory.

    A SIGKILL that is not ours is the kernel's: nobody else sends one.
    """
    return (end.status == -signal.SIGKILL and not end.ours) or end.status == OUT_OF_MEMORY


def illegal(end: End) -> bool:
    """Return whether it met an instruction that this processor does not run."""
    return end.status == -signal.SIGILL


def explained(name: str, path: str, end: End, said: str) -> errors.GeneratorBroken:
    """Return the one error of a generator that cannot work here: what died, of what, and the fix.

    Args:
        name: What logs call the child.
        path: The GGUF file.
        end: How the child ended.
        said: What is known besides.
    """
    if for_memory(end):
        return errors.GeneratorBroken(
            f"{name} was killed for its memory before it had made one token, with the smallest "
            "plan too; no row is to blame",
            where=path,
            fix="give it more memory, set model.memory_mb, or choose a smaller model",
        )
    how = said.removeprefix(name).strip() if end.ours else end.how
    built = _ask()
    return errors.GeneratorBroken(
        f"{name} {how} before it had made one token; no row is to blame. {_compared(built)}",
        where=path,
        fix=rebuild(built.version),
    )


def rebuild(version: str) -> str:
    """Return the command that compiles llama.cpp for what every x86-64 server of ten years has."""
    wanted = f"llama-cpp-python=={version}" if version else "llama-cpp-python"
    return (
        'CMAKE_ARGS="-DGGML_NATIVE=OFF" '
        f"{sys.executable} -m pip install --force-reinstall --no-deps --no-cache-dir "
        f"--no-binary llama-cpp-python {wanted}"
    )


def _compared(built: Built) -> str:
    if not built.version:
        return "llama.cpp cannot even be loaded on this machine"
    lacking = [n for n in built.compiled if n in _NEEDS and _NEEDS[n] not in built.cpu]
    said = (
        f"llama.cpp {built.version} was compiled for {', '.join(built.compiled) or 'nothing'}; "
        f"this CPU has {', '.join(built.cpu) or 'none of it'}"
    )
    return f"{said} and lacks {', '.join(lacking)}" if lacking else said


def _ask() -> Built:
    worker = Worker("insights.inference.built", Built(), name="build of llama.cpp")
    try:
        return worker.call("built", None, Built, deadline_s=_ASK_S)
    except errors.InsightsError:
        return Built()
    finally:
        worker.close(0.0)
