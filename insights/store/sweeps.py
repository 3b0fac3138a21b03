"""What is written of a stream under its lease, and its sweeps."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from insights import errors
from insights.ground import keys
from insights.model import Bookmark, LastSweep, Lease, StreamState, SweepState
from insights.store import audit
from insights.store.postgres import Connection, Store
from insights.store.queries import load


class Sweeps:
    """The sweeps of one stream. Every write is fenced by the stream's lease, and prolongs it.

    Args:
        store: The store.
        holder: This daemon's name, for the audit.
        key_version: The number of the key that hashes are made with.
    """

    def __init__(self, store: Store, *, holder: str, key_version: int) -> None:
        self._store = store
        self._holder = holder
        self._values: dict[str, Any] = {"key_version": key_version}
        self._sql = load("ledger")

    def open_sweep(self, lease: Lease, state: StreamState) -> SweepState:
        """Return the unfinished sweep of this epoch, or begin one."""
        values = {"stream_id": state.stream_id, "epoch": state.epoch}
        with self._fenced(lease) as connection:
            row = connection.execute(self._sql["open_sweep"], values).fetchone()
            if row is None:
                row = connection.execute(self._sql["begin_sweep"], values).fetchone()
            assert row is not None  # noqa: S101 - an INSERT … RETURNING returns its row
            blocks = connection.execute(self._sql["blocks"], {"sweep_id": row.sweep_id}).fetchall()
        return SweepState(
            sweep_id=row.sweep_id,
            epoch=row.epoch,
            bookmark=as_bookmark(row.bookmark),
            blocks={block.block: bytes(block.present) for block in blocks},
        )

    def checkpoint(
        self,
        lease: Lease,
        sweep_id: int,
        blocks: Mapping[int, bytes],
        bookmark: Bookmark | None,
        *,
        rows: int,
        rescued: int,
    ) -> None:
        """Save marks and bookmark together."""
        self._note(
            lease,
            "checkpoint",
            sweep_id=sweep_id,
            blocks=list(blocks),
            present=list(blocks.values()),
            bookmark=as_json(bookmark) if bookmark else None,
            at=keys.join(bookmark.key) if bookmark else None,
            rows=rows,
            rescued=rescued,
        )

    def absent(self, sweep_id: int, position: str | None) -> tuple[list[int], int, int]:
        """Return the rows absent twice, how many are absent now, and how many rows are known."""
        with self._store.connection() as connection:
            row = connection.execute(
                self._sql["absent"], {"sweep_id": sweep_id, "position": position}
            ).fetchone()
        assert row is not None  # noqa: S101 - an aggregate always returns a row
        return list(row.twice), row.once, row.known

    def end_sweep(
        self,
        lease: Lease,
        stream_id: int,
        sweep_id: int,
        *,
        position: str | None,
        gone: Sequence[int],
        absent: int,
        refused: str | None,
        first: bool,
    ) -> int:
        """Close a sweep and tombstone what is gone; return how many rows that were."""
        with self._fenced(lease) as connection:
            deleted = 0
            if gone:
                rows = connection.execute(
                    self._sql["bury_rows"], {"row_ids": list(gone)}
                ).fetchall()
                audit.append(
                    connection,
                    self._holder,
                    (
                        audit.Event("row deleted", stream_id=stream_id, row_id=row.row_id)
                        for row in rows
                    ),
                )
                deleted = len(rows)
            connection.execute(
                self._sql["end_sweep"],
                {
                    "sweep_id": sweep_id,
                    "position": position,
                    "absent": absent,
                    "deleted": deleted,
                    "refused": refused,
                    "first": first,
                },
            )
        return deleted

    def last_sweep(self, stream_id: int) -> LastSweep | None:
        """Return what is known of the last sweep that ended."""
        with self._store.connection() as connection:
            row = connection.execute(self._sql["last_sweep"], {"stream_id": stream_id}).fetchone()
        return None if row is None else LastSweep(**row._asdict())

    # --- inside --------------------------------------------------------------------------------

    @contextmanager
    def _fenced(self, lease: Lease) -> Iterator[Connection]:
        with self._store.transaction() as connection:
            self._fence(connection, lease)
            yield connection

    def _fence(self, connection: Connection, lease: Lease) -> None:
        """Prolong the lease; what is written in this transaction is written under it."""
        values = {**self._values, "name": lease.name, "token": lease.token, "ttl_s": lease.ttl_s}
        held = connection.execute(self._sql["fence"], values).fetchone()
        if held is None:
            raise errors.Fenced("somebody else holds the lease", where=lease.name)
        if not held.newest:
            raise errors.Fenced(
                "another daemon has begun to rotate the credential hash_key",
                where=lease.name,
                fix="restart this one with the new hash_key, the former one as hash_key_former",
            )

    def _note(self, lease: Lease, statement: str, **values: Any) -> None:  # noqa: ANN401
        with self._fenced(lease) as connection:
            connection.execute(self._sql[statement], values)


def as_json(value: object) -> Jsonb:
    """Return a value of ours as the store keeps it."""
    return Jsonb(msgspec.to_builtins(value))


def as_bookmark(value: Any) -> Bookmark | None:  # noqa: ANN401 - JSON
    """Return a bookmark as the store keeps it."""
    return msgspec.convert(value, Bookmark) if value else None
