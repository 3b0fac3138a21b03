"""The inbox: requests accepted through doors, and the rows that the pipeline reads of them.

Accepting is one transaction: the request with its redacted fields, the row in the ledger, and its
work, entered by the poller's own statement. Whatever is killed after it, the row goes the way of
every row; whatever is killed before it, nothing was accepted.
"""

import hashlib
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from insights import errors
from insights.ground import failpoints
from insights.model import (
    Answer,
    Fingerprint,
    Prepared,
    Row,
    Standing,
    StreamSpec,
    Submission,
    Ticket,
)
from insights.store import audit, forgetting, forms
from insights.store.postgres import Connection, Store
from insights.store.queries import load

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
    """

    def __init__(self, store: Store, holder: str, *, key_version: int = 1) -> None:
        self._store = store
        self._holder = holder
        self._key_version = key_version
        self._sql = load("inbox")
        self._ledger = load("ledger")

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
                    found = _Accepting(connection, self._sql, self._ledger, self._key_version)
                    answers = found.accept(stream, submissions)
                    failpoints.reach("before-accept-commit")
            except errors.Overloaded:
                time.sleep(_PAUSE_S * tried)
            else:
                failpoints.reach("after-accept-commit")
                return answers
        raise errors.Overloaded(
            "others send the same rows at this moment", where=f"stream {stream}", fix="send again"
        )

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
        return int(late.forgotten) + told

    def waiting(self, pipeline: str, most: int) -> int:
        """Return how many rows wait for a pipeline, counted up to `most`."""
        values = {"pipeline": pipeline, "most": most}
        with self._store.connection() as connection:
            row: Any = connection.execute(self._sql["waiting"], values).fetchone()
        return int(row.rows)


class InboxRows:
    """Implements `ports.Rows`: where the pipeline reads claimed rows that came through a door."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("inbox")

    def fetch(self, stream: StreamSpec, keys: Sequence[str]) -> list[Row]:
        """Return the rows with these keys as they were sent last; forgotten ones are left out."""
        values = {"stream": stream.name, "keys": list(keys)}
        found, others = [], []
        with self._store.connection() as connection:
            for row in connection.execute(self._sql["fetch"], values).fetchall():
                fields = msgspec.convert(row.fields, _Fields)
                own = hash_of(fields.digests, stream.inputs)
                if own not in row.own:
                    others.append({"request_id": str(row.request_id), "own_hash": str(own)})
                found.append(
                    Row(
                        key=row.row_key,
                        input_hash=own.bytes,
                        cursor=None,
                        values={name: fields.values.get(name) for name in stream.inputs},
                        redactions=fields.redactions,
                        notes=fields.notes,
                    )
                )
            if others:
                connection.execute(self._sql["read_by_other"], {"rows": Jsonb(others)})
        return found

    def is_behind(
        self,
        identity: str | None,  # noqa: ARG002 - the port's signature
        position: str | None,  # noqa: ARG002
        now: Fingerprint | None = None,  # noqa: ARG002
    ) -> bool:
        """Never: the store has no older copy of itself."""
        return False


class _Fields(msgspec.Struct, frozen=True):
    """What `store.inbox.fields` holds; digests are hexadecimal."""

    values: dict[str, str | None]
    digests: dict[str, str]
    redactions: dict[str, int]
    notes: tuple[str, ...]


class _Ended(msgspec.Struct, frozen=True):
    row_id: int
    stream_id: int


def hash_of(digests: Mapping[str, str | bytes], columns: Iterable[str]) -> uuid.UUID:
    """Return a row's hash over some columns, made of their keyed digests; a column may lack."""
    made = hashlib.blake2b(digest_size=16)
    for name in sorted(columns):
        digest = digests.get(name, b"")
        part = bytes.fromhex(digest) if isinstance(digest, str) else digest
        made.update(b"%d:%s%d:%s" % (len(name.encode()), name.encode(), len(part), part))
    return uuid.UUID(bytes=made.digest())


class _Accepting:
    """One transaction that accepts."""

    def __init__(
        self,
        connection: Connection,
        sql: Mapping[str, str],
        ledger: Mapping[str, str],
        key_version: int,
    ) -> None:
        self._connection = connection
        self._sql = sql
        self._ledger = ledger
        self._key_version = key_version
        self._deployed: Any = None

    def accept(
        self, stream: str, submissions: Sequence[Submission]
    ) -> list[tuple[Ticket, ...] | errors.RequestRefused]:
        """Accept what can be; say of the rest why not."""
        execute = self._connection.execute
        self._deployed = execute(self._ledger["deployed"], {"stream": stream}).fetchone()
        pipelines = {name: self._target(stream, name) for name in {s.pipeline for s in submissions}}
        generation: Any = execute(
            self._ledger["generation"], {"stream_id": self._deployed.stream_id}
        ).fetchone()
        if generation.generation != self._deployed.generation:
            raise errors.Overloaded("another version was deployed meanwhile", where="store")
        gone = forgetting.kept_out(self._connection, stream, submissions)
        answers = [
            forgetting.refused(sent, gone) or self._used(sent, pipelines[sent.pipeline])
            for sent in submissions
        ]
        fresh = [
            (sent, pipelines[sent.pipeline])
            for sent, answer in zip(submissions, answers, strict=True)
            if answer is None
        ]
        tickets = self._tickets(fresh)
        made = iter([tickets[id(sent)] for sent, _ in fresh])
        return [next(made) if answer is None else answer for answer in answers]

    def _target(self, stream: str, pipeline: str) -> int:
        values = {"stream": stream, "pipeline": pipeline, "key_version": self._key_version}
        row = self._connection.execute(self._sql["target"], values).fetchone()
        if row is None or self._deployed is None:
            raise errors.StreamError(
                "no version of this pipeline is live yet",
                where=f"pipeline {pipeline}",
                fix="start a daemon that has its files: `insights run`",
            )
        if not row.newest:
            raise errors.StoreError(
                "another hash key is in use by now", where="hash_key", fix="restart with that one"
            )
        return int(row.pipeline_id)

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

    def _tickets(self, fresh: Sequence[tuple[Submission, int]]) -> dict[int, tuple[Ticket, ...]]:
        stands = self._standing(fresh)
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
        values = {"rows": Jsonb(rows), "stream_id": self._deployed.stream_id}
        found = self._connection.execute(self._sql["standing_rows"], values).fetchall()
        return {row.row_key: str(row.request_id) for row in found}

    def _row(self, id_: str, sent: Submission, pipeline_id: int, one: Prepared) -> dict[str, Any]:
        versions = forms.versions(self._deployed)
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
        versions = forms.versions(self._deployed)
        values = {
            "versions": [version.version_id for version in versions],
            "pipelines": [version.pipeline_id for version in versions],
            "sinks": [version.sink_id for version in versions],
            "slots": list(range(1, len(versions) + 1)),
            "hash_version": self._deployed.hash_version,
            "stream_id": self._deployed.stream_id,
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
        execute(self._ledger["plan_anew"])
        execute(self._ledger["record"], values)
        kept = execute(self._sql["accept"], {**values, "rows": Jsonb(list(rows))}).fetchall()
        if len(kept) != len(rows):
            raise errors.Overloaded("another transaction was at the same rows", where="store")


def _hashes(one: Prepared) -> list[uuid.UUID]:
    """Return the hashes that a row may be known by: under the key in use, and the former one."""
    known = (one.digests, one.former_digests)
    return [hash_of(digests, digests) for digests in known if digests]


def _answer(row: Any) -> Answer:  # noqa: ANN401 - a psycopg named tuple
    made = row.insight_id is not None
    standing: Standing = "done" if made else _STANDINGS.get(row.state, "superseded")
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
