"""A store with insights, and a legacy SQLite database with a sink: what publishing tests share."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from insights.model import SinkSpec
from insights.publishing.sinks import Publishing
from insights.sinks.client import SinkClient
from insights.store.leases import Leases
from insights.store.outbox import SinkOutbox
from insights.store.postgres import Store
from tests.servers import Postgres

SPEC = SinkSpec(
    name="helpdesk",
    source="helpdesk",
    table="ai_insight_triage",
    key=("ticket_id",),
    view="ticket_with_insight",
    legacy_table="ticket",
    output_schema={"properties": {"category": {"type": "string"}}},
)
_ROWS = """
    WITH s AS (INSERT INTO store.stream (name) VALUES ('tickets') RETURNING stream_id)
    INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version)
    SELECT stream_id, n::text, gen_random_uuid(), 1 FROM s, generate_series(1, %(rows)s) n
"""
_VERSION = """
    WITH p AS (INSERT INTO store.pipeline (name) VALUES ('triage') RETURNING pipeline_id)
    INSERT INTO store.pipeline_version (pipeline_id, sha256, definition)
    SELECT pipeline_id, repeat('ab', 32), '{}' FROM p
"""
_INSIGHT = """
    WITH made AS (
        INSERT INTO store.insight
            (row_id, pipeline_version_id, input_hash, status, reason, output, model)
        SELECT row_id, 1, gen_random_uuid(), %(status)s, 'why',
               jsonb_build_object('category', %(category)s::text), 'demo'
        FROM store.ledger WHERE row_key = %(key)s RETURNING insight_id, row_id
    )
    INSERT INTO store.outbox (sink_id, row_id, revision, insight_id, shows)
    SELECT 1, row_id, nextval('store.revision'), insight_id, 'current' FROM made
    ON CONFLICT (sink_id, row_id) DO UPDATE
    SET revision = nextval('store.revision'), insight_id = excluded.insight_id, shows = 'current',
        delivered_at = NULL, not_before = now(), attempts = 0, error = NULL
    RETURNING insight_id, revision
"""


class World:
    """One store, one legacy database.

    Args:
        store_url: A migrated, empty store.
        folder: Where the legacy database goes.
        rows: How many tickets there are.
        server: A server that has a database `legacy`, instead of a SQLite file.
    """

    def __init__(
        self, store_url: str, folder: Path, *, rows: int = 5, server: Postgres | None = None
    ) -> None:
        self.path = folder / "helpdesk.sqlite"
        self.server = server
        self.odbc = f"DRIVER={{SQLite3}};DATABASE={self.path}"
        if server is not None:
            self.odbc = server.odbc("legacy")
        self.url = store_url
        self.store = Store(store_url, connections=4).open()
        self.sinks: list[SinkClient] = []
        self.sql("INSERT INTO store.sink (name) VALUES ('helpdesk')")
        self.sql(_ROWS, rows=rows)
        self.sql(_VERSION)
        self.legacy("CREATE TABLE ticket (ticket_id INTEGER PRIMARY KEY)")
        self.legacy("INSERT INTO ticket VALUES " + ", ".join(f"({n + 1})" for n in range(rows)))

    def sql(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Run a statement on the store."""
        with self.store.connection() as connection:
            cursor = connection.execute(statement, values)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def legacy(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on the legacy database, as the legacy application."""
        if self.server is not None:
            return self.server.execute(statement, database="legacy")
        with closing(sqlite3.connect(self.path, isolation_level=None)) as link:
            return link.execute(statement).fetchall()

    def make_sink(self) -> None:
        """Run the sink's DDL."""
        for statement in self.sink().ddl().split(";\n"):
            if "CREATE" in statement:
                self.legacy(statement)

    def sink(self) -> SinkClient:
        """Return a sink with a publisher process of its own."""
        self.sinks.append(SinkClient(SPEC, self.odbc, timeout_s=5))
        return self.sinks[-1]

    def insight(self, ticket: int, category: str, status: str = "ok") -> tuple[int, int]:
        """Write an insight as the pipeline does; return its id and revision."""
        ((insight, revision),) = self.sql(
            _INSIGHT, key=str(ticket), category=category, status=status
        )
        return insight, revision

    def show(self, ticket: int, shows: str) -> None:
        """Let a sink show a row as stale or deleted, as the poller does."""
        self.sql(
            "UPDATE store.outbox o SET shows = %(shows)s, revision = nextval('store.revision'),"
            " delivered_at = NULL FROM store.ledger l"
            " WHERE l.row_id = o.row_id AND l.row_key = %(key)s",
            shows=shows,
            key=str(ticket),
        )

    def outbox(self, holder: str = "one", ttl_s: float = 30.0) -> SinkOutbox:
        """Return the outbox as a daemon of this name sees it."""
        return SinkOutbox(self.store, Leases(self.store, holder, ttl_s=ttl_s), "helpdesk")

    def publishing(
        self, holder: str = "one", *, batch: int = 500, ttl_s: float = 30.0
    ) -> Publishing:
        """Return a daemon's publishing job."""
        return Publishing("helpdesk", self.sink(), self.outbox(holder, ttl_s), batch=batch)

    def publish_in_process(self, failpoint: str) -> int:
        """Publish in a process of its own that dies at a failpoint; return its exit status."""
        command = [sys.executable, "-m", "tests.published", self.url, self.odbc]
        env = {**os.environ, "INSIGHTS_FAILPOINT": failpoint}
        return subprocess.run(command, env=env, check=False, timeout=60).returncode

    def shown(self) -> dict[int, tuple[str | None, str, int]]:
        """Return category, status and revision by ticket, as the legacy application reads them."""
        rows = self.legacy(
            "SELECT ticket_id, category, status, revision FROM ai_insight_triage ORDER BY 1"
        )
        return {ticket: (category, status, rev) for ticket, category, status, rev in rows}

    def due(self) -> int:
        """Return how many states are still to be delivered."""
        ((due,),) = self.sql("SELECT count(*) FROM store.outbox WHERE delivered_at IS NULL")
        return int(due)

    def close(self) -> None:
        """End publishers and connections."""
        for sink in self.sinks:
            sink.close(1)
        self.store.close()


def _publish(store_url: str, odbc: str) -> None:
    store = Store(store_url, connections=4).open()
    outbox = SinkOutbox(store, Leases(store, "one", ttl_s=30), "helpdesk")
    Publishing("helpdesk", SinkClient(SPEC, odbc), outbox).publish()


if __name__ == "__main__":
    _publish(*sys.argv[1:])
