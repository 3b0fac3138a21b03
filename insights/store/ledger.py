"""The ledger: every known row's hash, the stream's place between polls, and what sweeps saw."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from psycopg.types.json import Jsonb

from insights import errors
from insights.ground import failpoints
from insights.model import (
    Bookmark,
    Gap,
    Horizon,
    Lease,
    Mark,
    Page,
    Recorded,
    StreamState,
    SweepState,
    Window,
)
from insights.store.postgres import Connection, Store
from insights.store.queries import load

HASH_VERSION = 1  # of a store whose key was never rotated


class Ledger:
    """One stream's rows in the store. Every write is fenced by the stream's lease, and prolongs it.

    Args:
        store: The store.
        stream: The stream's name.
        pipeline_version_id: What new and changed rows are to be done with.
        sink_id: Which sink is told that an insight has become stale or current; None without one.
        holder: This daemon's name, for the audit.
        remark: What a mark seen behind an acknowledge asks for; None where rows are told nothing.
        hash_version: The number of the key that hashes are made with.
        rotating: Pages carry the hash under the former key too.
    """

    def __init__(
        self,
        store: Store,
        stream: str,
        pipeline_version_id: int,
        *,
        sink_id: int | None,
        holder: str,
        remark: Literal["publish", "regenerate"] | None = None,
        hash_version: int = HASH_VERSION,
        rotating: bool = False,
    ) -> None:
        self._store = store
        self._stream = stream
        self._values = {
            "pipeline_version_id": pipeline_version_id,
            "sink_id": sink_id,
            "holder": holder,
            "hash_version": hash_version,
            "regenerate": remark == "regenerate",
        }
        self._rotating = rotating
        self._seen = load("requests")["seen"] if remark is not None else None
        self._sql = load("ledger")
        self._fresh = False  # whether the last page was new from first to last, as in a first load

    def state(self) -> StreamState:
        """Return what is known of the stream between polls."""
        with self._store.connection() as connection:
            row = connection.execute(self._sql["state"], {"stream": self._stream}).fetchone()
        if row is None:
            raise errors.StoreError(
                f"the stream {self._stream!r} is not registered", where="store", fix="restart"
            )
        begun = row.begun or {}
        window = row.window_read or {}
        return StreamState(
            stream_id=row.stream_id,
            paused=row.paused,
            stopped_reason=row.stopped_reason,
            epoch=row.epoch,
            identity=row.identity,
            position=row.position,
            watermark=row.watermark,
            bookmark=_bookmark(begun.get("bookmark")),
            mark=msgspec.convert(begun.get("mark"), Mark | None),
            horizon=msgspec.convert(begun.get("horizon"), Horizon | None),
            passes=msgspec.convert(row.passes, tuple[Mark, ...]),
            gaps=msgspec.convert(row.gaps, tuple[Gap, ...]),
            window=msgspec.convert(window["found"], Window) if window else None,
            unchanged=window.get("unchanged", 0),
            overlap_s=row.overlap_s,
            shape=row.shape,
            sweep_due=row.sweep_due,
            baselined=row.baselined,
            now=row.now,
        )

    def begin_pass(
        self,
        lease: Lease,
        stream_id: int,
        horizon: Horizon,
        mark: Mark | None,
        window: Window | None,
        unchanged: int = 0,
    ) -> None:
        """Note that a pass begins; see `ports.Ledger`."""
        self._note(
            lease,
            "begin_pass",
            stream_id=stream_id,
            horizon=_json(horizon),
            mark=None if mark is None else _json(mark),
            window=_window(window, unchanged),
        )

    def record(
        self,
        lease: Lease,
        stream_id: int,
        page: Page,
        *,
        read_at: float,
        bookmark: bool = True,
        want_ids: bool = False,
        enqueue: bool = True,
        sample: int = 0,
    ) -> Recorded:
        """Record one page and, in the same transaction, the bookmark behind it.

        Raises:
            errors.StreamError: If a key occurs twice with different inputs.
            errors.Fenced: If the lease is gone.
        """
        values = {
            **self._values,
            "stream_id": stream_id,
            "want_ids": want_ids,
            "enqueue": enqueue,
            "read_at": read_at,
            "sample": sample,
        }
        with self._fenced(lease) as connection:
            connection.execute(self._sql["page_table"])
            copy_page = "copy_page_both" if self._rotating else "copy_page"
            with connection.cursor().copy(self._sql[copy_page]) as copy:
                copy.write(page.block)
            connection.execute(self._sql["plan_anew"])
            if self._rotating:
                connection.execute(self._sql["restamp_page"], values)
            row = self._recorded(connection, values, page.rows)
            if bookmark and self._seen is not None:
                connection.execute(self._seen, values)
            if bookmark and page.last is not None and not row.outdated:
                connection.execute(
                    self._sql["bookmark"], {"stream_id": stream_id, "bookmark": _json(page.last)}
                )
            failpoints.reach("before-page-commit")
        failpoints.reach("after-page-commit")
        return Recorded(
            new=row.new,
            changed=row.changed,
            revived=row.revived,
            at=row.at,
            outdated=row.outdated,
            stamped=tuple(row.stamped),
            row_ids=tuple(row.row_ids) if want_ids else (),
        )

    def _recorded(self, connection: Connection, values: Mapping[str, Any], rows: int) -> Any:  # noqa: ANN401
        """Enter the page: as rows that are all new where the last page's were, else by look-up."""
        row: Any  # an aggregate: there is always one
        entered, stamped = 0, []  # what the look-up then finds unchanged
        if self._fresh:
            row = connection.execute(self._sql["record_new"], values).fetchone()
            if row.new == rows:
                return row
            entered, stamped = row.new, row.stamped
        twice = connection.execute(self._sql["contradictions"]).fetchone()
        if twice is not None:
            raise errors.StreamError(
                "a key occurs twice with different values: it is no unique key",
                where=f"stream {self._stream}",
                fix="name a key that is unique, or correct the view",
            )
        row = connection.execute(self._sql["record"], values).fetchone()
        self._fresh = row.new == rows > 0
        stamped = [*stamped, *row.stamped][: values["sample"]]
        return row._replace(new=row.new + entered, stamped=stamped)

    def end_pass(
        self,
        lease: Lease,
        stream_id: int,
        passes: Sequence[Mark],
        gaps: Sequence[Gap],
        watermark: str | None,
    ) -> None:
        """Close a complete pass and promote the watermark."""
        self._note(
            lease,
            "end_pass",
            stream_id=stream_id,
            passes=_json(passes),
            gaps=_json(gaps),
            watermark=watermark,
        )

    def seen(
        self,
        lease: Lease,
        stream_id: int,
        *,
        identity: str | None,
        position: str | None,
        lag_s: float | None,
        window: Window | None = None,
        unchanged: int = 0,
        complete_s: float | None = None,
    ) -> None:
        """Note which replica a poll spoke to, and the time that it is complete through."""
        self._note(
            lease,
            "seen",
            stream_id=stream_id,
            identity=identity,
            position=position,
            lag_s=lag_s,
            window=_window(window, unchanged),
            complete_s=complete_s,
        )

    def late(self, stream_id: int, ages_s: Sequence[float]) -> None:
        """Count how old cursors were when their rows were recorded."""
        with self._store.connection() as connection:
            connection.execute(self._sql["late"], {"stream_id": stream_id, "ages_s": list(ages_s)})

    def keep_gaps(self, lease: Lease, stream_id: int, gaps: Sequence[Gap]) -> None:
        """Replace the missing identities that are looked for."""
        self._note(lease, "gaps", stream_id=stream_id, gaps=_json(gaps))

    def widen(self, lease: Lease, stream_id: int, overlap_s: float, *, rows: int) -> bool:
        """Raise the overlap, because a sweep found rows that came later; True if it was lower."""
        values = {**self._values, "stream_id": stream_id, "overlap_s": overlap_s, "rows": rows}
        with self._fenced(lease) as connection:
            return connection.execute(self._sql["widen"], values).fetchone() is not None

    def new_epoch(self, lease: Lease, stream_id: int, identity: str | None) -> None:
        """Begin again on another replica or another history."""
        self._note(lease, "new_epoch", stream_id=stream_id, identity=identity)

    def stop(self, stream_id: int, reason: str) -> None:
        """Stop the stream until somebody acts."""
        with self._store.connection() as connection:
            connection.execute(self._sql["stop"], {"stream_id": stream_id, "reason": reason})

    def shape(self, stream_id: int, shape: Mapping[str, str]) -> None:
        """Record the columns and types that are read from now on."""
        with self._store.connection() as connection:
            connection.execute(
                self._sql["shape"], {"stream_id": stream_id, "shape": Jsonb(dict(shape))}
            )

    # --- sweeps --------------------------------------------------------------------------------

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
            bookmark=_bookmark(row.bookmark),
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
            bookmark=_json(bookmark) if bookmark else None,
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
                row = connection.execute(
                    self._sql["bury_rows"],
                    {**self._values, "row_ids": list(gone), "stream_id": stream_id},
                ).fetchone()
                assert row is not None  # noqa: S101 - an aggregate always returns a row
                deleted = int(row.deleted)
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

    def last_sweep(self, stream_id: int) -> tuple[float, bool, float] | None:
        """Return of the last sweep that ended how long ago; see `ports.Ledger`."""
        with self._store.connection() as connection:
            row = connection.execute(self._sql["last_sweep"], {"stream_id": stream_id}).fetchone()
        if row is None:
            return None
        return row.age_s, row.unconfirmed and not row.refused_reason, row.began_s

    # --- inside --------------------------------------------------------------------------------

    @contextmanager
    def _fenced(self, lease: Lease) -> Iterator[Connection]:
        with self._store.transaction() as connection:
            held = connection.execute(
                self._sql["fence"],
                {**self._values, "name": lease.name, "token": lease.token, "ttl_s": lease.ttl_s},
            ).fetchone()
            if held is None:
                raise errors.Fenced("somebody else holds the lease", where=lease.name)
            if not held.newest:
                raise errors.Fenced(
                    "another daemon has begun to rotate the credential hash_key",
                    where=lease.name,
                    fix="restart this one with the new hash_key, the former one as hash_key_former",
                )
            yield connection

    def _note(self, lease: Lease, statement: str, **values: Any) -> None:  # noqa: ANN401
        with self._fenced(lease) as connection:
            connection.execute(self._sql[statement], values)


def _json(value: object) -> Jsonb:
    return Jsonb(msgspec.to_builtins(value))


def _bookmark(value: Any) -> Bookmark | None:  # noqa: ANN401 - JSON
    return msgspec.convert(value, Bookmark) if value else None


def _window(window: Window | None, unchanged: int) -> Jsonb | None:
    if window is None:
        return None
    return Jsonb({"found": msgspec.to_builtins(window), "unchanged": unchanged})
