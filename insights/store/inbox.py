"""The inbox: requests accepted through doors, how they stand, and when they are forgotten.

Accepting (`insights.store.accepting`) is one transaction: the request with its redacted fields, the
row in the ledger, and its work. Whatever is killed after it, the row goes the way of every row;
whatever is killed before it, nothing was accepted.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from insights import errors
from insights.ground import failpoints
from insights.model import Answer, Standing, Submission, Ticket
from insights.store import accepting, audit, forms
from insights.store.postgres import Connection, Store
from insights.store.queries import load
from insights.store.work import OVERDUE

_TRIES = 5  # of a transaction that met another one at the same rows
_PAUSE_S = 0.02
_AT_ONCE = 1_000  # requests whose fields are forgotten in one statement
_STANDINGS: dict[str | None, Standing] = {
    "pending": "queued",
    "missing": "queued",
    "claimed": "started",
    "done": "done",
    "dead": "failed",
    "superseded": "superseded",
    "cancelled": "cancelled",
}


class Inbox:
    """Implements `ports.Inbox` on PostgreSQL.

    Args:
        store: The store.
        holder: This process's name, for the audit.
        key_version: The number of the key that digests are made with.
        bounded: Clients have budgets here (docs/budgets.md).
    """

    def __init__(
        self, store: Store, holder: str, *, key_version: int = 1, bounded: bool = False
    ) -> None:
        self._store = store
        self._bounded = bounded
        self._holder = holder
        self._key_version = key_version
        self._sql = load("inbox")
        self._ledger = load("ledger")
        self._deployed: dict[str, accepting.Deployed] = {}  # by stream; each of one generation

    def submit(
        self, stream: str, submissions: Sequence[Submission]
    ) -> list[tuple[Ticket, ...] | errors.RequestRefused]:
        """Accept submissions of one stream in one transaction; see `ports.Inbox`.

        Raises:
            errors.StreamError: If a pipeline makes no work of this stream's rows.
            errors.Overloaded: If others were at the same rows again and again: nothing is accepted.
        """
        for tried in range(_TRIES):
            try:
                answers = self._accept(stream, submissions)
            except errors.Overloaded:
                time.sleep(_PAUSE_S * tried)
            else:
                failpoints.reach("after-accept-commit")
                return answers
        raise errors.Overloaded(
            "others send the same rows at this moment", where=f"stream {stream}", fix="send again"
        )

    def _accept(self, stream: str, submissions: Sequence[Submission]) -> list[accepting.Answered]:
        clients = {sent.client for sent in submissions} if self._bounded else ()
        values = {"stream": stream, "key_version": self._key_version, "clients": list(clients)}
        first = (
            (self._sql["standing_stream"], values),
            (self._sql["known_rows"], accepting.asked(stream, submissions)),
        )
        with self._store.beginning(*first) as (connection, (standing, known)):
            if not standing:
                raise accepting.not_live(f"stream {stream}")
            deployed = self._followed(connection, stream, standing[0])
            spenders = frozenset(standing[0].spenders)
            answers = accepting.Accepting(connection, deployed, spenders, known).accept(submissions)
            failpoints.reach("before-accept-commit")
        return answers

    def _followed(self, connection: Connection, stream: str, found: Any) -> accepting.Deployed:  # noqa: ANN401
        """Return what follows a stream, which stays so until the transaction ends.

        Raises:
            errors.StoreError: If our hash key was replaced.
        """
        if not found.newest:
            raise errors.StoreError(
                "another hash key is in use by now", where="hash_key", fix="restart with that one"
            )
        known = self._deployed.get(stream)
        if known is None or known.row.generation != found.generation:
            values = {"stream": stream}
            targets = connection.execute(self._sql["targets"], values).fetchall()
            row = connection.execute(self._ledger["deployed"], values).fetchone()
            known = accepting.Deployed(
                row, forms.versions(row), {one.name: one.pipeline_id for one in targets}
            )
            self._deployed[stream] = known
        return known

    def outcomes(self, ids: Sequence[str], *, delivers: bool = False) -> dict[str, Answer]:
        """Return how requests stand; see `ports.Inbox`."""
        with self._store.connection() as connection:
            rows = connection.execute(self._sql["outcomes"], {"ids": list(ids)}).fetchall()
            answers = {row.id: _answer(row) for row in rows}
            over = [id_ for id_, answer in answers.items() if answer.is_over]
            if delivers and over:
                connection.execute(self._sql["deliver"], {"ids": over})
        return answers

    def cancel(self, id_: str, *, actor: str) -> Answer | None:
        """Cancel a request that has no outcome yet; return how it stands, None if unknown."""
        with self._store.transaction() as connection:
            rows = connection.execute(self._sql["cancel"], {"id": id_}).fetchall()
            audit.append(connection, self._holder, _cancelled(rows, "request cancelled", actor))
        return self.outcomes([id_]).get(id_)

    def forget(self) -> int:
        """Delete fields whose time is over or whose outcome was delivered; return of how many."""
        with self._store.transaction() as connection:
            late: Any = connection.execute(self._sql["forget_late"], {"most": _AT_ONCE}).fetchone()
            ended = [msgspec.convert(row, _Ended) for row in late.ended]
            audit.append(connection, self._holder, _cancelled(ended, "request expired", None))
        with self._store.connection() as connection:
            told = connection.execute(self._sql["forget_delivered"], {"most": _AT_ONCE}).rowcount
            connection.execute(self._sql["forget_keys"])
            connection.execute(load("replies")["forget"])
        return int(late.forgotten) + told

    def waiting(self, pipeline: str, most: int) -> int:
        """Return how many rows wait for a pipeline, counted up to `most`."""
        values = {"pipeline": pipeline, "most": most}
        with self._store.connection() as connection:
            row: Any = connection.execute(self._sql["waiting"], values).fetchone()
        return int(row.rows)


class _Ended(msgspec.Struct, frozen=True):
    row_id: int
    stream_id: int


def _answer(row: Any) -> Answer:  # noqa: ANN401 - a psycopg named tuple
    made = row.insight_id is not None
    standing: Standing = "done" if made else _STANDINGS.get(row.state, "superseded")
    if standing == "cancelled" and row.work_reason == OVERDUE:
        standing = "expired"
    return Answer(
        id=row.id,
        pipeline=row.pipeline,
        stream=row.stream,
        key=row.key,
        standing=standing,
        accepted_at=row.accepted_at,
        status=row.status,
        output=row.output,
        citations=tuple(row.citations),
        confidence=row.confidence,
        reason=row.reason if made else row.work_reason,
        version=row.version,
        finished_at=row.generated_at if made else row.finished_at,
    )


def _cancelled(rows: Iterable[Any], action: str, client: str | None) -> list[audit.Event]:
    details = {} if client is None else {"client": client}
    return [
        audit.Event(action, stream_id=row.stream_id, row_id=row.row_id, details=details)
        for row in rows
    ]
