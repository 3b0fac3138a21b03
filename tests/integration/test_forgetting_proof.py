"""What is left of a row is found, in whatever column it stands; and nothing where nothing is."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import sql as psql

from insights import errors
from insights.model import SinkSpec, SinkState
from insights.sinks.sink import SinkTable
from insights.store.forgetting import Forgetting
from insights.store.postgres import Store
from insights.store.proof import Proof, is_telling
from tests import claiming
from tests.helpdesk import Helpdesk
from tests.integration.test_forgetting_schema import CLEARED, GO, NOT_OF_A_ROW, POSITIONS

KEY = 'anna "the" person'  # as JSON it reads otherwise
WORDS = "50% of\nher_own words"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    claiming.fill(store_url, 3)
    opened = Store(store_url).open()
    yield opened
    opened.close()


def found(store: Store, *texts: str, key: str = "gone") -> dict[str, int]:
    places = Proof(store).look("s", key, [], texts)
    return {one.place.partition(" (")[0]: one.found for one in places if one.found}


COLUMNS = {
    (table, column)
    for part in (GO, CLEARED, POSITIONS, NOT_OF_A_ROW)
    for table, columns in part.items()
    for column in columns.split()
}
WORDLESS = ("uuid", "_uuid", "numeric", "halfvec", "tsvector")  # a tsvector's words are a passage's
VALUES = {
    "jsonb": "jsonb_build_object('a', jsonb_build_array(%(text)s::text))",
    "_text": "ARRAY[%(text)s::text]",
    "bytea": "convert_to('x' || %(text)s::text || 'y', 'UTF8')",
}


def put(link: psycopg.Connection[Any], table: str, column: str, udt: str) -> None:
    """Make a table of the same name that holds the words, and is held by no check."""
    value = VALUES.get(udt, "'before ' || %(text)s::text")
    name = psql.Identifier(table)
    link.execute(psql.SQL("ALTER TABLE store.{} RENAME TO former").format(name))
    link.execute(
        psql.SQL("CREATE TABLE store.{} AS SELECT {} AS {}").format(
            name,
            psql.SQL(value),
            psql.Identifier(column),
        ),
        {"text": WORDS},
    )


def test_a_text_is_found_in_every_column(store: Store) -> None:
    with store.connection() as link:
        kinds = {
            (row.table_name, row.column_name): row.udt_name
            for row in link.execute(
                "SELECT table_name::text, column_name::text, udt_name::text"
                " FROM information_schema.columns WHERE table_schema = 'store'"
            )
        }
    wanted = sorted(one for one in COLUMNS if kinds[one] not in WORDLESS)
    assert len(wanted) > 80
    for table, column in wanted:
        with store.connection() as link, link.transaction(force_rollback=True):
            put(link, table, column, kinds[table, column])
            needle = WORDS if kinds[table, column] == "bytea" else WORDS.upper()
            places = Proof(store)._anywhere(link, [needle])
            hits = {one.place.partition(" (")[0]: one.found for one in places if one.found}
            assert hits == {f"store.{table}": 1}, column


def test_a_key_is_found_wherever_a_key_stands_and_after_forgetting_nowhere(store: Store) -> None:
    with psycopg.connect(store._url) as link:
        link.execute("UPDATE store.ledger SET row_key = %s WHERE row_id = 1", (KEY,))
        link.execute("INSERT INTO store.stream (name) VALUES ('other')")
        link.execute(
            "INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version)"
            " VALUES (2, '2', gen_random_uuid(), 1)"
        )
        link.execute(
            "INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, output)"
            " VALUES (1, 1, gen_random_uuid(), 'ok', jsonb_build_object('a', %s::text))",
            (KEY,),
        )
    places = ("ledger", "insights", "work and dead letters", "store.ledger", "store.insight")
    assert found(store, key=KEY) == dict.fromkeys(places, 1)
    assert found(store, key="2") == {"ledger": 1, "work and dead letters": 1}  # of this stream
    forgetting = Forgetting(store)
    for key in (KEY, "2"):
        forgetting.forget("s", key, [])
    while forgetting.go_on():
        pass
    assert found(store, key=KEY) == found(store, key="2") == {}


def test_a_number_is_not_looked_for_in_everything() -> None:
    assert [is_telling(key) for key in ("4711", "2026-01-01", "anna", "zelda.q", "a\nbcdef")] == [
        *(False, False, False, True, True)
    ]


def test_a_sink_tells_what_it_has_of_a_row_and_of_its_words(tmp_path: Path) -> None:
    desk = Helpdesk(tmp_path / "legacy.sqlite")
    spec = SinkSpec(
        name="legacy", source="primary", table="ai_insight", key=("ticket_id",),
        legacy_table="ticket", output_schema={"properties": {"category": {"type": "string"}}},
    )  # fmt: skip
    state = SinkState(
        row_id=1, row_key="7", revision=1, shows="current", status="ok", insight_id=1,
        values={"category": "100% Her_Words"}, citations="", pipeline_version="v", model="m",
        source_cursor=None, generated_at=dt.datetime.now(dt.UTC),
    )  # fmt: skip
    sink = SinkTable(spec, desk.odbc, timeout_s=5)
    assert (sink.holds("7", ["words"]).rows, sink.holds("7", ["words"]).texts) == (0, 0)
    other = msgspec.structs.replace(
        state, row_id=2, row_key="8", values={"category": "100 Herwords"}
    )
    sink.apply([state, other])
    held = sink.holds("7", ["100% her_words"])
    assert (held.rows, held.emptied, held.texts) == (1, 0, 1)
    # Marked as a tombstone, with something left in it: that is no emptied row.
    desk.execute("UPDATE ai_insight SET status = 'tombstoned' WHERE ticket_id = 7")
    assert sink.holds("7", []).rows == 1
    gone = msgspec.structs.replace(
        state, revision=2, shows="tombstoned", status=None, insight_id=None, values={},
        pipeline_version="", model="", generated_at=None,
    )  # fmt: skip
    sink.apply([gone])
    held = sink.holds("7", ["100% her_words"])
    assert (held.rows, held.emptied, held.texts) == (0, 1, 0)
    assert sink.holds(None, []).rows == 0
    with pytest.raises(errors.RowError, match="no whole number"):
        sink.holds("anna", [])
    sink.close()
