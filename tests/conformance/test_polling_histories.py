"""Random histories of a legacy table, polled, swept, enriched and crashed: nothing lost or doubled.

The same machine drives every engine: SQLite as a file that is copied over its replica, MariaDB and
PostgreSQL as real pairs. The overlap is zero, so that rows which become visible late (backdated,
NULL or equal cursors) do slip past the watermark, and the sweep has to be right. A crash is an
exception between any two statements of the store, before or after a COMMIT.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from insights.enriching.lanes import Lanes
from insights.enriching.recipe import Recipe
from insights.model import GenerateRequest, Generation, ModelInfo, Sampling, Span
from insights.pipeline import Pipeline
from insights.polling.courtesy import Courtesy
from insights.polling.poller import Poller, PollResult
from insights.polling.sweeper import Sweeper
from insights.sources.client import SourceClient
from insights.steps.prompt import Template
from insights.store.deployments import Deployments
from insights.store.insights import InsightStore, Registry
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.postgres import Connection, Store
from insights.store.work import WorkQueue
from tests.legacy import Legacy, SqliteLegacy, Transaction, open_legacy, reading, stream

HISTORIES = {"sqlite": 500, "mariadb": 50, "postgres": 50}
STEPS = 14
SCHEMA = {"type": "object", "properties": {"echo": {"type": "string", "x-quote": "row.body"}}}


class Crashed(BaseException):
    """The daemon is dead: whatever it held in memory is gone, and nothing in it may catch this."""


class CrashingStore(Store):
    """Crashes before the n-th statement from now on, or right after that COMMIT."""

    fuse: int | None = None

    def burn(self) -> None:
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                raise Crashed

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as connection:
            yield _Burning(connection, self.burn)  # type: ignore[misc]  # what adapters call
        self.burn()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with super().connection() as connection:
            yield _Burning(connection, self.burn)  # type: ignore[misc]
        self.burn()


class _Burning:
    """A connection whose statements burn the fuse."""

    def __init__(self, connection: Connection, burn: Callable[[], None]) -> None:
        self._connection = connection
        self._burn = burn

    def execute(self, *args: Any, **how: Any) -> Any:  # noqa: ANN401
        self._burn()
        return self._connection.execute(*args, **how)

    def cursor(self) -> Any:  # noqa: ANN401
        self._burn()
        return self._connection.cursor()


def echo(body: str) -> Generation:
    """Return what a generator gives that quotes the whole of a row's text."""
    quote = Span(field="/echo", source="row.body", start=0, end=len(body))
    text = msgspec.json.encode({"echo": body}).decode()
    return Generation(text=text, finish="stop", model="echo", quotes=(quote,))


class Echo:
    """A generator that answers at once with the row's text, and counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def info(self) -> ModelInfo:
        raise NotImplementedError

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        body = request.row.get("body", "")
        self.asked[body] += 1
        future: Future[Generation] = Future()
        future.set_result(echo(body))
        return future


class Histories(RuleBasedStateMachine):
    """What happens to a table, and to the daemon that follows it."""

    legacy: ClassVar[Legacy]
    store: ClassVar[CrashingStore]
    source: ClassVar[SourceClient]
    tell_every: ClassVar[int] = 0  # histories; the soak says how far it is
    done: ClassVar[int] = 0

    @initialize(
        cursor=st.sampled_from(["updated_at", "updated_at", "id", None]),
        longest_s=st.sampled_from([0.01, 3600.0, 1e9]),
        nulls=st.booleans(),
    )
    def begin(self, cursor: str | None, longest_s: float, nulls: bool) -> None:  # noqa: FBT001
        self.legacy.execute("DELETE FROM ticket")
        for _ in range(2):  # nor does an older copy show what another history left
            self.legacy.sync()
        with Store.connection(self.store) as connection:
            connection.execute(
                "TRUNCATE store.stream, store.work, store.ledger, store.insight, store.outbox,"
                " store.current_insight,"
                " store.lease, store.sweep, store.pipeline, store.sink RESTART IDENTITY CASCADE"
            )
        self.rows: dict[int, str] = {}
        self.ids, self.clock, self.texts = (itertools.count(1) for _ in range(3))
        self.spec = stream(
            inputs=("body",),
            cursor=cursor,
            overlap_s=0.0,
            longest_s=longest_s,  # how far the overlap may widen; how long gaps are probed
            poll_null_cursors=nulls,
            page_rows=3,
        )
        self.late: Transaction | None = None
        self.uncommitted: dict[int, str] = {}
        self.in_order: set[int] = set()
        self.drawn: list[int] = []
        self.promised: set[int] = set()  # keys that the next whole poll finds, without any sweep
        self.restart()

    def restart(self) -> None:
        """Start a daemon with nothing in memory."""
        self.store.fuse = None
        sink, name = Registry(self.store).sink("shown"), self.spec.name
        deployments = Deployments(self.store)
        version = deployments.register(
            "echo", "0" * 64, {}, stream=name, columns=("body",), sink_id=sink, overlap_s=0.0
        ).version_id
        leases = Leases(self.store, "daemon", ttl_s=60)
        self.ledger = ledger = Ledger(self.store, self.spec.name, holder="daemon")
        parts = (self.spec, self.source, ledger, leases, Courtesy())
        self.poller, self.sweeper = Poller(*parts), Sweeper(*parts, 3600)
        self.work = WorkQueue(self.store, "daemon", [version], ttl_s=60, max_attempts=5)
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
        what = {version: recipe}, self.work, InsightStore(self.store, "daemon")
        self.pipeline = Pipeline(*what, batch=4, in_flight=8, lanes=Lanes(threads=False))

    # --- what happens to the table ---------------------------------------------------------------

    def _stamp(self, kind: str) -> str | None:
        tick = next(self.clock)
        match kind:
            case "now":
                return f"2026-01-01 00:{tick // 60:02d}:{tick % 60:02d}"
            case "equal":
                return "2026-01-01 00:00:01"
            case "backdated":
                return "2020-01-01 00:00:00"
            case "future":
                return "2099-01-01 00:00:00"
            case _:
                return None

    kinds = st.sampled_from(["now", "now", "now", "equal", "backdated", "future", "null"])

    @rule(kind=kinds, count=st.integers(1, 7))
    def insert(self, kind: str, count: int) -> None:
        for _ in range(count):
            key = next(self.ids)
            self._insert(self.legacy, self.rows, key, kind)
            if kind == "now" or (self.spec.cursor == "id" and not self.uncommitted):
                self.promised.add(key)
        self.legacy.sync()

    def _insert(
        self, where: Legacy | Transaction | None, rows: dict[int, str], key: int, kind: str
    ) -> None:
        assert where is not None
        body = f"text {next(self.texts)}"
        where.execute(
            "INSERT INTO ticket (id, body, updated_at) VALUES (?, ?, ?)",
            key,
            body,
            self._stamp(kind),
        )
        rows[key] = body

    @rule()
    def draw_an_identity(self) -> None:
        """A number is taken whose row comes later, or never."""
        self.drawn.append(next(self.ids))

    @precondition(lambda self: self.drawn)
    @rule(kind=kinds)
    def insert_under_a_drawn_identity(self, kind: str) -> None:
        key = self.drawn.pop(0)
        self._insert(self.legacy, self.rows, key, kind)
        self.legacy.sync()

    @precondition(lambda self: self.late is None)
    @rule(kind=kinds, count=st.integers(1, 3))
    def begin_a_transaction(self, kind: str, count: int) -> None:
        """Rows that are stamped now and committed any number of polls later."""
        self.late = self.legacy.begin()
        for _ in range(count if self.late else 0):
            key = next(self.ids)
            self._insert(self.late, self.uncommitted, key, kind)
            if kind == "now" or self.spec.cursor == "id":
                self.in_order.add(key)

    @precondition(lambda self: self.late is not None)
    @rule(commit=st.sampled_from([True, True, False]))
    def end_the_transaction(self, commit: bool) -> None:  # noqa: FBT001
        assert self.late is not None
        self.late.end(commit=commit)
        if commit:
            self.rows.update(self.uncommitted)
            if self.legacy.name == "postgres" and self.spec.longest_s > 1:
                self.promised.update(self.in_order)  # the watermark has waited for them
            self.legacy.sync()
        self.in_order.clear()
        self.late, self.uncommitted = None, {}

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), kind=kinds, back=st.booleans())
    def update(self, data: st.DataObject, kind: str, back: bool) -> None:  # noqa: FBT001
        key = data.draw(st.sampled_from(sorted(self.rows)[:3]))
        body = "text 0" if back else f"text {next(self.texts)}"
        self.legacy.execute(
            "UPDATE ticket SET body = ?, updated_at = ? WHERE id = ?", body, self._stamp(kind), key
        )
        self.promised.discard(key)
        self.rows[key] = body
        self.legacy.sync()

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def update_without_a_stamp(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.rows)))
        body = f"text {next(self.texts)}"
        self.legacy.execute("UPDATE ticket SET body = ? WHERE id = ?", body, key)
        self.rows[key] = body
        self.legacy.sync()

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.rows)))
        self.legacy.execute("DELETE FROM ticket WHERE id = ?", key)
        self.promised.discard(key)
        del self.rows[key]
        self.legacy.sync()

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def delete_and_insert_again(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.rows)))
        self.legacy.execute("DELETE FROM ticket WHERE id = ?", key)
        self.legacy.execute(
            "INSERT INTO ticket (id, body, updated_at) VALUES (?, ?, ?)",
            key,
            self.rows[key],
            self._stamp("now"),
        )
        self.legacy.sync()

    # --- what the daemon does, and how it dies ---------------------------------------------------

    fuses = st.one_of(st.none(), st.none(), st.integers(0, 25))

    def _living(self, fuse: int | None, act: Callable[[], object]) -> None:
        self.store.fuse = fuse
        try:
            act()
        except Crashed:
            self.restart()
        self.store.fuse = None

    @rule(fuse=fuses)
    def poll(self, fuse: int | None) -> None:
        goes_on = self.ledger.state().horizon is not None
        found: list[PollResult] = []
        self._living(fuse, lambda: found.append(self.poller.run_once()))
        whole = found and found[0].outcome in ("complete", "unchanged") and not goes_on
        if whole and self.spec.cursor is not None:
            with Store.connection(self.store) as connection:
                known = connection.execute("SELECT row_key FROM store.ledger").fetchall()
            assert self.promised <= {int(row.row_key) for row in known}
            self.promised.clear()

    @rule(fuse=fuses)
    def sweep(self, fuse: int | None) -> None:
        self._living(fuse, self.sweeper.run_once)

    @rule(fuse=fuses)
    def enrich(self, fuse: int | None) -> None:
        self._living(fuse, lambda: (self.pipeline.advance(), self.pipeline.settle(0.0)))

    @rule()
    def restart_the_daemon(self) -> None:
        self.restart()

    @rule()
    def fail_over(self) -> None:
        """The replica that answers from now on is another one, as far as the store can tell."""
        with Store.connection(self.store) as connection:
            connection.execute("UPDATE store.stream SET identity = 'another'")

    @precondition(lambda self: isinstance(self.legacy, SqliteLegacy))
    @rule()
    def see_an_older_copy(self) -> None:
        """What the replica showed before is shown again for a while, and believed by nobody."""
        assert isinstance(self.legacy, SqliteLegacy)
        self.legacy.rewind()
        self.poller.run_once()
        self.sweeper.run_once()
        self.legacy.sync()

    # --- after the history -----------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "rows"):
            return
        if self.late is not None:
            self.late.end(commit=False)
        self.restart()
        self.poller.run_once()
        # Two sweeps must agree; one that was cut off may have begun before the rows were known.
        for sweeps in range(3):
            if sweeps == 2 and not self.sweeper.unconfirmed(at_once=True):
                break
            assert self.sweeper.run_once() is not None
            self.legacy.execute("INSERT INTO heartbeat (beat) VALUES (1)")
            self.legacy.sync()
            self.poller.run_once()
        while self.pipeline.advance() or self.pipeline.held:
            self.pipeline.settle(0.0)
        with Store.connection(self.store) as connection:
            found = connection.execute(
                "SELECT row_key, output ->> 'echo' AS echo, stale FROM insights.current"
                " WHERE gone_at IS NULL"
            ).fetchall()
            open_work = connection.execute(
                "SELECT state FROM store.work WHERE state NOT IN"
                " ('done', 'superseded', 'cancelled')"
            ).fetchall()
            shown = connection.execute(
                "SELECT l.row_key FROM store.outbox o JOIN store.ledger l USING (row_id)"
                " JOIN store.current_insight c USING (row_id, insight_id)"
                " WHERE o.shows = 'current'"
            ).fetchall()
        assert open_work == []
        assert {row.row_key: row.echo for row in found} == {
            str(key): body for key, body in self.rows.items()
        }
        assert not any(row.stale for row in found)
        assert sorted(row.row_key for row in shown) == sorted(row.row_key for row in found)
        type(self).done += 1
        if self.tell_every and self.done % self.tell_every == 0:
            print(f"{self.legacy.name}: {self.done} histories", flush=True)  # noqa: T201


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("engine", HISTORIES)
def test_no_history_loses_or_doubles_a_row(
    engine: str, request: pytest.FixtureRequest, store_url: str, tmp_path: Path
) -> None:
    legacy = open_legacy(engine, request, tmp_path)
    legacy.execute(
        f"CREATE TABLE ticket (id INTEGER NOT NULL PRIMARY KEY, body VARCHAR(40),"
        f" updated_at {legacy.timestamp} NULL)"
    )
    legacy.execute("CREATE INDEX ticket_updated ON ticket (updated_at, id)")
    legacy.execute("CREATE TABLE heartbeat (beat INTEGER)")
    legacy.sync()
    store = CrashingStore(store_url).open()
    with reading(legacy.odbc) as source:
        soak = request.config.getoption("--soak")
        bound = {"legacy": legacy, "store": store, "source": source, "tell_every": 500 * soak}
        machine = type("Bound", (Histories,), bound)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=10_000 if soak else HISTORIES[engine],
                derandomize=not soak,  # CI repeats what passed here; the soak looks for more
                stateful_step_count=STEPS,
                deadline=None,
                print_blob=soak,
                # A failing history is short as it is; shrinking one takes minutes of real servers.
                phases=(Phase.explicit, Phase.reuse, Phase.generate),
                suppress_health_check=list(HealthCheck),
            ),
        )
    store.close()
