"""The measured half of `benchmarks.watching`: a daemon that watches itself in turns.

In one slice of the time everything is counted, the store is looked at and health and metrics are
asked for over HTTP, each `OFTEN` times as often as in a daemon; in the next nothing of it is done.
So a cost that is far below a busy machine's noise stands out of it. A process of its own, and
nothing but the product in it; a thread of it asks, so that what asking costs is counted too.
"""

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from benchmarks._pipeline import NullApp, _quiet
from insights.ground import logs, metrics
from insights.ground.histograms import Histogram
from insights.service.daemon import Daemon
from insights.service.health import Changes, Health
from insights.service.runner import Runner
from insights.site import files
from insights.web.health import routes
from insights.web.metrics import Page
from insights.web.server import Server, application
from insights.wiring.adapters import open_store
from insights.wiring.daemon import build
from insights.wiring.health import Readiness
from insights.wiring.measures import Measures

ROLES = ("poll", "enrich")
COUNTERS = (MetricWrapperBase, Histogram)
OFTEN = 20
SLICE_S = 1.5
PROBED_S = 10.0
SCRAPED_S = 15.0


class Nothing:
    """In place of a counter: takes what is counted, and counts nothing."""

    def labels(self, *_: object) -> "Nothing":
        """Return itself."""
        return self

    def inc(self, _amount: float = 1.0) -> None:
        """Do nothing."""

    def observe(self, *_: float) -> None:
        """Do nothing."""


class Often:
    """In place of a counter: counts `OFTEN` times what is to be counted once."""

    def __init__(self, real: Any) -> None:  # noqa: ANN401 - a counter, a summary or a histogram
        self._real = real

    def labels(self, *of: str) -> "Often":
        """Look it up `OFTEN` times."""
        for _ in range(OFTEN):
            found = self._real.labels(*of)
        return Often(found)

    def inc(self, amount: float = 1.0) -> None:
        """Count."""
        for _ in range(OFTEN):
            self._real.inc(amount)

    def observe(self, *values: float) -> None:
        """Count."""
        for _ in range(OFTEN):
            self._real.observe(*values)


class Turns:
    """Watches in one slice, and not in the next.

    Args:
        daemon: Tells how many rows it has written.
        looks: What watching does, and after how many seconds again.
    """

    def __init__(self, daemon: Daemon, looks: dict[Callable[[], object], float]) -> None:
        self._daemon = daemon
        self._looks = looks
        self._due = dict.fromkeys(looks, 0.0)
        self._failed: BaseException | None = None
        every = vars(metrics).items()
        self._real = {name: one for name, one in every if isinstance(one, COUNTERS)}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.pairs: list[list[tuple[int, float, float]]] = []
        """Watched and unwatched, side by side: rows, seconds of the processor, seconds."""

    def begin(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End, and count all of it again."""
        self._over.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                # On, off, off, on: what drifts meets both alike.
                for order in ((True, False), (False, True)):
                    found = {on: self._slice(on=on) for on in order}
                    watched, not_watched = found[True], found[False]
                    if watched and not_watched:
                        self.pairs.append([watched, not_watched])
        except BaseException as exc:  # noqa: BLE001 - it is raised again where it is waited for
            self._failed = exc

    def _slice(self, *, on: bool) -> tuple[int, float, float] | None:
        self._switch(on=on)
        rows, cpu, began = self._daemon._written, time.process_time(), time.perf_counter()  # noqa: SLF001
        for look, every in self._looks.items() if on else ():
            self._due[look] -= SLICE_S
            while self._due[look] <= 0:
                self._due[look] += every / OFTEN
                look()
        self._over.wait(max(0.0, began + SLICE_S - time.perf_counter()))
        took = time.process_time() - cpu, time.perf_counter() - began
        done = self._daemon._written - rows  # noqa: SLF001
        # The polls are over, and rows are left.
        return (done, *took) if rows and done and not self._over.is_set() else None

    def _switch(self, *, on: bool) -> None:
        for name, found in self._real.items():
            setattr(metrics, name, Often(found) if on else Nothing())


def _ask(address: str, *paths: str) -> Callable[[], None]:
    def ask() -> None:
        for path in paths:
            connection = http.client.HTTPConnection(address, timeout=30)
            connection.request("GET", path)
            connection.getresponse().read()
            connection.close()

    return ask


def main() -> None:
    """Run poll to write on what the settings in the folder name, and print the pairs."""
    found = files.load(Path(sys.argv[1]) / "insights.toml")
    logs.configure(found.log.format, found.log.level)
    with open_store(found) as store, ExitStack() as stack:
        made, runner = NullApp(found, store, stack), Runner()
        health, page = Health(runner), Page()
        readiness = Readiness(made, ROLES, runner)
        readiness.changes = Changes(health)
        health.add(readiness)
        page.read = Measures(made, health, readiness)
        server = Server("127.0.0.1:0", application([*routes(health), page.route]))
        runner.thread("http", server.turn, threading.Event(), vital=False)
        daemon = build(made, ROLES, once=True, runner=runner)
        readiness.pipeline = daemon._pipeline  # noqa: SLF001
        turns = Turns(
            daemon,
            {
                **{job.run_once: job.every_s for job in readiness.jobs},
                _ask(server.address, "/livez", "/readyz"): PROBED_S,
                _ask(server.address, "/metrics"): SCRAPED_S,
            },
        )
        turns.begin()
        daemon.run_once(_quiet)
        turns.end()
        server.close()
    print(json.dumps(turns.pairs))


if __name__ == "__main__":
    main()
