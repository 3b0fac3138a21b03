"""The inbox: requests accepted through doors, how they stand, and when they are forgotten.

Accepting is one transaction: the request with its redacted fields, the row in the ledger, and its
work, entered by the poller's own statement. Whatever is killed after it, the row goes the way of
every row; whatever is killed before it, nothing was accepted.
"""

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from insights import errors
from insights.ground import failpoints
from insights.model import Answer, Prepared, Standing, Submission, Ticket, Version
from insights.store import audit, forgetting, forms, spending
from insights.store.inbox_rows import hash_of
from insights.store.postgres import Connection, Store
from insights.store.queries import load
from insights.store.work import OVERDUE

_TRIES = 5  # of a transaction that met another one at the same rows
_PAUSE_S = 0.02
_AT_ONCE = 1_000  # requests whose fields are forgotten in one statement
_NEVER_OUTDATED_S = 253_370_764_800.0  # 9999: no claim has moved to newer fields than these
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
        self._deployed: dict[str, _Deployed] = {}  # by stream, until its generation is another

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
                with self._store.transaction() as connection:
                    deployed = self._followed(connection, stream)
                    found = _Accepting(connection, self._sql, self._ledger, stream, deployed)
                    answers = found.accept(submissions, bounded=self._bounded)
                    failpoints.reach("before-accept-commit")
            except errors.Overloaded:
                time.sleep(_PAUSE_S * tried)
            else:
                failpoints.reach("after-accept-commit")
                return answers
        raise errors.Overloaded(
            "others send the same rows at this moment", where=f"stream {stream}", fix="send again"
        )

    def _followed(self, connection: Connection, stream: str) -> "_Deployed":
        """Return what follows a stream, which stays so until the transaction ends.

        Raises:
            errors.StreamError: If nothing does yet.
            errors.StoreError: If our hash key was replaced.
        """
        values = {"stream": stream, "key_version": self._key_version}
        found = connection.execute(self._sql["standing_stream"], values).fetchone()
        if found is None:
            raise _not_live(f"stream {stream}")
        if not found.newest:
            raise errors.StoreError(
                "another hash key is in use by now", where="hash_key", fix="restart with that one"
            )
        known = self._deployed.get(stream)
        if known is None or known.row.generation != found.generation:
            targets = connection.execute(self._sql["targets"], values).fetchall()
            row = connection.execute(self._ledger["deployed"], values).fetchone()
            known = _Deployed(
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


class _Deployed(msgspec.Struct, frozen=True):
    """What follows a stream: psycopg's row of it, the versions, the pipelines by name."""

    row: Any
    versions: tuple[Version, ...]
    pipelines: dict[str, int]


class _Ended(msgspec.Struct, frozen=True):
    row_id: int
    stream_id: int


class _Accepting:
    """One transaction that accepts."""

    def __init__(
        self,
        connection: Connection,
        sql: Mapping[str, str],
        ledger: Mapping[str, str],
        stream: str,
        deployed: _Deployed,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._sql = sql
        self._ledger = ledger
        self._deployed = deployed
        self._spenders: frozenset[str] = frozenset()  # see `spending.taken`

    def accept(
        self, submissions: Sequence[Submission], *, bounded: bool
    ) -> list[tuple[Ticket, ...] | errors.RequestRefused]:
        """Accept what can be; say of the rest why not."""
        pipelines = {sent.pipeline: self._target(sent.pipeline) for sent in submissions}
        gone = forgetting.kept_out(self._connection, self._stream, submissions)
        answers = [
            forgetting.refused(sent, gone) or self._used(sent, pipelines[sent.pipeline])
            for sent in submissions
        ]
        fresh = [
            (sent, pipelines[sent.pipeline])
            for sent, answer in zip(submissions, answers, strict=True)
            if answer is None
        ]
        stands = self._standing(fresh)
        short: dict[int, errors.RequestRefused] = {}
        if bounded:
            short, self._spenders = spending.taken(self._connection, self._sql, fresh, stands)
        tickets = self._tickets([one for one in fresh if id(one[0]) not in short], stands)
        made = iter([short.get(id(sent)) or tickets[id(sent)] for sent, _ in fresh])
        return [next(made) if answer is None else answer for answer in answers]

    def _target(self, pipeline: str) -> int:
        if (found := self._deployed.pipelines.get(pipeline)) is None:
            raise _not_live(f"pipeline {pipeline}")
        return found

    def _used(
        self, sent: Submission, pipeline_id: int
    ) -> tuple[Ticket, ...] | errors.RequestRefused | None:
        """Return what an idempotency key brought before, if it did."""
        if sent.idempotency_key is None:
            return None
        values = {"client": sent.client, "idempotency_key": sent.idempotency_key}
        row = self._connection.execute(self._sql["used_key"], values).fetchone()
        if row is None:
            return None
        same = [known in _hashes(one) for known, one in zip(row.hashes, sent.rows, strict=False)]
        if len(row.hashes) != len(sent.rows) or row.pipeline_id != pipeline_id or not all(same):
            return errors.RequestRefused(
                "this idempotency key was used for another request",
                where="Idempotency-Key",
                fix="send each request with a key of its own",
            )
        return tuple(
            Ticket(id=str(id_), key=one.key, is_new=False)
            for id_, one in zip(row.requests, sent.rows, strict=True)
        )

    def _tickets(
        self, fresh: Sequence[tuple[Submission, int]], stands: Mapping[str, str]
    ) -> dict[int, tuple[Ticket, ...]]:
        entered: list[dict[str, Any]] = []
        tickets: dict[int, tuple[Ticket, ...]] = {}
        for sent, pipeline_id in fresh:
            some = []
            for one in sent.rows:
                known = stands.get(one.key)
                id_ = known or str(uuid.uuid4())
                some.append(Ticket(id=id_, key=one.key, is_new=known is None))
                if known is None:
                    entered.append(self._row(id_, sent, pipeline_id, one))
            tickets[id(sent)] = tuple(some)
            self._keep_key(sent, pipeline_id, some)
        if entered:
            self._enter(entered)
        return tickets

    def _standing(self, fresh: Sequence[tuple[Submission, int]]) -> dict[str, str]:
        rows = [
            {
                "row_key": one.key,
                "pipeline_id": pipeline_id,
                "hashes": [str(found) for found in _hashes(one)],
            }
            for sent, pipeline_id in fresh
            for one in sent.rows
        ]
        values = {"rows": Jsonb(rows), "stream_id": self._deployed.row.stream_id}
        found = self._connection.execute(self._sql["standing_rows"], values).fetchall()
        return {row.row_key: str(row.request_id) for row in found}

    def _row(self, id_: str, sent: Submission, pipeline_id: int, one: Prepared) -> dict[str, Any]:
        versions = self._deployed.versions
        own = dict.fromkeys(str(hash_of(one.digests, version.columns)) for version in versions)
        return {
            "request_id": id_,
            "row_key": one.key,
            "pipeline_id": pipeline_id,
            "input_hash": str(hash_of(one.digests, one.digests)),
            "own": list(own),
            "fields": {
                "values": one.values,
                "digests": {name: digest.hex() for name, digest in one.digests.items()},
                "redactions": one.redactions,
                "notes": one.notes,
            },
            "client": sent.client,
            "keep_s": sent.keep_s,
            "deadline_s": sent.deadline_s,
            "spender": sent.client if sent.client in self._spenders else None,
            "of_versions": [str(hash_of(one.digests, version.columns)) for version in versions],
        }

    def _keep_key(self, sent: Submission, pipeline_id: int, some: Sequence[Ticket]) -> None:
        if sent.idempotency_key is None:
            return
        values = {
            "client": sent.client,
            "idempotency_key": sent.idempotency_key,
            "keep_s": sent.keep_s,
            "pipeline_id": pipeline_id,
            "hashes": [hash_of(one.digests, one.digests) for one in sent.rows],
            "requests": [uuid.UUID(ticket.id) for ticket in some],
        }
        if self._connection.execute(self._sql["keep_key"], values).fetchone() is None:
            raise errors.Overloaded("the same idempotency key is in use now", where="store")

    def _enter(self, rows: Sequence[dict[str, Any]]) -> None:
        """Enter rows into ledger, work and inbox, as a page of a poll enters them."""
        versions = self._deployed.versions
        values = {
            "versions": [version.version_id for version in versions],
            "pipelines": [version.pipeline_id for version in versions],
            "sinks": [version.sink_id for version in versions],
            "slots": list(range(1, len(versions) + 1)),
            "hash_version": self._deployed.row.hash_version,
            "stream_id": self._deployed.row.stream_id,
            "want_ids": False,
            "enqueue": True,
            "read_at": _NEVER_OUTDATED_S,
            "sample": 0,
        }
        execute = self._connection.execute
        execute(self._ledger["page_table"])
        copy_page = self._ledger["copy_page_wide"]
        with self._connection.cursor().copy(copy_page) as copy:
            for row in rows:
                own = "{" + ",".join(row["of_versions"]) + "}"
                copy.write_row((row["row_key"], row["input_hash"], None, None, own, None))
        execute(self._sql["by_index"])
        execute(self._ledger["record"], values)
        kept = execute(self._sql["accept"], {**values, "rows": Jsonb(list(rows))}).fetchall()
        if len(kept) != len(rows):
            raise errors.Overloaded("another transaction was at the same rows", where="store")
        if any(row["deadline_s"] is not None or row["spender"] is not None for row in rows):
            execute(self._sql["bound"], {"rows": Jsonb(list(rows))})


def _not_live(where: str) -> errors.StreamError:
    return errors.StreamError(
        "no version of it is live yet",
        where=where,
        fix="start a daemon that has the pipeline's files: `insights run`",
    )


def _hashes(one: Prepared) -> list[uuid.UUID]:
    """Return the hashes that a row may be known by: under the key in use, and the former one."""
    known = (one.digests, one.former_digests)
    return [hash_of(digests, digests) for digests in known if digests]


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
