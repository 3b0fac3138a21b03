"""The store's schema: it goes up and down, prints as SQL, and says what its documentation says."""

import re
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from insights import errors
from insights.store import migrate
from insights.store.deployments import Deployments
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.postgres import Store
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

# As the release before deployments left it: `a` done, `b` changed since, `c` not done yet.
IN_USE = """
INSERT INTO store.pipeline (name) VALUES ('triage');
INSERT INTO store.pipeline_version (pipeline_id, sha256, definition)
VALUES (1, repeat('0', 64), '{}'), (1, repeat('1', 64), '{}');
INSERT INTO store.stream (name, pipeline_version_id, overlap_s) VALUES ('ticket', 2, 60);
INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version)
SELECT 1, key, md5(key)::uuid, 1 FROM unnest(ARRAY['a', 'b', 'c']) AS key;
INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, output)
SELECT row_id, 1, CASE row_key WHEN 'a' THEN input_hash ELSE md5('before')::uuid END, 'ok', '{}'
FROM store.ledger WHERE row_key <> 'c';
UPDATE store.ledger l SET insight_id = i.insight_id FROM store.insight i WHERE i.row_id = l.row_id;
INSERT INTO store.work (row_id, stream_id, input_hash, pipeline_version_id, state)
SELECT row_id, 1, input_hash, 2, CASE row_key WHEN 'a' THEN 'done' ELSE 'pending' END
FROM store.ledger;
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
        ("forgotten", "state", "What was asked to be forgotten"),
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


def test_a_store_in_use_keeps_its_insights_when_versions_become_deployments(
    empty_store_url: str,
) -> None:
    migrate.upgrade(empty_store_url, "0006")
    with psycopg.connect(empty_store_url, autocommit=True) as link:
        link.execute(IN_USE)
    migrate.upgrade(empty_store_url)
    store = Store(empty_store_url).open()
    with psycopg.connect(empty_store_url) as link:
        assert link.execute(
            "SELECT row_key, pipeline, stale FROM insights.current ORDER BY 1"
        ).fetchall() == [("a", "triage", False), ("b", "triage", True)]
        assert link.execute(
            "SELECT rows_known, ok, pending FROM insights.completeness"
        ).fetchall() == [(3, 1, 2)]
        assert link.execute(
            "SELECT pipeline_version, stage FROM insights.deployment ORDER BY 1"
        ).fetchall() == [("0" * 64, "retired"), ("1" * 64, "full")]
    registered = Deployments(store).register(
        "triage", "1" * 64, {}, stream="ticket", columns=("body",)
    )
    assert registered.live
    lease = Leases(store, "test", ttl_s=60).take("stream ticket")
    assert lease is not None
    following = Ledger(store, "ticket", holder="test").follow(lease)
    assert (following.columns, following.changes, following.hash_version) == (("body",), False, 1)
    store.close()
    with psycopg.connect(empty_store_url) as link:
        assert link.execute("SELECT count(*) FROM store.work").fetchall() == [(3,)]
    migrate.downgrade(empty_store_url, "0006")
    with psycopg.connect(empty_store_url) as link:
        found = link.execute("SELECT row_key, insight_id FROM store.ledger ORDER BY 1").fetchall()
        assert [(key, number is not None) for key, number in found] == [
            ("a", True),
            ("b", True),
            ("c", False),
        ]


def test_what_insights_cost_moves_into_their_rows_and_back(empty_store_url: str) -> None:
    migrate.upgrade(empty_store_url, "0006")
    with psycopg.connect(empty_store_url, autocommit=True) as link:
        link.execute(IN_USE)
        link.execute("INSERT INTO store.usage VALUES (1, 10, 1, 2, 3, 4, 5, 6)")
    migrate.upgrade(empty_store_url, "0008")
    with psycopg.connect(empty_store_url) as link:
        found = link.execute(
            "SELECT insight_id, prompt_tokens, forced_tokens, decode_ms FROM store.insight"
            " ORDER BY 1"
        ).fetchall()
        assert found == [(1, 10, 3, 6.0), (2, None, None, None)]
        link.execute("UPDATE store.insight SET notes = NULL")
    migrate.downgrade(empty_store_url, "0007")
    with psycopg.connect(empty_store_url) as link:
        assert link.execute("SELECT * FROM store.usage").fetchall() == [(1, 10, 1, 2, 3, 4, 5, 6)]
        assert link.execute("SELECT DISTINCT notes FROM store.insight").fetchall() == [([],)]
