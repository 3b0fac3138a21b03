"""The measured half of `benchmarks.pipeline`: the daemon's own wiring with a null generator.

With `bare` after the folder nothing is written to the audit.

A process of its own, and nothing but the product in it: its peak memory is the supervisor's.
"""

import json
import sys
import time
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from insights.ground import logs
from insights.model import GenerateRequest, Generation, ModelInfo
from insights.pipeline import Pipeline
from insights.polling.poller import Poller
from insights.polling.sweeper import Sweeper
from insights.service.daemon import Progress
from insights.site import definitions, files
from insights.store import audit
from insights.wiring import app
from insights.wiring.adapters import open_store
from insights.wiring.daemon import build

STAGES = ("claim", "read", "retrieve", "generate", "validate", "write")
HEAVY = ("pyodbc", "torch", "llama_cpp")
MB = 1e6


class NullGenerator:
    """Answers at once."""

    def info(self) -> ModelInfo:
        """Return a model that is none."""
        return ModelInfo(
            name="null",
            sha256="0" * 64,
            chat_template_sha256="0" * 64,
            context=4096,
            parallel=64,
            device="none",
        )

    def submit(self, request: GenerateRequest) -> Future[Generation]:  # noqa: ARG002
        """Return a finished generation."""
        future: Future[Generation] = Future()
        future.set_result(Generation(text='{"category":"a"}', finish="stop", model="null"))
        return future


class NullApp(app.App):
    """The daemon's wiring with a generator that costs nothing."""

    def generator(self, name: str) -> NullGenerator:  # noqa: ARG002
        """Return the null generator, whatever the model."""
        return NullGenerator()


def main() -> None:
    """Run poll to write on what the settings in the folder name, and print what it cost."""
    found = files.load(Path(sys.argv[1]) / "insights.toml")
    logs.configure(found.log.format, found.log.level)
    if "bare" in sys.argv[2:]:
        audit.append = _no_audit
    spent = dict.fromkeys(("poll", "sweep", *STAGES), 0.0)
    _time(Poller, "run_once", "poll", spent)
    _time(Sweeper, "run_once", "sweep", spent)
    for stage in STAGES:
        _time(Pipeline, stage, stage, spent)
    with open_store(found) as store, ExitStack() as stack:
        made = NullApp(found, store, stack)
        daemon = build(made, ("poll", "enrich"), once=True)
        # The reader is there and has redacted a row: what starts once is no row's cost.
        made.source("erp").fetch(definitions.read(found, "category").stream, ["1"])
        started = _spent()
        began = time.perf_counter()
        daemon.run_once(_quiet)
        result = {
            "wall_s": time.perf_counter() - began,
            "cpu_s": {name: spent - started[name] for name, spent in _spent().items()},
            "stages_s": spent,
            "processes": _processes(),
            "heavy": [name for name in HEAVY if name in sys.modules],
        }
    print(json.dumps(result))


def _no_audit(connection: object, actor: str, events: object) -> None:
    del connection, actor, events


def _quiet(at: Progress) -> None:
    del at


def _time(cls: type, method: str, stage: str, spent: dict[str, float]) -> None:
    """Count the seconds that a method takes."""
    call: Any = getattr(cls, method)

    def timed(*args: object) -> object:
        began = time.perf_counter()
        try:
            return call(*args)
        finally:
            spent[stage] += time.perf_counter() - began

    setattr(cls, method, timed)


def _spent() -> dict[str, float]:
    """Return the processor seconds, so far, of this process and its children."""
    return {name: cost["cpu_s"] for name, cost in _processes().items()}


def _processes() -> dict[str, dict[str, float]]:
    """Return peak resident memory and processor time, so far, of this process and its children."""
    cost = {}
    me = psutil.Process()
    for process in (me, *me.children()):
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        command = process.cmdline()
        name = command[command.index("-m") + 1].removeprefix("insights.")
        times = process.cpu_times()
        cost["supervisor" if process == me else name] = {
            "peak_mb": int(peak.split()[1]) * 1024 / MB,
            "cpu_s": times.user + times.system,
        }
    return cost


if __name__ == "__main__":
    main()
