"""Random histories of rows that the application marks: told once, after the sink shows them.

The same on every engine: the application marks rows (again), the replica follows when it likes, the
daemon changes the marks on the primary. A crash is an exception between any two statements of the
store, before or after a COMMIT, or before or after the statements on the primary. Histories are
drawn from seeds, all of one length: hypothesis, which leaves out some rules of each history, drew
few in which a row was marked, told, replicated, marked and seen again. `make soak` draws others.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from insights import errors
from insights.enriching.lanes import Lanes
from insights.enriching.recipe import Recipe
from insights.model import (
    GenerateRequest,
    Generation,
    MarkChange,
    MarkSpec,
    ModelInfo,
    Outcome,
    Sampling,
    SinkResult,
    SinkState,
    Told,
)
from insights.pipeline import Pipeline
from insights.polling.courtesy import Courtesy
from insights.polling.poller import Poller
from insights.polling.requests import AppliedMarks
from insights.publishing.marks import Acknowledging
from insights.publishing.sinks import Publishing
from insights.sinks.marks import MarkTable
from insights.sources.client import SourceClient
from insights.steps.prompt import Template
from insights.store.deployments import Deployments
from insights.store.insights import InsightStore, Registry
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.outbox import SinkOutbox
from insights.store.postgres import Store
from insights.store.requests import StreamRequests
from insights.store.work import WorkQueue
from tests.conformance.test_polling_histories import SCHEMA, Crashed, CrashingStore, echo
from tests.legacy import Legacy, open_legacy, reading, stream

HISTORIES = {"sqlite": 150, "mariadb": 15, "postgres": 15}
STEPS = 30
WEIGHTS = {
    "insert": 1,
    "change": 2,
    "mark": 3,
    "replicate": 4,
    "restart": 1,
    "poll": 4,
    "enrich": 3,
    "publish": 3,
    "acknowledge": 3,
    "round": 2,
}
BAD = "bad"  # a text that ends as a dead letter
MARKS = MarkSpec(
    stream="tickets",
    source="primary",
    table="ticket",
    key=("id",),
    acknowledge=MarkChange(column="ai_status", old="pending", new="done"),
    reject=MarkChange(column="ai_status", old="pending", new="failed"),
)


class Echo:
    """A generator that answers at once with the row's text, or cannot."""

    def info(self) -> ModelInfo:
        raise NotImplementedError

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        body = request.row.get("body", "")
        future: Future[Generation] = Future()
        if body == BAD:
            future.set_exception(errors.RowError("cannot be done"))
        else:
            future.set_result(echo(body))
        return future


class Shown:
    """A sink in memory, which survives the daemon."""

    def __init__(self) -> None:
        self.rows: dict[str, SinkState] = {}

    def apply(self, states: Sequence[SinkState]) -> list[SinkResult]:
        for state in states:
            held = self.rows.get(state.row_key)
            if held is None or held.revision < state.revision:
                self.rows[state.row_key] = state
        return [SinkResult(row_id=state.row_id, revision=state.revision) for state in states]

    def max_revision(self) -> int:
        return max((state.revision for state in self.rows.values()), default=0)


class CrashingMarks:
    """The marks on the primary: the daemon may die before or after their COMMIT.

    No row is acknowledged before the sink shows its current insight.
    """

    def __init__(self, marks: MarkTable, store: CrashingStore, shown: Shown) -> None:
        self._marks, self._store, self._shown = marks, store, shown

    def tell(self, outcomes: Sequence[Outcome]) -> tuple[list[Told], str | None]:
        self._store.burn()
        for outcome in outcomes:
            if outcome.verb == "acknowledge":
                assert self._shown.rows[outcome.row_key].shows == "current"
        told = self._marks.tell(outcomes)
        self._store.burn()
        return told


class History:
    """What the application marks, and what the daemon makes of it.

    Args:
        seed: What everything is drawn from.
        legacy: The application's database.
        store: The daemon's.
        source: The reader on the replica.
        primary: The marks on the primary.
    """

    def __init__(
        self,
        seed: int,
        legacy: Legacy,
        store: CrashingStore,
        source: SourceClient,
        primary: MarkTable,
    ) -> None:
        self.draw = random.Random(seed)
        self.legacy, self.store, self.source, self.primary = legacy, store, source, primary
        self.legacy.execute("DELETE FROM ticket")
        self.legacy.sync()
        with Store.connection(self.store) as connection:
            connection.execute(
                "TRUNCATE store.stream, store.work, store.ledger, store.insight, store.outbox,"
                " store.current_insight,"
                " store.request, store.lease, store.sweep, store.pipeline, store.sink"
                " RESTART IDENTITY CASCADE"
            )
        self.regenerate = seed % 2 == 0
        self.bodies: dict[int, str] = {}
        self.marked: Counter[int] = Counter()
        self.texts = itertools.count(1)
        self.shown = Shown()
        self.spec = stream(inputs=("body",), pending="ai_status = 'pending'", page_rows=3)
        for _ in range(3):
            self._insert("new")
        self.restart()

    def run(self) -> None:
        """Live through the history, and check what is left of it."""
        for what in self.draw.choices(list(WEIGHTS), list(WEIGHTS.values()), k=STEPS):
            match what:
                case "insert" | "change" | "mark":
                    self.application(what)
                case "replicate":
                    self.legacy.sync()
                case "restart":
                    self.restart()
                case _:
                    self.daemon(what)
        self.check()

    def restart(self) -> None:
        """Start a daemon with nothing in memory."""
        store, name = self.store, self.spec.name
        store.fuse = None
        registered = Deployments(store).register(
            "echo",
            "0" * 64,
            {},
            stream=name,
            columns=self.spec.inputs,
            sink_id=Registry(store).sink("shown"),
            overlap_s=self.spec.overlap_s,
        )
        version = registered.version_id
        leases = Leases(store, "daemon", ttl_s=60)
        ledger = Ledger(
            store,
            name,
            holder="daemon",
            swept=False,
            remark="regenerate" if self.regenerate else "publish",
        )
        requests = StreamRequests(store, leases, name, verbs=tuple(MARKS.changes), holder="daemon")
        passage = AppliedMarks(self.spec, self.source, ledger, requests, Courtesy())
        self.poller = Poller(self.spec, self.source, ledger, leases, Courtesy(), passage)
        self.publishing = Publishing("shown", self.shown, SinkOutbox(store, leases, "shown"))
        marks = CrashingMarks(self.primary, store, self.shown)
        self.acknowledging = Acknowledging(name, marks, requests)
        self.work = WorkQueue(store, "daemon", [version], ttl_s=60, max_attempts=5)
        self.work.adopt()
        self.work.expire()
        recipe = Recipe(
            name="echo",
            stream=self.spec,
            source=self.source,
            generator=Echo(),
            template=Template("{{ row.body }}"),
            output_schema=SCHEMA,
            abstain=(),
            sampling=Sampling(),
            cut=(),
            retriever=None,
            query_columns=("body",),
            deadline_s=60,
            version_id=version,
        )
        insights = InsightStore(store, "daemon")
        self.pipeline = Pipeline(
            {version: recipe},
            self.work,
            insights,
            batch=4,
            in_flight=8,
            lanes=Lanes(threads=False),
        )

    # --- what the application does --------------------------------------------------------------

    def application(self, what: str) -> None:
        kind = self.draw.choice(["new", "new", "new", "old", "bad"])
        if what == "insert":
            self._insert(kind)
            return
        key = self.draw.randint(1, 3)
        if what == "change":
            self.bodies[key] = self._text(kind)
        self.marked[key] += 1
        self.legacy.execute(
            "UPDATE ticket SET body = ?, ai_status = 'pending' WHERE id = ?", self.bodies[key], key
        )

    def _text(self, kind: str) -> str:
        return {"old": "text 0", "bad": BAD}.get(kind) or f"text {next(self.texts)}"

    def _insert(self, kind: str) -> None:
        key = len(self.bodies) + 1
        self.bodies[key] = self._text(kind)
        self.marked[key] += 1
        self.legacy.execute(
            "INSERT INTO ticket (id, body, ai_status) VALUES (?, ?, 'pending')",
            key,
            self.bodies[key],
        )

    # --- what the daemon does, and how it dies --------------------------------------------------

    def daemon(self, what: str) -> None:
        self.store.fuse = self.draw.choice([None, None, None, self.draw.randint(0, 25)])
        verbs: dict[str, Callable[[], object]] = {
            "poll": self.poller.run_once,
            "enrich": lambda: (self.pipeline.advance(), self.pipeline.settle(0.0)),
            "publish": self.publishing.publish,
            "acknowledge": self.acknowledging.run_once,
        }
        try:
            for name, act in verbs.items():
                if what in (name, "round"):
                    act()
        except Crashed:
            self.restart()
        self.store.fuse = None

    # --- after the history ------------------------------------------------------------------------

    def check(self) -> None:
        self.restart()
        for _ in range(4):  # done, told, passed; done and told again
            self.legacy.execute("INSERT INTO heartbeat (beat) VALUES (1)")
            self.legacy.sync()
            self.poller.run_once()
            while self.pipeline.advance() or self.pipeline.held:
                self.pipeline.settle(0.0)
            while self.publishing.run_once() or self.acknowledging.run_once():
                pass
        good = {str(key): body for key, body in self.bodies.items() if body != BAD}
        with Store.connection(self.store) as connection:
            found = connection.execute(
                "SELECT row_key, output ->> 'echo' AS echo, insight_id, stale FROM insights.current"
            ).fetchall()
            made = connection.execute(
                "SELECT row_key, count(*) AS made FROM insights.history GROUP BY 1"
            ).fetchall()
            asked = connection.execute("SELECT * FROM insights.request").fetchall()
            dead = connection.execute(
                "SELECT l.row_key FROM store.work w JOIN store.ledger l USING (row_id, input_hash)"
                " WHERE w.state = 'dead'"
            ).fetchall()
        current = {row.row_key: row for row in found if not row.stale}
        assert {key: row.echo for key, row in current.items()} == good
        assert {row.row_key for row in dead} == {str(key) for key in self.bodies} - good.keys()
        for key, row in current.items():  # shown as it is
            state = self.shown.rows[key]
            assert (state.shows, state.insight_id) == ("current", row.insight_id)
        left = self.source.page(self.spec, None, by="key")
        assert left.rows == 0, "rows are still marked"
        assert all(row.state != "open" and row.passed for row in asked)
        for row in asked:  # a mark that was seen twice was told once
            assert row.requests <= self.marked[int(row.row_key)]
        for row in made:
            assert row.made <= self.marked[int(row.row_key)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", HISTORIES)
def test_no_history_loses_a_mark_or_tells_it_twice(
    engine: str, request: pytest.FixtureRequest, store_url: str, tmp_path: Path
) -> None:
    legacy = open_legacy(engine, request, tmp_path)
    legacy.execute(
        "CREATE TABLE ticket (id INTEGER NOT NULL PRIMARY KEY, body VARCHAR(40),"
        " ai_status VARCHAR(9))"
    )
    legacy.execute("CREATE TABLE heartbeat (beat INTEGER)")
    legacy.sync()
    store = CrashingStore(store_url)
    store.open()
    primary = MarkTable(MARKS, legacy.primary_odbc, timeout_s=20)
    soak = request.config.getoption("--soak")
    with reading(legacy.odbc) as source:
        for number in range(10_000 if soak else HISTORIES[engine]):
            seed = random.SystemRandom().getrandbits(32) if soak else number
            try:
                History(seed, legacy, store, source, primary).run()
            except Exception as exc:
                exc.add_note(f"the history of seed {seed}")
                raise
    primary.close()
    store.close()
