"""The ledger: every known row's hash, the stream's place between polls, and what sweeps saw."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from psycopg.types.json import Jsonb

from insights import errors
from insights.ground import failpoints, keys
from insights.model import (
    Following,
    Gap,
    Horizon,
    Lease,
    Mark,
    Page,
    Recorded,
    StreamState,
    Window,
)
from insights.store import audit, forms
from insights.store.postgres import Connection, Store
from insights.store.queries import load
from insights.store.sweeps import Sweeps, as_bookmark, as_json


class Ledger(Sweeps):
    """One stream's rows in the store. Every write is fenced by the stream's lease, and prolongs it.

    Args:
        store: The store.
        stream: The stream's name.
        holder: This daemon's name, for the audit.
        remark: What a mark seen behind an acknowledge asks for; None where rows are told nothing.
        key_version: The number of the key that hashes are made with.
        swept: Whether sweeps end a change of the hashes' form: not where rows are marked.
    """

    def __init__(
        self,
        store: Store,
        stream: str,
        *,
        holder: str,
        remark: Literal["publish", "regenerate"] | None = None,
        key_version: int = 1,
        swept: bool = True,
    ) -> None:
        super().__init__(store, holder=holder, key_version=key_version)
        self._stream = stream
        self._regenerate = remark == "regenerate"
        self._key_version = key_version
        self._swept = swept
        self._following: Following | None = None
        self._seen = load("requests")["seen"] if remark is not None else None
        self._fresh = False  # whether the last page was new from first to last, as in a first load
        self._same = False  # whether it was as it had been, as in a sweep

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
            bookmark=as_bookmark(begun.get("bookmark")),
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

    def follow(self, lease: Lease) -> Following:
        """Return the versions that follow the stream; begin another form of hashes if need be.

        Raises:
            errors.StoreError: If no pipeline has followed the stream yet.
            errors.Fenced: If the lease is gone.
        """
        with self._store.transaction() as connection:
            row = connection.execute(self._sql["deployed"], {"stream": self._stream}).fetchone()
            if row is None:
                raise errors.StoreError(
                    f"no pipeline has followed the stream {self._stream!r} yet",
                    where="store",
                    fix="start a daemon that has the files of one: role enrich",
                )
            now, change = forms.next_form(row, self._key_version, swept=self._swept)
            if change is not None:
                self._fence(connection, lease)
                connection.execute(self._sql[change], forms.values(row.stream_id, now))
            self._following = forms.following(row, now)
            return self._following

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
            horizon=as_json(horizon),
            mark=None if mark is None else as_json(mark),
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
        following = self._following or self.follow(lease)
        values = {
            **self._values,
            "regenerate": self._regenerate,
            "versions": [version.version_id for version in following.versions],
            "pipelines": [version.pipeline_id for version in following.versions],
            "sinks": [version.sink_id for version in following.versions],
            "slots": following.slots,
            "hash_version": following.hash_version,
            "rekeyed": following.rekeyed,
            "stream_id": stream_id,
            "want_ids": want_ids,
            "enqueue": enqueue,
            "read_at": read_at,
            "sample": sample,
        }
        with self._fenced(lease) as connection:
            found = connection.execute(self._sql["generation"], values).fetchone()
            if found is None or found.generation != following.generation:
                self._following = None
                raise errors.Overloaded(
                    "another version of a pipeline was deployed while a page was read",
                    where=f"stream {self._stream}",
                    fix="none needed: the next poll goes on with it",
                )
            connection.execute(self._sql["page_table"])
            copy_page = "copy_page_wide" if page.wide else "copy_page"
            with connection.cursor().copy(self._sql[copy_page]) as copy:
                copy.write(page.block)
            connection.execute(self._sql["plan_anew"])
            rows = page.rows - self._held_back(connection)
            if following.changes:
                connection.execute(self._sql["restamp_page"], values)
            row = self._recorded(connection, values, rows)
            if bookmark and self._seen is not None:
                again = connection.execute(self._seen, values).fetchall()
                audit.append(
                    connection,
                    self._holder,
                    (
                        audit.Event("asked for again", stream_id=stream_id, row_id=row.row_id)
                        for row in again
                    ),
                )
            if bookmark and page.last is not None and not row.outdated:
                last, at = as_json(page.last), keys.join(page.last.key)
                connection.execute(
                    self._sql["bookmark"], {"stream_id": stream_id, "bookmark": last, "at": at}
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
            paused=found.paused,
        )

    def _held_back(self, connection: Connection) -> int:
        """Take rows that were forgotten out of the page; return how many those are."""
        held = connection.execute(self._sql["hold_back"], {"stream": self._stream}).fetchone()
        return 0 if held is None else int(held.rows)

    def _recorded(self, connection: Connection, values: Mapping[str, Any], rows: int) -> Any:  # noqa: ANN401
        """Enter the page: as all known, or all new, where the last page was so; else by look-up.

        Known rows that are as they were need no more than that they are.
        """
        row: Any  # an aggregate: there is always one
        if self._same:
            row = connection.execute(self._sql["record_same"], values).fetchone()
            if row.same == rows:
                return row
        if self._fresh and not any(values["slots"]):
            row = connection.execute(self._sql["record_new"], values).fetchone()
            if row.new == rows:
                return row
        twice = connection.execute(self._sql["contradictions"]).fetchone()
        if twice is not None:
            raise errors.StreamError(
                "a key occurs twice with different values: it is no unique key",
                where=f"stream {self._stream}",
                fix="name a key that is unique, or correct the view",
            )
        row = connection.execute(self._sql["record"], values).fetchone()
        self._fresh = row.new == rows > 0
        self._same = not (row.new or row.changed or row.outdated)
        return row

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
            passes=as_json(passes),
            gaps=as_json(gaps),
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
        self._note(lease, "gaps", stream_id=stream_id, gaps=as_json(gaps))

    def widen(self, lease: Lease, stream_id: int, overlap_s: float, *, rows: int) -> bool:
        """Raise the overlap, because a sweep found rows that came later; True if it was lower."""
        values = {**self._values, "stream_id": stream_id, "overlap_s": overlap_s, "rows": rows}
        with self._fenced(lease) as connection:
            if connection.execute(self._sql["widen"], values).fetchone() is None:
                return False
            details = {"overlap_s": overlap_s, "rows": rows}
            event = audit.Event("overlap widened", stream_id=stream_id, details=details)
            audit.append(connection, self._holder, [event])
            return True

    def new_epoch(self, lease: Lease, stream_id: int, identity: str | None) -> None:
        """Begin again on another replica or another history."""
        self._note(lease, "new_epoch", stream_id=stream_id, identity=identity)

    def trouble(self, reason: str) -> None:
        """Note why the stream is not polled at present; the next poll that ends clears it."""
        with self._store.connection() as connection:
            connection.execute(self._sql["trouble"], {"stream": self._stream, "reason": reason})

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


def _window(window: Window | None, unchanged: int) -> Jsonb | None:
    if window is None:
        return None
    return Jsonb({"found": msgspec.to_builtins(window), "unchanged": unchanged})
