"""Requests: rows that the legacy application marked, and what it has been told about them."""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from insights.model import Outcome, PassingRow, Told, Verb
from insights.store import audit
from insights.store.leases import Leases
from insights.store.postgres import Store
from insights.store.queries import load


class StreamRequests:
    """Implements `ports.Requests` on PostgreSQL, for one stream.

    Args:
        store: The store.
        leases: This daemon's leases.
        stream: The stream's name.
        verbs: What the stream's rows can be told.
        holder: This daemon's name, for the audit.
    """

    def __init__(
        self,
        store: Store,
        leases: Leases,
        stream: str,
        *,
        verbs: Sequence[Verb],
        holder: str,
    ) -> None:
        self._store = store
        self._leases = leases
        self._stream = stream
        self._values = {"stream": stream, "verbs": list(verbs)}
        self._holder = holder
        self._sql = load("requests")

    def hold(self) -> bool:
        """Take or prolong the lease; False if another daemon has it."""
        return self._leases.take(f"acknowledge:{self._stream}") is not None

    def due(self, after: int, window: int) -> tuple[list[Outcome], int | None]:
        """Return what is due among the next open requests by row id, and the last one's row id."""
        values = {**self._values, "after": after, "window": window}
        row = self._one("due", values)
        outcomes = msgspec.convert(row.outcomes, list[Outcome])
        return outcomes, row.last if row.looked == window else None

    def settle(self, told: Sequence[Told], position: str | None) -> None:
        """Record what a batch of statements did, and the primary's position after them."""
        known = Jsonb([msgspec.to_builtins(one) for one in told])
        with self._store.transaction() as connection:
            values = {"told": known, "position": position}
            settled = connection.execute(self._sql["settle"], values).fetchall()
            audit.append(
                connection,
                self._holder,
                (
                    audit.Event(
                        action=row.state,
                        stream_id=row.stream_id,
                        row_id=row.row_id,
                        details={"changed": row.changed},
                    )
                    for row in settled
                ),
            )

    def told(self, stream_id: int, limit: int) -> list[str]:
        """Return positions that the replica may not have reached yet, oldest first."""
        values = {"stream_id": stream_id, "limit": limit}
        with self._store.connection() as connection:
            return [row.position for row in connection.execute(self._sql["told"], values)]

    def passing(
        self, stream_id: int, reached: Sequence[str] | None, limit: int, *, overlap_s: float
    ) -> list[PassingRow]:
        """Return rows whose statements the replica has applied; None: it has no position."""
        values = {
            "stream_id": stream_id,
            "positions": list(reached or ()),
            "limit": limit,
            "comparable": reached is not None,
            "overlap_s": overlap_s,
        }
        with self._store.connection() as connection:
            rows = connection.execute(self._sql["passing"], values).fetchall()
        return [PassingRow(row_id=r.row_id, row_key=r.row_key, told_at=r.told_at) for r in rows]

    def passed(self, rows: Sequence[PassingRow]) -> None:
        """Take marks on these rows for new requests from now on."""
        values = {
            "row_ids": [row.row_id for row in rows],
            "told_at": [row.told_at for row in rows],
        }
        with self._store.connection() as connection:
            connection.execute(self._sql["passed"], values)

    def _one(self, statement: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - psycopg's row
        with self._store.connection() as connection:
            row = connection.execute(self._sql[statement], values).fetchone()
        assert row is not None  # noqa: S101 - an aggregate always returns a row
        return row
