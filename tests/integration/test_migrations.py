"""The store's schema: it goes up and down, prints as SQL, and says what its documentation says."""

import re
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from insights import errors
from insights.store import migrate
from tests.servers import Postgres
from tests.site import Site

STATES = Path(__file__).resolve().parents[2] / "docs" / "states.md"

SHAPE = """
SELECT format('%s.%s.%s %s %s', table_schema, table_name, column_name, data_type, is_nullable)
FROM information_schema.columns WHERE table_schema IN ('store', 'insights')
UNION ALL
SELECT format('%s: %s', conrelid::regclass, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'store'::regnamespace
UNION ALL
SELECT indexdef FROM pg_indexes WHERE schemaname = 'store'
"""


def _shape(url: str) -> list[str]:
    with psycopg.connect(url) as link:
        return sorted(line for (line,) in link.execute(SHAPE))


def test_going_down_leaves_nothing_and_up_again_makes_the_same(empty_store_url: str) -> None:
    migrate.upgrade(empty_store_url)
    before = _shape(empty_store_url)
    migrate.downgrade(empty_store_url, "base")
    with psycopg.connect(empty_store_url) as link:
        left = link.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname IN ('store', 'insights')"
        )
        assert left.fetchall() == []
    migrate.upgrade(empty_store_url)
    assert _shape(empty_store_url) == before


def test_a_dba_who_runs_the_printed_sql_gets_the_same_schema(
    store_url: str, empty_store_url: str
) -> None:
    with psycopg.connect(empty_store_url, autocommit=True) as link:
        link.execute(migrate.offline_sql().encode())
    assert _shape(empty_store_url) == _shape(store_url)
    migrate.upgrade(empty_store_url)  # has nothing left to do


def test_migrating_twice_changes_nothing(store_url: str) -> None:
    before = _shape(store_url)
    migrate.upgrade(store_url)
    assert _shape(store_url) == before


def test_a_migration_does_not_queue_behind_a_long_transaction(store_url: str) -> None:
    with psycopg.connect(store_url) as busy:
        busy.execute("SELECT count(*) FROM store.ledger")
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate.downgrade(store_url, "base")
    assert _shape(store_url)


@pytest.mark.parametrize(
    ("table", "column", "heading"),
    [
        ("work", "state", "Work"),
        ("insight", "status", "Insight"),
        ("outbox", "shows", "What a sink shows"),
        ("request", "state", "What a marked row was told"),
    ],
)
def test_the_page_of_states_names_each_state(
    store_server: Postgres, table: str, column: str, heading: str
) -> None:
    ((check,),) = store_server.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        f" WHERE conrelid = 'store.{table}'::regclass AND conname = '{table}_{column}_check'",
        database="template_store",
    )
    allowed = set(re.findall(r"'(\w+)'", check))
    section = STATES.read_text().split(f"## {heading}")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {word for row in rows for word in re.findall(r"`(\w+)`", row)} == allowed


def test_an_old_server_is_refused(empty_store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "_OLDEST", 99)
    with pytest.raises(errors.StoreError, match="PostgreSQL 18") as refused:
        migrate.upgrade(empty_store_url)
    assert refused.value.fix == "use PostgreSQL 99 or newer"


def test_a_store_whose_texts_were_sorted_by_other_rules_is_refused(site: Site) -> None:
    """As after an upgrade of the server's C library: a look-up by key may miss its row."""
    recorded = "UPDATE pg_database SET datcollversion = %s WHERE datname = current_database()"
    site.query(recorded + " RETURNING 1", "2.28")
    refused = site.insights("run", "--once", code=33)
    assert "REINDEX DATABASE" in refused.stdout + refused.stderr
    assert "REINDEX DATABASE" in site.insights("doctor", "--json", code=33).stdout
    site.query(recorded + " RETURNING 1", None)
    assert site.run_once()["generations"] == 40
