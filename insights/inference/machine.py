"""What this machine has: cores and memory that this process may use."""

import os
import platform
from pathlib import Path

from insights.inference import cores
from insights.inference.planner import Machine

_CGROUP = Path("/sys/fs/cgroup")
_MATTERS = ("amx", "asimd", "avx", "bmi2", "f16c", "fma", "sse4_2", "ssse3", "sve")
_RESERVE = 0.8  # of what is available: the rest is for everything else on the machine
_GPU_RESERVE = 0.95  # of what is free on a card, which is seldom shared


def name() -> str:
    """Return what tells this machine from others to somebody who measures: processor and cores."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def features() -> tuple[str, ...]:
    """Return the instruction sets of this processor that llama.cpp has code for."""
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith(("flags", "Features")):
            return tuple(word for word in line.split() if word.startswith(_MATTERS))
    return ()


def measure(*, gpu: bool, gpu_memory: int = 0) -> Machine:
    """Return the cores that we are allowed and usable memory in bytes, that of GPUs too."""
    available = _available()
    limit = _words(_CGROUP / "memory.max")
    used = _words(_CGROUP / "memory.current")
    if limit and used and limit[0] != "max":
        available = min(available, int(limit[0]) - int(used[0]))
    return Machine(
        cores=cores.share().threads,
        memory_bytes=int(available * _RESERVE),
        gpu=gpu,
        gpu_memory_bytes=int(gpu_memory * _GPU_RESERVE),
    )


def _available() -> int:
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _words(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").split()
    except OSError:
        return []
