"""How many cores this process really gets: what it is allowed, and what others leave it.

Threads of llama.cpp wait for each other after every layer, spinning: with more threads than cores
that are free, the slowest decides, and the others burn what it would need. On a host of two cores
that were both busy, two threads took 90 s for what one did in 26.

Allowed is the least of affinity, physical cores (two hardware threads of one share its arithmetic)
and the quota of every cgroup above us. What others leave is measured while we work, from
/proc/stat: the idle time of our cores and the processor time that we had ourselves. Time that the
hypervisor stole, and time of others, is neither.
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

_PROC, _SYS = Path("/proc"), Path("/sys")
_LOOK_S = 1.0  # seconds between two measurements: /proc/stat counts hundredths
_ROUND = 0.35  # of a core: what is nearly there counts, as idle cores are never idle whole


class Share(NamedTuple):
    """What we are given of the machine's processors; `quota` is in cores, infinite without one."""

    processors: int
    cores: int
    quota: float

    @property
    def threads(self) -> int:
        """How many threads can run at once at best; at least 1."""
        return max(1, int(min(self.cores, self.quota)))

    def __str__(self) -> str:
        """Say it to people."""
        said = f"{self.processors} processors are ours"
        if self.cores < self.processors:
            said += f", on {self.cores} cores"
        quota = f", the cgroup's quota is {self.quota:g}"
        return said if self.quota == float("inf") else said + quota


def share(proc: Path = _PROC, sys: Path = _SYS, cpus: Iterable[int] | None = None) -> Share:
    """Return what affinity, cores and the quotas of our cgroups give us."""
    mine = set(os.sched_getaffinity(0) if cpus is None else cpus)
    return Share(len(mine), len({_core(sys, cpu) for cpu in mine}), _quota(proc, sys))


def _core(sys: Path, cpu: int) -> str:
    text = _read(sys / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return text.strip() or str(cpu)


def _quota(proc: Path, sys: Path) -> float:
    """Return the smallest quota of our cgroups and those above them, in cores."""
    least = float("inf")
    for line in _read(proc / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = sys / "fs/cgroup" / ("cpu" if controllers else "")
        folder = root / path.lstrip("/")
        for at in (folder, *folder.parents):
            least = min(least, _quota_of(at))
            if at == root:
                break
    return least


def _quota_of(folder: Path) -> float:
    words = _read(folder / "cpu.max").split() or [
        _read(folder / "cpu.cfs_quota_us").strip(),
        _read(folder / "cpu.cfs_period_us").strip(),
    ]
    try:
        quota, period = int(words[0]), int(words[1])
    except (ValueError, IndexError):  # "max", or no such file
        return float("inf")
    return quota / period if quota > 0 and period > 0 else float("inf")


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""


class Gauge:
    """What others leave us, between two looks.

    Args:
        most: Threads at best.
        proc: Where `stat` is.
        cpus: Ours.
        own_s: Processor seconds that this process has had.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        most: int,
        *,
        proc: Path = _PROC,
        cpus: Iterable[int] | None = None,
        own_s: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._stat = proc / "stat"
        mine = os.sched_getaffinity(0) if cpus is None else cpus
        self._names = {f"cpu{cpu}" for cpu in mine}
        self._own_s, self._clock = own_s, clock
        self._hertz = os.sysconf("SC_CLK_TCK")
        self.threads = most
        """How many threads fit now."""
        self._at, self._idle, self._own = clock(), self._idle_s(), own_s()

    def says(self) -> str:
        """Say that others leave us less, where they do."""
        return f"; others leave us {self.threads} now" if self.threads < self._most else ""

    def look(self) -> bool:
        """Measure if it is time; tell whether another number of threads fits than before."""
        now = self._clock()
        if self._most == 1 or now - self._at < _LOOK_S:
            return False
        idle, own = self._idle_s(), self._own_s()
        if idle is None or self._idle is None:
            return False
        cores = (idle - self._idle + own - self._own) / (now - self._at)
        self._at, self._idle, self._own = now, idle, own
        before = self.threads
        self.threads = max(1, min(self._most, int(cores + _ROUND)))
        return self.threads != before

    def _idle_s(self) -> float | None:
        found = None
        for line in _read(self._stat).splitlines():
            name, *ticks = line.split()
            if name in self._names:
                found = (found or 0.0) + (int(ticks[3]) + int(ticks[4])) / self._hertz
        return found
