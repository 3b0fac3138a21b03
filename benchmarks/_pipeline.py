"""The measured half of `benchmarks.pipeline`: the daemon's own wiring with a null generator.

With `bare` after the folder nothing is written to the audit; with `passages` every row is given
three of twenty, in place of a search, and answered with the text of one of them.

A process of its own, and nothing but the product in it: its peak memory is the supervisor's.
"""

import itertools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks._tickets import PASSAGES, drawn, passage
from insights.enriching.recipe import Recipe
from insights.ground import logs
from insights.model import GenerateRequest, Generation, ModelInfo, Passage
from insights.pipeline import Pipeline
from insights.polling.poller import Poller
from insights.polling.sweeper import Sweeper
from insights.service.daemon import Progress
from insights.site import definitions, files
from insights.store import audit
from insights.wiring import app, enriching
from insights.wiring.adapters import open_store
from insights.wiring.daemon import build

STAGES = ("claim", "read", "retrieve", "generate", "validate", "write")
LENGTH = 320  # characters of each passage
HEAVY = ("pyodbc", "torch", "llama_cpp")
MB = 1e6


class NullGenerator:
    """Answers at once, with a category or, where it is shown passages, words of the first one."""

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

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        """Return a finished generation."""
        shown = [s.text for m in request.messages for s in m.segments if len(s.text) == LENGTH]
        cause = {"cause": shown[0]} if shown else {}
        text = json.dumps({"category": "a", **cause})
        future: Future[Generation] = Future()
        future.set_result(Generation(text=text, finish="stop", model="null"))
        return future


class Drawn:
    """Gives rows the passages that were drawn for them, in the order in which they come."""

    def __init__(self) -> None:
        self._chosen = itertools.cycle(drawn(1_000))
        self._texts = [passage(number)[:LENGTH] for number in range(PASSAGES)]

    def retrieve(
        self, queries: Sequence[str], filters: Sequence[Mapping[str, str]] | None = None
    ) -> list[tuple[Passage, ...]]:
        """Return three passages for each query."""
        del filters
        return [
            tuple(
                Passage(passage_id=n, number=at, uri=f"p{n}", title="", text=self._texts[n])
                for at, n in enumerate(next(self._chosen), start=1)
            )
            for _ in queries
        ]


def _draw(bound: Any) -> Any:  # noqa: ANN401 - a builder of the product's
    def recipe(made: app.App, name: str) -> Recipe:
        found: Recipe = bound(made, name)
        return msgspec.structs.replace(found, retriever=Drawn(), query_columns=("title",))

    return recipe


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
    if "passages" in sys.argv[2:]:
        enriching.recipe = _draw(enriching.recipe)
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
