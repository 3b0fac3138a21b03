"""Who pays for a failure: the poison row alone, never its neighbours, and nobody for an outage."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from psycopg.conninfo import make_conninfo
from structlog.testing import capture_logs

from insights import errors
from insights.enriching.lanes import Lanes
from insights.enriching.recipe import Recipe
from insights.model import GenerateRequest, Generation, ModelInfo, Row, Sampling, Share, StreamSpec
from insights.pipeline import Pipeline
from insights.polling.courtesy import Courtesy
from insights.polling.sweeper import Sweeper
from insights.sources.client import SourceClient
from insights.steps.prompt import Template
from insights.store.deployments import Deployments
from insights.store.insights import InsightStore
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.postgres import Store
from insights.store.work import WorkQueue
from tests.legacy import open_legacy, reading, stream

ROWS = 12


class Fragile:
    """A generator that dies, with all that is in flight, when it sees the poison."""

    proved = True  # as the local generator's child, which finishes one generation at its start

    def __init__(self, poison: str = "", outages: int = 0, too_large: str = "") -> None:
        self._poison = poison
        self._too_large = too_large
        self.flight: list[tuple[str, Future[Generation]]] = []
        self._outages = outages

    def info(self) -> ModelInfo:
        raise NotImplementedError

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        future: Future[Generation] = Future()
        self.flight.append((request.row["body"], future))
        return future

    def work(self) -> None:
        flight, self.flight = self.flight, []
        died = any(body == self._poison for body, _ in flight)
        outage, self._outages = self._outages > 0, self._outages - 1
        for body, future in flight:
            if died:
                future.set_exception(errors.WorkerDied("died of signal 6"))
            elif outage:
                future.set_exception(errors.ProviderUnavailable("is down"))
            else:
                text = msgspec.json.encode({"echo": body}).decode()
                tokens = 2**40 if body == self._too_large else 7
                made = Generation(text=text, finish="stop", model="fragile", sampled_tokens=tokens)
                future.set_result(made)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url).open()
    yield store
    store.close()


@contextmanager
def _site(
    store: Store, request: pytest.FixtureRequest, folder: Path, generator: Fragile
) -> Iterator[Pipeline]:
    legacy = open_legacy("sqlite", request, folder)
    legacy.execute("CREATE TABLE ticket (id INTEGER NOT NULL PRIMARY KEY, body VARCHAR(40))")
    for key in range(ROWS):
        legacy.execute("INSERT INTO ticket VALUES (?, ?)", key, f"text {key}")
    legacy.sync()
    spec = stream(inputs=("body",))
    registered = Deployments(store).register(
        "fragile", "0" * 64, {}, stream=spec.name, columns=spec.inputs
    )
    version = registered.version_id
    leases = Leases(store, "daemon", ttl_s=60)
    ledger = Ledger(store, spec.name, holder="daemon")
    work = WorkQueue(store, "daemon", [version], ttl_s=60, max_attempts=3)
    with reading(legacy.odbc) as source:
        Sweeper(spec, source, ledger, leases, Courtesy(), 3600).run_once()
        recipe = Recipe(
            name="fragile",
            stream=spec,
            source=source,
            generator=generator,
            template=Template("{{ row.body }}"),
            output_schema={
                "type": "object",
                "properties": {"echo": {"type": "string", "x-quote": "row.body"}},
            },
            abstain=(),
            sampling=Sampling(),
            cut=(),
            retriever=None,
            query_columns=(),
            deadline_s=60,
            version_id=version,
        )
        insights = InsightStore(store, "daemon")
        yield Pipeline(
            {version: recipe},
            work,
            insights,
            batch=4,
            in_flight=8,
            lanes=Lanes(threads=False),
            clock=count(step=61.0).__next__,  # no pause is waited for
        )


def _run(
    store: Store, request: pytest.FixtureRequest, folder: Path, generator: Fragile, rounds: int
) -> None:
    with _site(store, request, folder, generator) as pipeline:
        for _ in range(rounds):
            with store.connection() as connection:  # the pauses between attempts are not waited for
                connection.execute("UPDATE store.work SET not_before = now()")
            pipeline.advance()
            generator.work()
            while pipeline.settle(0.0) or pipeline.held:
                pass


def test_a_row_whose_lease_was_lost_is_cancelled_and_never_written(
    store: Store, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    generator = Fragile()
    with _site(store, request, tmp_path, generator) as pipeline:
        pipeline.advance()
        futures = [future for _, future in generator.flight]
        assert len(futures) == 4
        with store.connection() as connection:
            connection.execute(
                "UPDATE store.work SET state = 'superseded', lease_token = NULL,"
                " lease_until = NULL, finished_at = now() WHERE work_id ="
                " (SELECT min(work_id) FROM store.work WHERE state = 'claimed')"
            )
        pipeline.extend()
        assert [future.cancelled() for future in futures].count(True) == 1
        assert pipeline.held == 3
        generator.flight = [pair for pair in generator.flight if not pair[1].cancelled()]
        generator.work()
        while pipeline.held:
            pipeline.settle(0.0)
        assert pipeline.give_back_all() == 0
        pipeline.advance()
        assert pipeline.give_back_all() == 4  # as a stop does whose time to drain has passed
        assert all(future.cancelled() for _, future in generator.flight)
    states = [state for state, _ in _states(store).values()]
    assert (states.count("done"), states.count("superseded")) == (3, 1)


def _states(store: Store) -> dict[str, tuple[str, int]]:
    with store.connection() as connection:
        rows = connection.execute(
            "SELECT l.row_key, w.state, w.attempts FROM store.work w JOIN store.ledger l"
            " USING (row_id)"
        ).fetchall()
    return {row.row_key: (row.state, row.attempts) for row in rows}


def test_the_poison_row_alone_is_dead_lettered(
    store: Store, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    _run(store, request, tmp_path, Fragile("text 5"), rounds=20)
    states = _states(store)
    assert states.pop("5") == ("dead", 2)
    assert set(states.values()) == {("done", 1)}  # its neighbours were never charged


def test_a_value_that_no_column_holds_is_the_dead_letter_of_its_row(
    store: Store, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    _run(store, request, tmp_path, Fragile(too_large="text 5"), rounds=8)
    states = _states(store)
    assert states.pop("5")[0] == "dead"
    assert set(states.values()) == {("done", 1)}
    assert _audited(store) == [("5", "daemon")]


def _audited(store: Store) -> list[tuple[str, str]]:
    with store.connection() as connection:
        return connection.execute(
            "SELECT l.row_key, c.actor FROM store.audit_event a JOIN store.ledger l USING (row_id)"
            " JOIN store.audit_chain c USING (chain_id)"
            " WHERE a.action = 'dead-letter' AND a.details ->> 'reason' <> '' ORDER BY 1"
        ).fetchall()


@pytest.fixture
def clerk(store: Store, store_url: str) -> Iterator[Store]:
    """The store as a login sees it that owns nothing."""
    with store.connection() as owner:
        owner.execute(
            "CREATE ROLE clerk LOGIN PASSWORD 'only-in-tests';"
            "GRANT USAGE ON SCHEMA store, insights TO clerk;"
            "GRANT ALL ON ALL TABLES IN SCHEMA store, insights TO clerk;"
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA store TO clerk;"
            "GRANT ALL ON ALL FUNCTIONS IN SCHEMA store TO clerk"
        )
    opened = Store(make_conninfo(store_url, user="clerk", password="only-in-tests")).open()
    yield opened
    opened.close()
    with store.connection() as owner:
        owner.execute("DROP OWNED BY clerk; DROP ROLE clerk")


@pytest.mark.parametrize(
    ("right", "of"),
    [
        ("INSERT ON store.insight", "table insight"),
        ("INSERT ON store.outbox", "table outbox"),
        ("INSERT ON store.current_insight", "table current_insight"),
        ("EXECUTE ON FUNCTION store.append_events", "function append_events"),
    ],
)
def test_a_revoked_right_keeps_what_is_finished_and_is_named_once(
    store: Store, clerk: Store, request: pytest.FixtureRequest, tmp_path: Path, right: str, of: str
) -> None:
    generator = Fragile()
    with (
        _site(clerk, request, tmp_path, generator) as pipeline,
        store.connection() as owner,
        capture_logs() as logs,
    ):
        owner.execute(f"REVOKE {right} FROM clerk")

        def rounds(count: int) -> None:
            for _ in range(count):
                pipeline.advance()
                generator.work()
                pipeline.settle(0.0)
                pipeline.extend()

        rounds(12)
        states = [state for state, _ in _states(store).values()]
        assert set(states) == {"claimed", "pending"}
        assert f"permission denied for {of}" in pipeline.stopped["fragile"]
        assert isinstance(pipeline.failure, errors.StoreError)
        assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["stopped"]
        owner.execute(f"GRANT {right} TO clerk")
        rounds(12)
        assert pipeline.stopped == {}
    assert set(_states(store).values()) == {("done", 1)}


def test_dead_letters_of_release_and_expire_are_audited(
    store: Store, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with _site(store, request, tmp_path, Fragile()), store.connection() as connection:
        version = connection.execute("SELECT pipeline_version_id FROM store.deployment").fetchone()
        assert version is not None
        work = WorkQueue(store, "daemon", [version[0]], ttl_s=60, max_attempts=1)
        first, second, third = work.claim([Share(version[0], 3)])
        for claim, blame in ((first, True), (second, False)):
            dead = work.release([claim], delay_s=0, blame=blame, isolate=False, reason="it fails")
            assert dead == ({claim.work_id} if blame else set())
        connection.execute(
            "UPDATE store.work SET lease_until = now() - interval '1 s', isolated = true"
            f" WHERE work_id = {third.work_id}"
        )
        assert work.suspects() == set()
        assert work.expire() == 1
    buried = {first.row_key, third.row_key}
    assert {key for key, state in _states(store).items() if state[0] == "dead"} == buried
    assert {key for key, _ in _audited(store)} == buried


def test_an_outage_charges_nobody(
    store: Store, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    _run(store, request, tmp_path, Fragile(outages=9), rounds=20)
    assert set(_states(store).values()) == {("done", 1)}


def test_a_row_that_two_readings_do_not_agree_on_waits_without_blame(
    store: Store, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a standby that shows what others have not committed."""
    fetch, in_flux = SourceClient.fetch, True

    def torn(source: SourceClient, spec: StreamSpec, row_keys: Sequence[str]) -> Sequence[Row]:
        return [
            msgspec.structs.replace(row, input_hash=uuid4().bytes, values={"body": "uncommitted"})
            if in_flux and row.key == "0"
            else row
            for row in fetch(source, spec, row_keys)
        ]

    monkeypatch.setattr(SourceClient, "fetch", torn)
    generator = Fragile()
    with _site(store, request, tmp_path, generator) as pipeline, store.connection() as connection:
        pipeline.advance()
        assert len(generator.flight) == 3  # of four that were claimed
        assert "uncommitted" not in [body for body, _ in generator.flight]
        (row,) = connection.execute(
            "SELECT state, attempts, reason, not_before > now() AS waits FROM store.work"
            " WHERE reason IS NOT NULL"
        ).fetchall()
        assert (row.state, row.attempts, row.waits) == ("pending", 0, True)
        assert row.reason == "the row changed between two readings"
        in_flux = False
        for _ in range(ROWS):
            connection.execute("UPDATE store.work SET not_before = now()")
            generator.work()
            while pipeline.settle(0.0) or pipeline.held:
                pass
            pipeline.advance()
    assert set(_states(store).values()) == {("done", 1)}
