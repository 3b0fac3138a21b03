"""The outbox: what a sink still has to be told, under the publisher's lease."""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from insights.ground.spans import trace_of
from insights.model import SinkResult, SinkState
from insights.store import audit
from insights.store.leases import Leases
from insights.store.postgres import Connection, Store
from insights.store.queries import load

LONGEST_DELAY_S = 3600.0
SUSPECT = 3  # attempts after which a row is published alone


class SinkOutbox:
    """Implements `ports.Outbox` on PostgreSQL.

    Args:
        store: The store.
        leases: This daemon's leases.
        sink: The sink's name.
    """

    def __init__(self, store: Store, leases: Leases, sink: str) -> None:
        self.sink = sink
        self._store = store
        self._leases = leases
        self._sql = load("outbox")

    def hold(self) -> int | None:
        """Take or prolong the publisher's lease; return its epoch, None if another one has it."""
        lease = self._leases.take(f"publish:{self.sink}")
        return None if lease is None else lease.epoch

    def align(self, sink_revision: int) -> None:
        """Make store and sink agree on history: a lease was taken, or the sink is back.

        A store that lost a second of history continues its revisions above the sink's; a sink that
        was emptied or restored is told again what it lost.
        """
        with self._store.transaction() as connection:
            connection.execute(self._sql["go_on"], {"sink": self.sink})
            self._lift(connection, sink_revision)
            connection.execute(self._sql["retell"], {"sink": self.sink, "revision": sink_revision})

    def take(self, limit: int) -> list[SinkState]:
        """Return what is due, oldest first; a row that publishers died with comes alone."""
        with self._store.connection() as connection:
            rows = connection.execute(
                self._sql["due"], {"sink": self.sink, "limit": limit}
            ).fetchall()
        sound = [row for row in rows if row.attempts < SUSPECT]
        return [_state(row) for row in sound or rows[:1]]

    def settle(self, results: Sequence[SinkResult]) -> None:
        """Record what came of a batch; a state that was replaced meanwhile stays due."""
        known = Jsonb([msgspec.to_builtins(result) for result in results])
        standing = max((result.standing or 0 for result in results), default=0)
        with self._store.transaction() as connection:
            self._lift(connection, standing)
            connection.execute(self._sql["settle"], {"sink": self.sink, "results": known})

    def defer(self, states: Sequence[SinkState]) -> None:
        """Put a batch off, during which the publisher died."""
        values = {
            "sink": self.sink,
            "row_ids": [state.row_id for state in states],
            "longest_s": LONGEST_DELAY_S,
        }
        with self._store.connection() as connection:
            connection.execute(self._sql["defer"], values)

    def stop(self, reason: str) -> None:
        """Record why nothing can be published now."""
        with self._store.connection() as connection:
            connection.execute(self._sql["stop"], {"sink": self.sink, "reason": reason})

    def retry(self, *, actor: str) -> int:
        """Give rows that the sink refused a fresh start, and tell the audit; return how many."""
        with self._store.transaction() as connection:
            rows = connection.execute(self._sql["retry"], {"sink": self.sink}).rowcount
            if rows:
                details = {"sink": self.sink, "rows": rows}
                event = audit.Event("refused rows retried", details=details)
                audit.append(connection, actor, [event])
        return rows

    def refused(self, limit: int) -> list[dict[str, Any]]:
        """Return rows that the sink refused, with reasons."""
        values = {"sink": self.sink, "limit": limit}
        with self._store.connection() as connection:
            rows = connection.execute(self._sql["refused"], values).fetchall()
        return [row._asdict() for row in rows]

    def _lift(self, connection: Connection, revision: int) -> None:
        """Continue revisions after this one, with the counter's users locked out meanwhile."""
        row = connection.execute(self._sql["is_behind"], {"revision": revision}).fetchone()
        if row is not None and row.behind:
            connection.execute(self._sql["lock"])
            connection.execute(self._sql["lift"], {"revision": revision})


def _state(row: Any) -> SinkState:  # noqa: ANN401 - psycopg makes the row's type
    shown = row.status == "ok" and row.shows != "tombstoned"
    return SinkState(
        row_id=row.row_id,
        row_key=row.row_key,
        revision=row.revision,
        shows=row.shows,
        status=row.status,
        insight_id=row.insight_id,
        values=row.output if shown else {},
        citations=row.citations if shown else "",
        pipeline_version=row.pipeline_version,
        model=row.model,
        source_cursor=row.source_cursor,
        generated_at=row.generated_at,
        found_at=row.found_at,
        sealed=(row.sealed or {}) if shown else {},
        confidence=row.confidence if shown else None,
        trace=trace_of(row.row_id, row.pipeline_version_id, row.input_hash.bytes)
        if row.input_hash is not None
        else "",
    )
