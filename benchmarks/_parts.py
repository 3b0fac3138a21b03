"""How `benchmarks.engine` runs its parts: each a process of its own, bounded, told as it ends."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from demo.report import machine
from insights.model import Json

BOUND_S = 600.0  # of one part, unless said otherwise
_ENDING_S = 30.0


class Parts:
    """Runs parts of a benchmark, and says on standard error what each took.

    Args:
        module: The benchmark, which takes `--part NAME ARGUMENTS`.
        bound_s: After how long a part is ended; the others go on without its figures.
        total_s: After how long all of them are over: what has not ended then is left out.
        within: Whether a part runs these itself: they end with it.
    """

    def __init__(
        self,
        module: str,
        bound_s: float = BOUND_S,
        *,
        total_s: float = math.inf,
        within: bool = False,
    ) -> None:
        self._module = module
        self._bound_s = bound_s
        self._over = time.monotonic() + total_s
        self._within = within

    def run(self, name: str, *arguments: object) -> Json | None:
        """Run one part in a fresh process; return its figures, None if it did not end in time.

        Beside its own it has `clock_s` and `cpu_s` of the whole part, loading included, its peak
        `memory_mb`, and the machine's `load` when it ended.
        """
        left_s = self._over - time.monotonic()
        if left_s <= 0:
            _tell(f"{name}: left out, the time for all parts is over; --total gives them longer")
            return None
        bound_s, option = min((self._bound_s, "--bound"), (left_s, "--total"))
        raw = [str(a) if isinstance(a, Path) else a for a in arguments]
        command = [sys.executable, "-m", self._module, "--part", name, json.dumps(raw)]
        begun = time.perf_counter()
        # A group of its own: what a part has started ends with it.
        running = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=None if self._within else 0,
        )
        try:
            out, said = running.communicate(timeout=bound_s)
        except subprocess.TimeoutExpired:
            self._end(running)
            _tell(f"{name}: ended after {bound_s:.0f} s, no figures; {option} gives it longer")
            return None
        if running.returncode:
            raise SystemExit(f"{self._module} --part {name} failed:\n{said[-2_000:]}")
        found: Json = json.loads(out.splitlines()[-1])
        found["clock_s"] = time.perf_counter() - begun
        _tell(f"{name}: {_summary(found)}")
        return found

    def _end(self, running: subprocess.Popen[str]) -> None:
        """End a part: as Ctrl-C would, so that it stops the servers that it has, else at once."""
        for how in (signal.SIGINT, signal.SIGKILL):
            if self._within:
                running.send_signal(how)
            else:
                os.killpg(running.pid, how)
            try:
                running.communicate(timeout=_ENDING_S)
            except subprocess.TimeoutExpired:
                continue
            return


def finish(found: Json) -> None:
    """Print a part's figures, in its own process, with what the process has used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found["memory_mb"] = used[0].ru_maxrss / 1024
    found["cpu_s"] = sum(one.ru_utime + one.ru_stime for one in used)
    found["load"] = os.getloadavg()[0]
    print(json.dumps(found))


def begin() -> None:
    """Say on standard error what it is measured on: processor, its flags, llama.cpp, load."""
    from insights.inference import llama
    from insights.inference.machine import features

    _tell(f"{machine()}, load {os.getloadavg()[0]:.1f}")
    _tell(f"processor: {' '.join(features())}")
    _tell(f"llama.cpp {llama.build()}: {' '.join(llama.compiled())}")


def clocks(found: Json) -> str:
    """Return a run's own time by the clock, and the part's processor time."""
    own = f"{found['took_s']:.1f} s" if "took_s" in found else "not timed"
    return f"{own}, {found['cpu_s']:.1f} s of processor time with its load"


def rate(run: Json | None) -> float | None:
    """Return a run's rows a second, None if it did not end."""
    return run["rows"] / run["took_s"] if run else None


def times(one: float | None, other: float | None) -> float | None:
    """Return how many times as fast one is as the other, None where one of them is not known."""
    return one / other if one and other else None


def short(found: float | None) -> str:
    """Return a rate as it is printed."""
    return f"{found:.2f}" if found else "not measured"


def count(run: Json | None) -> int:
    """Return how many rows a run had."""
    return run["rows"] if run else 0


def _summary(found: Json) -> str:
    rows = f"{found['rows']} rows in " if "rows" in found else ""
    whole = f"{found['clock_s']:.1f} s in all"
    return f"{rows}{clocks(found)}, {whole}; load {found['load']:.1f}"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
