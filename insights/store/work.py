"""The queue: claim, extend, release, bury, move. A claim commits before any model runs."""

import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import structlog
from psycopg.types.json import Jsonb

from insights.model import Claim, Outstanding, Row, Share
from insights.store import audit
from insights.store.postgres import Connection, Store
from insights.store.queries import load
from insights.store.work_pages import WorkPages

log = structlog.get_logger(__name__)

_COUNTED = 1_000  # rows of a version that are counted each time they are asked for
OVERDUE = "it was not begun by its deadline"
_AT_ONCE = 1_000  # overdue requests that are ended in one statement
_COUNT_S = 30.0  # seconds between two counts of a longer queue


class WorkQueue:
    """Implements `ports.Work` on PostgreSQL.

    Args:
        store: The store.
        holder: This daemon's name.
        versions: The pipeline versions that it has the files of.
        ttl_s: Seconds a claim lasts without `extend`.
        max_attempts: Blamed attempts before a dead letter.
        key_version: The number of our hash key; with a newer one in use nothing is claimed.
    """

    def __init__(
        self,
        store: Store,
        holder: str,
        versions: Sequence[int],
        *,
        ttl_s: float,
        max_attempts: int,
        key_version: int = 1,
    ) -> None:
        self._store = store
        self._holder = holder
        self._versions = list(versions)
        self._ttl_s = ttl_s
        self._max_attempts = max_attempts
        self._key_version = key_version
        self._sql = load("work")
        self._repoint = load("deployments")["repoint"]
        self._pages = WorkPages(store, self._versions)
        self._bounded = False  # budgets bounded the last claim
        self._used_up = load("budgets")["used_up"]
        self._counted = 0  # rows of a long queue when they were last counted
        self._counted_at: float | None = None

    def claim(self, shares: Sequence[Share]) -> list[Claim]:
        """Take ready rows, of each version its share; suspects only where a share names them.

        Pages of a first load become rows where fewer are ready than a share asks for.
        """
        if self._pages.waits:
            self._pages.enqueue(shares)
        claims = self._claim(shares)
        taken = Counter(claim.pipeline_version_id for claim in claims)
        short = [
            msgspec.structs.replace(share, rows=share.rows - taken[share.pipeline_version_id])
            for share in shares
            if taken[share.pipeline_version_id] < share.rows and not share.isolated
        ]
        if short and self._pages.enqueue(short):
            claims += self._claim(short)
        return sorted(claims, key=lambda claim: claim.work_id)

    def _claim(self, shares: Sequence[Share]) -> list[Claim]:
        values = {
            "versions": [share.pipeline_version_id for share in shares],
            "rows": [share.rows for share in shares],
            "isolated": [share.isolated for share in shares],
            "holder": self._holder,
            "ttl_s": self._ttl_s,
            "key_version": self._key_version,
        }
        rows = None if self._bounded else self._claim_freely(values)
        if rows is None:
            with self._store.transaction() as connection:
                self._bounded = self._lock_budgets(connection, values)
                rows = connection.execute(self._sql[self._claims], values).fetchall()
        return [_claim(row) for row in rows]

    def _claim_freely(self, values: dict[str, Any]) -> list[Any] | None:
        """Claim where no budget bounds it; return None where one does by now."""
        with self._store.connection() as connection:
            if self._lock_budgets(connection, values):
                return None
            return connection.execute(self._sql["claim"], values, prepare=True).fetchall()

    def _lock_budgets(self, connection: Connection, values: dict[str, Any]) -> bool:
        """Keep others from claiming under the same budgets; tell whether there are any."""
        return bool(connection.execute(self._sql["lock_budgets"], values).fetchall())

    @property
    def _claims(self) -> str:
        return "claim_within" if self._bounded else "claim"

    def suspects(self) -> set[int]:
        """Return the versions with rows that are due now and must run alone."""
        with self._store.connection() as connection:
            rows = connection.execute(
                self._sql["suspects"], {"versions": self._versions}
            ).fetchall()
        return {row.pipeline_version_id for row in rows}

    def extend(self, claims: Sequence[Claim]) -> set[int]:
        """Prolong leases; return the work ids that are still ours."""
        with self._store.connection() as connection:
            rows = connection.execute(
                self._sql["extend"], {**_held(claims), "ttl_s": self._ttl_s}
            ).fetchall()
        return {row.work_id for row in rows}

    def release(
        self, claims: Sequence[Claim], *, delay_s: float, blame: bool, isolate: bool, reason: str
    ) -> set[int]:
        """Give rows back; without blame the attempt is not counted; isolated rows run alone.

        Returns the work ids that had no attempt left and are dead letters now.
        """
        values = {
            **_held(claims),
            "delay_s": delay_s,
            "blame": blame,
            "isolate": isolate,
            "reason": reason,
            "max_attempts": self._max_attempts,
        }
        with self._store.transaction() as connection:
            rows = connection.execute(self._sql["release"], values).fetchall()
            audit.append(connection, self._holder, _buried(rows))
        return {row.work_id for row in rows if row.state == "dead"}

    def bury(self, claim: Claim, reason: str) -> None:
        """Dead-letter one row with its reason."""
        values = {
            "work_id": claim.work_id,
            "token": claim.token,
            "reason": reason,
        }
        with self._store.transaction() as connection:
            rows = connection.execute(self._sql["bury"], values).fetchall()
            audit.append(connection, self._holder, _buried(rows))

    def missing(self, claims: Sequence[Claim]) -> None:
        """Record that claimed rows are absent from the replica: no attempt, no deletion."""
        with self._store.connection() as connection:
            connection.execute(self._sql["missing"], _held(claims))

    def restamp(self, equal: Sequence[tuple[Claim, Row]]) -> None:
        """Give claimed rows that are equal under the former key their hash under the new one."""
        rows = [
            {
                "work_id": claim.work_id,
                "token": claim.token,
                "former_hash": str(uuid.UUID(bytes=claim.input_hash)),
                "input_hash": str(uuid.UUID(bytes=row.input_hash)),
            }
            for claim, row in equal
        ]
        with self._store.transaction() as connection:
            connection.execute(self._sql["restamp"], {"rows": Jsonb(rows)})

    def move(self, moved: Sequence[tuple[Claim, Row]]) -> list[Claim]:
        """Move claims to the newer hashes that were read; rows that lost a race are left out."""
        rows = [
            {
                "work_id": claim.work_id,
                "token": claim.token,
                "input_hash": str(uuid.UUID(bytes=row.input_hash)),
                "cursor": row.cursor,
            }
            for claim, row in moved
        ]
        with self._store.transaction() as connection:
            found = connection.execute(
                self._sql["move"],
                {
                    "rows": Jsonb(rows),
                    "holder": self._holder,
                    "key_version": self._key_version,
                },
            ).fetchall()
        return [_claim(row) for row in found]

    def recorded(self, stream: str) -> tuple[str | None, str | None]:
        """Return the replica's identity and position as the stream's last poll recorded them."""
        with self._store.connection() as connection:
            row = connection.execute(self._sql["recorded"], {"stream": stream}).fetchone()
        return (None, None) if row is None else (row.identity, row.position)

    def expire(self) -> int:
        """Take back leases whose holder died, and work of retired versions; tell how many died."""
        values = {"max_attempts": self._max_attempts}
        with self._store.transaction() as connection:
            rows = connection.execute(self._sql["expire"], values).fetchall()
            audit.append(connection, self._holder, _buried(rows))
        for row in rows:
            if row.state == "dead":
                log.warning(
                    "dead letter", stream=row.stream, work_id=row.work_id, reason=row.reason
                )
        self._end_overdue()
        with self._store.connection() as connection:  # apart: neither waits for the other
            connection.execute(self._repoint)
        self._pages.look()
        return len(rows)

    def _end_overdue(self) -> None:
        """Say of requests that were not begun by their deadline that they have ended."""
        with self._store.transaction() as connection:
            values = {"most": _AT_ONCE, "reason": OVERDUE}
            rows = connection.execute(self._sql["overdue"], values).fetchall()
            audit.append(
                connection,
                self._holder,
                (
                    audit.Event(
                        "request expired",
                        stream_id=row.stream_id,
                        row_id=row.row_id,
                        details={"reason": OVERDUE},
                    )
                    for row in rows
                ),
            )

    def adopt(self) -> int:
        """At start: take back at once what a former run of this daemon held."""
        with self._store.connection() as connection:
            return connection.execute(self._sql["adopt"], {"holder": self._holder}).rowcount

    def outstanding(self) -> Outstanding:
        """Count open work; a long queue's end is counted now and then, and told until the next."""
        found = self._open(self._versions)
        if not found.all_open:
            return found
        with self._store.connection() as connection:
            rows = connection.execute(self._used_up, {"versions": self._versions}).fetchall()
        stopped = {row.pipeline_version_id for row in rows if row.client is None}
        clients = {row.client for row in rows if row.client is not None}
        others = [version for version in self._versions if version not in stopped]
        if not rows or self._open(others, without=clients).all_open:
            return found
        first = rows[0]
        until = f"the budget {first.budget} is used up until {first.resets_at:%Y-%m-%d %H:%M} UTC"
        return msgspec.structs.replace(found, bounded=until)

    def _open(self, versions: Sequence[int], without: Collection[str] = ()) -> Outstanding:
        values = {"versions": list(versions), "most": _COUNTED, "without": list(without)}
        with self._store.connection() as connection:
            row = connection.execute(self._sql["outstanding"], values).fetchone()
            assert row is not None  # noqa: S101 - an aggregate always returns a row
            if row.all_open < _COUNTED:
                return Outstanding(all_open=row.all_open, next_s=row.next_s)
            if self._counted_at is None or time.monotonic() - self._counted_at > _COUNT_S:
                counted = connection.execute(self._sql["waiting"], values).fetchone()
                self._counted = counted.rows if counted else 0
                self._counted_at = time.monotonic()
        return Outstanding(all_open=max(row.all_open, self._counted), next_s=row.next_s)


class DeadLetters:
    """What the `dead` commands show and retry."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("work")

    def list(self, stream: str | None, limit: int) -> Sequence[dict[str, Any]]:
        """Return dead letters, newest first."""
        with self._store.connection() as connection:
            rows = connection.execute(
                self._sql["dead_list"], {"stream": stream, "limit": limit}
            ).fetchall()
        return [row._asdict() for row in rows]

    def reasons(self, stream: str | None) -> dict[str, int]:
        """Return how many dead letters have each reason, the most frequent first."""
        with self._store.connection() as connection:
            rows = connection.execute(self._sql["dead_reasons"], {"stream": stream}).fetchall()
        return {row.reason: row.rows for row in rows}

    def show(self, work_id: int) -> dict[str, Any] | None:
        """Return one dead letter with what the audit knows of its row."""
        with self._store.connection() as connection:
            row = connection.execute(self._sql["dead_show"], {"work_id": work_id}).fetchone()
        return None if row is None else row._asdict()

    def retry(self, *, stream: str | None, work_id: int | None, actor: str) -> int:
        """Give dead letters a fresh start; return how many."""
        values = {"stream": stream, "work_id": work_id}
        with self._store.transaction() as connection:
            rows = connection.execute(self._sql["dead_retry"], values).fetchall()
            audit.append(
                connection,
                actor,
                (
                    audit.Event("dead-letter retried", stream_id=row.stream_id, row_id=row.row_id)
                    for row in rows
                ),
            )
        return len(rows)


def _held(claims: Iterable[Claim]) -> dict[str, list[Any]]:
    held = list(claims)
    return {
        "work_ids": [claim.work_id for claim in held],
        "tokens": [claim.token for claim in held],
    }


def _buried(rows: Iterable[Any]) -> list[audit.Event]:
    """Return the events of what became dead letters."""
    return [
        audit.Event(
            "dead-letter",
            stream_id=row.stream_id,
            row_id=row.row_id,
            details={"reason": row.reason},
        )
        for row in rows
        if row.state == "dead"
    ]


def _claim(row: Any) -> Claim:  # noqa: ANN401 - a psycopg named tuple
    return Claim(
        work_id=row.work_id,
        row_id=row.row_id,
        token=str(row.lease_token),
        stream=row.stream,
        row_key=row.row_key,
        input_hash=row.input_hash.bytes,
        hash_version=row.hash_version,
        pipeline_version_id=row.pipeline_version_id,
        attempts=row.attempts,
        isolated=row.isolated,
        barred=row.barred,
    )
