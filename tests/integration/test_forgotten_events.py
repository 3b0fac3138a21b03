"""Events of forgotten rows are empty: every tampering with them and around them is found."""

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from insights.governance import chain as chains
from insights.store.forgetting import Forgetting
from insights.store.postgres import Store
from insights.store.trail import Trail
from tests import servers
from tests.auditing import fill
from tests.integration.test_audit_tampering import Within, by, doubled, edit, inserted

Link = psycopg.Connection[Any]
EVENTS = 60
EMPTY = (20, 21, 22, 40, 60)  # in chain 1, its end among them
ROWS = """
INSERT INTO store.stream (name) VALUES ('ticket');
INSERT INTO store.ledger (row_id, stream_id, row_key, input_hash, hash_version)
OVERRIDING SYSTEM VALUE
SELECT n, 1, 'key ' || n, gen_random_uuid(), 1 FROM generate_series(0, 59) n
"""


@pytest.fixture(scope="module")
def emptied(store_server: servers.Postgres) -> Iterator[Store]:
    """Chain 1 of 60 events, five of them empty; chain 2 of 10; chain 3 tells of the forgetting."""
    store_server.create_database("emptied", "template_store")
    store = Store(store_server.url("emptied")).open()
    with store.connection() as owner:
        owner.execute(ROWS)
    fill(store, "daemon", EVENTS)
    fill(store, "insights dead", 10)
    with store.connection() as owner:  # chain 2 is of other rows
        owner.execute("DELETE FROM store.ledger WHERE row_id < 10")
    forgetting = Forgetting(store)
    for number in EMPTY:
        forgetting.forget("ticket", f"key {number - 1}", [])
    while forgetting.go_on():
        pass
    yield store
    store.close()
    store_server.drop_database("emptied")


def test_an_emptied_event_holds_nothing_and_the_chain_is_sound(emptied: Store) -> None:
    with emptied.connection() as link:
        found = link.execute(
            "SELECT number, row_id, insight_id, details ? 'forgotten' AND details - 'forgotten'"
            " = '{}' AS empty FROM store.audit_event WHERE chain_id = 1 AND row_id IS NULL"
            " ORDER BY number"
        ).fetchall()
    assert [tuple(row) for row in found] == [(n, None, None, True) for n in EMPTY]
    anchors = list(Trail(emptied).ends().values())
    assert Trail(emptied).verify(anchors).findings == []


def right(link: Link, n: int) -> None:
    """Give an event the hash that fits it, as its owner could."""
    link.execute(
        "UPDATE store.audit_event e SET hash = sha256("
        "(SELECT hash FROM store.audit_event WHERE chain_id = 1 AND number = %(n)s - 1)"
        " || convert_to(jsonb_build_array(e.chain_id, e.number,"
        " (extract(epoch FROM e.at) * 1000000)::bigint, c.actor, c.login, e.action, e.stream_id,"
        " e.row_id, e.insight_id, e.details)::text, 'UTF8'))"
        " FROM store.audit_chain c WHERE c.chain_id = 1 AND e.chain_id = 1 AND e.number = %(n)s",
        {"n": n},
    )


def before(link: Link, n: int) -> int:
    """What stands before an empty event, with a hash that is right: the chain itself fits."""
    edit("""details = '{"status": "withheld"}'""")(link, n - 1)
    right(link, n - 1)
    return n - 1


def emptied_by_hand(link: Link, n: int) -> int:
    """An event that nobody forgot, emptied as if somebody had."""
    return edit("""row_id = NULL, insight_id = NULL, details = '{"forgotten": 1}'""")(link, n + 10)


def filled_with_right_hash(link: Link, n: int) -> int:
    edit("""row_id = 7, details = '{"status": "ok"}'""")(link, n)
    right(link, n)
    return n


def untold(link: Link, _: int) -> int:
    link.execute("DELETE FROM store.audit_event WHERE chain_id = 3")
    return EMPTY[0]


def put_back(link: Link, n: int) -> int:
    """What the event said before: its hash is right, and it should be gone."""
    return edit(f"""row_id = {n - 1}, insight_id = {n - 1}, details = '{{"status": "ok"}}'""")(
        link, n
    )


def swapped(link: Link, n: int) -> int:
    for old, new in ((n, -1), (n + 5, n), (-1, n + 5)):
        by(f"UPDATE store.audit_event SET number = {new} WHERE chain_id = 1 AND number = %(n)s")(
            link, old
        )
    return n


KINDS: dict[str, Callable[[Link, int], int]] = {
    "another forgetting": edit("""details = '{"forgotten": 99}'"""),
    "details put in": edit("""details = '{"status": "withheld"}'"""),
    "put in, with a right hash": filled_with_right_hash,
    "what it said, put back": put_back,
    "action changed": edit("action = 'row deleted'"),
    "row put in": edit("row_id = 7"),
    "insight put in": edit("insight_id = 7"),
    "stream changed": edit("stream_id = 2"),
    "dated a microsecond later": edit("at = at + interval '1 microsecond'"),
    "dated a year before": edit("at = at - interval '1 year'"),
    "hash changed": edit("hash = sha256(hash)"),
    "deleted": by("DELETE FROM store.audit_event WHERE chain_id = 1 AND number = %(n)s"),
    "moved to another chain": by(
        "UPDATE store.audit_event SET chain_id = 2, number = 11"
        " WHERE chain_id = 1 AND number = %(n)s"
    ),
    "swapped": swapped,
    "inserted": inserted,
    "doubled": doubled,
    "the one before it written anew": before,
    "another emptied": emptied_by_hand,
    "nothing tells of it": untold,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_tampering_around_an_empty_event_is_found(emptied: Store, kind: str) -> None:
    with (
        psycopg.connect(emptied._url, autocommit=True, row_factory=namedtuple_row) as link,
        link.transaction(force_rollback=True),
    ):
        link.execute("ALTER TABLE store.audit_event DISABLE TRIGGER USER")
        place = KINDS[kind](link, random.choice((20, 40)))
        link.execute("ALTER TABLE store.audit_event ENABLE ALWAYS TRIGGER audit_event_append_only")
        link.execute("ALTER TABLE store.audit_event ENABLE ALWAYS TRIGGER audit_event_emptied_only")
        found = Within(emptied, link).verify().findings
        first = next(one for one in found if one.where.startswith("chain 1 "))
        assert re.findall(r"\d+", first.what)[0] == str(place), found


def test_what_was_tampered_with_is_not_washed_clean_by_forgetting(emptied: Store) -> None:
    with (
        psycopg.connect(emptied._url, autocommit=True, row_factory=namedtuple_row) as link,
        link.transaction(force_rollback=True),
    ):
        link.execute("ALTER TABLE store.audit_event DISABLE TRIGGER USER")
        edit("""details = '{"status": "withheld"}'""")(link, 30)
        for guard in ("append_only", "emptied_only"):
            link.execute(
                f"ALTER TABLE store.audit_event ENABLE ALWAYS TRIGGER audit_event_{guard}".encode()
            )
        link.execute("SELECT store.forget('ticket', 'key 29', '{}')")
        (found,) = Within(emptied, link).verify().findings
        assert found.what == "event 30 was not as it had been written when it was forgotten"


def test_retention_seals_what_is_empty_like_anything_else(emptied: Store) -> None:
    with (
        psycopg.connect(emptied._url, autocommit=True, row_factory=namedtuple_row) as link,
        link.transaction(force_rollback=True),
    ):
        link.execute(
            "SELECT store.seal_events((SELECT at FROM store.audit_event"
            " WHERE chain_id = 1 AND number = 51))"
        )
        assert Within(emptied, link).verify().findings == []
        link.execute("SELECT store.forget('ticket', 'key 50', '{}')")  # the first that is left
        verdict = Within(emptied, link).verify()
        assert (verdict.findings, verdict.events < EVENTS) == ([], True)


def test_a_forgetting_that_is_no_list_of_events_names_none() -> None:
    check = chains.Check([])
    kinds: tuple[object, ...] = ("x", [1], [[]], [["a", "b", "c"]], [[1, "b"]], {"a": 1}, None)
    for told in kinds:
        check._hear("forgotten", {"events": told})
    assert check.finish() == []
