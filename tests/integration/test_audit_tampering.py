"""Every tampering with one row of a long chain is found, and its place named."""

import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from insights.store.postgres import Store
from insights.store.trail import Trail
from tests import servers
from tests.auditing import fill

EVENTS = 10_000

Link = psycopg.Connection[Any]


class Within(Trail):
    """Checks what one open transaction sees, so that tampering can be rolled back."""

    def __init__(self, store: Store, link: Link) -> None:
        super().__init__(store)
        self._link = link

    @contextmanager
    def _snapshot(self) -> Iterator[Link]:
        yield self._link


@pytest.fixture(scope="module")
def long_chain(store_server: servers.Postgres) -> Iterator[Store]:
    """Chain 1 of 10,000 events, and chain 2 of 100."""
    store_server.create_database("audited", "template_store")
    store = Store(store_server.url("audited")).open()
    fill(store, "daemon", EVENTS)
    fill(store, "insights dead", 100)
    yield store
    store.close()
    store_server.drop_database("audited")


def by(statement: str) -> Callable[[Link, int], int]:
    """Tamper by one statement at event `n`; the place to be named is the event itself."""

    def tamper(link: Link, n: int) -> int:
        link.execute(statement, {"n": n})
        return n

    return tamper


def edit(change: str) -> Callable[[Link, int], int]:
    return by(f"UPDATE store.audit_event SET {change} WHERE chain_id = 1 AND number = %(n)s")


def at_end(statement: str, place: int = EVENTS) -> Callable[[Link, int], int]:
    def tamper(link: Link, _: int) -> int:
        link.execute(statement)
        return place

    return tamper


def swapped(link: Link, n: int) -> int:
    other = random.randrange(n + 1, EVENTS + 1)
    for old, new in ((n, -1), (other, n), (-1, other)):
        link.execute(
            "UPDATE store.audit_event SET number = %s WHERE chain_id = 1 AND number = %s",
            (new, old),
        )
    return n


def inserted(link: Link, n: int) -> int:
    """An event between two others, all later ones numbered anew, and its hash a right one."""
    link.execute("ALTER TABLE store.audit_event DROP CONSTRAINT audit_event_pkey")
    link.execute(
        "UPDATE store.audit_event SET number = number + 1 WHERE chain_id = 1 AND number >= %s", (n,)
    )
    link.execute(
        "INSERT INTO store.audit_event SELECT %s, at, row_id, insight_id, 1, stream_id, hash,"
        " action, details FROM store.audit_event WHERE chain_id = 1 AND number = %s",
        (n, n - 1),
    )
    link.execute("UPDATE store.audit_chain SET length = length + 1 WHERE chain_id = 1")
    return n


def doubled(link: Link, n: int) -> int:
    link.execute("ALTER TABLE store.audit_event DROP CONSTRAINT audit_event_pkey")
    link.execute(
        "INSERT INTO store.audit_event SELECT * FROM store.audit_event"
        " WHERE chain_id = 1 AND number = %s",
        (n,),
    )
    return n


KINDS: dict[str, Callable[[Link, int], int]] = {
    "details changed": edit("""details = '{"status": "withheld"}'"""),
    "action changed": edit("action = 'row deleted'"),
    "row changed": edit("row_id = row_id + 1"),
    "row taken away": edit("row_id = NULL"),
    "insight changed": edit("insight_id = insight_id + 1"),
    "stream changed": edit("stream_id = 2"),
    "dated a microsecond later": edit("at = at + interval '1 microsecond'"),
    "dated a year before": edit("at = at - interval '1 year'"),
    "dated after all others": edit("at = at + interval '1 year'"),
    "hash changed": edit("hash = sha256(hash)"),
    "deleted": by("DELETE FROM store.audit_event WHERE chain_id = 1 AND number = %(n)s"),
    "moved to another chain": by(
        "UPDATE store.audit_event SET chain_id = 2, number = 101"
        " WHERE chain_id = 1 AND number = %(n)s"
    ),
    "swapped": swapped,
    "inserted": inserted,
    "doubled": doubled,
    "tail cut": at_end("DELETE FROM store.audit_event WHERE chain_id = 1 AND number = 10000"),
    "put after the end": at_end(
        "INSERT INTO store.audit_event SELECT 10001, at, row_id, insight_id, 1, stream_id,"
        " sha256(hash), action, details FROM store.audit_event"
        " WHERE chain_id = 1 AND number = 10000",
        EVENTS + 1,
    ),
    "put before the beginning": at_end(
        "INSERT INTO store.audit_event SELECT 0, at, row_id, insight_id, 1, stream_id,"
        " hash, action, details FROM store.audit_event WHERE chain_id = 1 AND number = 1",
        0,
    ),
    "end changed": at_end("UPDATE store.audit_chain SET head = sha256(head) WHERE chain_id = 1"),
    "actor changed": at_end("UPDATE store.audit_chain SET actor = 'x' WHERE chain_id = 1", 1),
    "login changed": at_end("UPDATE store.audit_chain SET login = 'x' WHERE chain_id = 1", 1),
    "sealed without a seal": at_end(
        "UPDATE store.audit_chain c SET sealed = 10, sealed_hash ="
        " (SELECT hash FROM store.audit_event WHERE chain_id = 1 AND number = 10)"
        " WHERE chain_id = 1;"
        "DELETE FROM store.audit_event WHERE chain_id = 1 AND number <= 10",
        1,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_tampering_with_a_row_is_found_and_its_place_named(
    long_chain: Store, kind: str
) -> None:
    with (
        psycopg.connect(long_chain._url, autocommit=True, row_factory=namedtuple_row) as link,
        link.transaction(force_rollback=True),
    ):
        for switch in ("DISABLE", "ENABLE ALWAYS"):  # and on again: only the hashes tell
            for guard in ("append_only", "emptied_only"):
                link.execute(f"ALTER TABLE store.audit_event {switch} TRIGGER audit_event_{guard}")
            if switch == "DISABLE":
                place = KINDS[kind](link, random.randrange(2, EVENTS))
        found = Within(long_chain, link).verify().findings
        first = next(one for one in found if one.where.startswith("chain 1 "))
        assert re.findall(r"\d+", first.what)[0] == str(place), found


def test_what_nobody_touched_is_as_it_was_written(long_chain: Store) -> None:
    verdict = Trail(long_chain).verify()
    assert (verdict.findings, verdict.events, verdict.chains) == ([], EVENTS + 100, 2)
