"""The in-memory adapters that ship for tests hold what the real ones do: one suite over both."""

import datetime as dt
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from insights import errors
from insights.enriching.recipe import Recipe
from insights.ground import keys
from insights.model import Bookmark, Gap, Redaction, Sampling, SinkSpec, SinkState, StreamSpec
from insights.pipeline import Pipeline
from insights.polling.courtesy import Courtesy
from insights.polling.poller import Poller
from insights.ports import Sink, Source
from insights.sinks.sink import SinkTable
from insights.steps.prompt import Template
from insights.store.deployments import Deployments
from insights.store.insights import InsightStore
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.postgres import Store
from insights.store.work import WorkQueue
from insights.testing import MemorySink, MemorySource, ScriptedGenerator
from tests.legacy import lines, reading

ROWS = [
    {"id": n, "subject": f"subject {n}", "body": f"call +49 30 1234567{n}", "stamp": stamp}
    for n, stamp in enumerate(["a", "b", "b", "b", None, "c", "d"])
]
SPEC = StreamSpec(
    name="tickets",
    source="legacy",
    table="ticket",
    key=("id",),
    inputs=("subject", "body"),
    cursor="stamp",
    page_rows=2,
)

Made = Callable[[], Source]


@pytest.fixture(params=["sqlite", "memory"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    if request.param == "memory":
        yield MemorySource({"ticket": [dict(row) for row in ROWS]}, hash_key=b"conformance")
        return
    path = tmp_path / "legacy.sqlite"
    with closing(sqlite3.connect(path)) as link, link:
        link.execute(
            "CREATE TABLE ticket (id INTEGER NOT NULL PRIMARY KEY, subject VARCHAR(80), body TEXT,"
            " stamp VARCHAR(10))"
        )
        link.executemany("INSERT INTO ticket VALUES (:id, :subject, :body, :stamp)", ROWS)
    with reading(request.getfixturevalue("sqlite_odbc")(path)) as client:
        yield client


def walked(source: Source, by: Any, after: Bookmark | None = None) -> list[str]:  # noqa: ANN401
    found: list[str] = []
    while True:
        page = source.page(SPEC, after, by=by)
        found += [key for key, _, _ in lines(page)]
        if page.complete:
            return found
        after = page.last


def test_pages_go_by_cursor_and_by_key_and_tell_where_they_end(source: Source) -> None:
    assert walked(source, "cursor") == ["0", "1", "2", "3", "5", "6"]
    assert walked(source, "key") == ["0", "1", "2", "3", "4", "5", "6"]
    assert walked(source, "null") == ["4"]
    assert walked(source, "cursor", Bookmark(key=(), cursor="b")) == ["1", "2", "3", "5", "6"]


def test_a_page_and_a_fetch_hash_alike_and_a_fetch_redacts(source: Source) -> None:
    page = source.page(msgspec.structs.replace(SPEC, page_rows=50), None, by="key")
    paged = {key: digest for key, digest, _ in lines(page)}
    fetched = source.fetch(msgspec.structs.replace(SPEC, redaction=Redaction()), ["1", "4", "99"])
    assert {row.key: row.input_hash.hex() for row in fetched} == {
        key: paged[key] for key in ("1", "4")
    }
    assert "1234567" not in (fetched[0].values["body"] or "")
    assert fetched[0].cursor == "b"
    assert fetched[1].cursor is None


def test_windows_and_gaps(source: Source) -> None:
    whole, part = source.window(SPEC, None), source.window(SPEC, "b")
    assert (whole.rows, whole.low, whole.high) == (6, "a", "d")
    assert (part.rows, part.low) == (5, "b")
    by_id = msgspec.structs.replace(SPEC, cursor="id", where=None)
    assert source.gaps(by_id, "0", "6", at=1.0, most=5) == ()
    inside = source.page(by_id, None, by="cursor", within=(Gap(at=1.0, low="1", high="4"),))
    assert [key for key, _, _ in lines(inside)] == ["2", "3"]


def test_what_is_not_there_is_refused(source: Source) -> None:
    with pytest.raises(errors.StreamError):
        source.inspect(msgspec.structs.replace(SPEC, table="nowhere"))
    with pytest.raises(errors.StreamError):
        source.inspect(msgspec.structs.replace(SPEC, inputs=("nothing",)))
    assert not source.is_behind(None, None)
    assert source.is_behind("another replica", None)


# --- sinks ---------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "memory"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink]:
    if request.param == "memory":
        yield MemorySink()
        return
    path = tmp_path / "legacy.sqlite"
    spec = SinkSpec(
        name="shown",
        source="legacy",
        table="ai_insight",
        key=("id",),
        legacy_table="ticket",
        output_schema={"type": "object", "properties": {"category": {"type": "string"}}},
    )
    with closing(sqlite3.connect(path)) as link:
        link.execute("CREATE TABLE ticket (id INTEGER NOT NULL PRIMARY KEY)")
        made = SinkTable(spec, request.getfixturevalue("sqlite_odbc")(path), timeout_s=5)
        link.executescript(made.ddl(None))
    yield cast("Sink", made)
    made.close()


def state(row: int, revision: int, insight: int) -> SinkState:
    return SinkState(
        row_id=row,
        row_key=keys.join((str(row),)),
        revision=revision,
        shows="current",
        status="ok",
        insight_id=insight,
        values={"category": "a"},
        citations="",
        pipeline_version="ab",
        model="m",
        source_cursor=None,
        generated_at=dt.datetime(2026, 11, 28, tzinfo=dt.UTC),
    )


def test_a_sink_never_goes_backwards(sink: Sink) -> None:
    assert sink.max_revision() == 0
    assert [result.standing for result in sink.apply([state(1, 5, 50), state(2, 6, 60)])] == [
        None,
        None,
    ]
    (again,) = sink.apply([state(1, 5, 50)])
    assert again.standing is None
    (late,) = sink.apply([state(1, 4, 40)])
    assert late.standing == 5
    (other,) = sink.apply([state(1, 5, 51)])
    assert other.standing == 5  # this revision was given twice: the store has lost history
    assert sink.max_revision() == 6


# --- a user's own test: the whole path without a server but the store -----------------------------


def test_a_pipeline_runs_on_them_from_poll_to_write(store_url: str) -> None:
    store = Store(store_url).open()
    source = MemorySource({"ticket": [dict(row) for row in ROWS]})
    generator = ScriptedGenerator(lambda request: {"echo": request.row["subject"]})
    version = (
        Deployments(store)
        .register("echo", "0" * 64, {}, stream="tickets", columns=SPEC.inputs)
        .version_id
    )
    leases = Leases(store, "test", ttl_s=60)
    ledger = Ledger(store, "tickets", holder="test")
    Poller(SPEC, source, ledger, leases, Courtesy()).run_once()
    schema = {
        "type": "object",
        "properties": {"echo": {"type": "string", "x-quote": "row.subject"}},
    }
    recipe = Recipe(
        name="echo",
        stream=SPEC,
        source=source,
        generator=generator,
        template=Template("{{ row.subject }}{{ row.body }}"),
        output_schema=schema,
        abstain=(),
        sampling=Sampling(),
        cut=(),
        retriever=None,
        query_columns=(),
        deadline_s=60,
        version_id=version,
    )
    work = WorkQueue(store, "test", [version], ttl_s=60, max_attempts=3)
    pipeline = Pipeline({version: recipe}, work, InsightStore(store, "test"), batch=8, in_flight=8)
    while pipeline.advance() or pipeline.held:
        pipeline.settle(0.1)
    with store.connection() as connection:
        found = connection.execute(
            "SELECT row_key, output ->> 'echo' AS echo FROM insights.current ORDER BY 1"
        ).fetchall()
    assert {row.row_key: row.echo for row in found} == {
        str(row["id"]): row["subject"] for row in ROWS if row["stamp"] is not None
    }
    assert len(generator.asked) == 6
    store.close()
