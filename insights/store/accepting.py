"""One transaction that accepts requests: what is known of their rows, then what is new of them.

Rows that the ledger has never seen, which most are, enter it, work and inbox in one statement. The
others are entered as a page of a poll is: newer fields supersede what waits, former ones are shown
again.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from insights import errors
from insights.model import Prepared, Submission, Ticket, Version
from insights.store import forgetting, spending
from insights.store.inbox_rows import hash_of
from insights.store.postgres import Connection
from insights.store.queries import load

_NEVER_OUTDATED_S = 253_370_764_800.0  # 9999: no claim has moved to newer fields than these

Answered = tuple[Ticket, ...] | errors.RequestRefused
Fresh = Sequence[tuple[Submission, int]]  # submissions, each with its pipeline


class Deployed(msgspec.Struct, frozen=True):
    """What follows a stream: psycopg's row of it, the versions, the pipelines by name."""

    row: Any
    versions: tuple[Version, ...]
    pipelines: dict[str, int]


class Known(msgspec.Struct, frozen=True):
    """What the store knows of a row: whether it is kept out, the request that it still is."""

    kept_out: bool
    request_id: uuid.UUID | None


class Accepting:
    """One transaction.

    Args:
        connection: In it.
        deployed: What follows the stream, and stays so until the transaction ends.
        spenders: The clients that have budgets here.
        known: What the statement `known_rows` found, asked for what `asked` returns.
    """

    def __init__(
        self,
        connection: Connection,
        deployed: Deployed,
        spenders: frozenset[str],
        known: Iterable[Any],
    ) -> None:
        self._connection = connection
        self._known = {row.row_key: Known(row.kept_out, row.request_id) for row in known}
        self._sql = load("inbox")
        self._ledger = load("ledger")
        self._deployed = deployed
        self._bounded = spenders
        self._spenders: frozenset[str] = frozenset()  # see `spending.taken`

    def accept(self, submissions: Sequence[Submission]) -> list[Answered]:
        """Accept what can be; say of the rest why not.

        Raises:
            errors.StreamError: If a pipeline makes no work of this stream's rows.
            errors.Overloaded: If another transaction is at the same rows: it is to be tried again.
        """
        pipelines = {sent.pipeline: self._target(sent.pipeline) for sent in submissions}
        everything = [(sent, pipelines[sent.pipeline]) for sent in submissions]
        known = self._known
        gone = {key for key, one in known.items() if one.kept_out}
        used = self._used(everything)
        answers = [
            forgetting.refused(sent, gone) or used.get((sent.client, sent.idempotency_key))
            for sent in submissions
        ]
        fresh = [one for one, answer in zip(everything, answers, strict=True) if answer is None]
        stands = {
            key: str(one.request_id) for key, one in known.items() if one.request_id is not None
        }
        short: dict[int, errors.RequestRefused] = {}
        if bounded := [one for one in fresh if one[0].client in self._bounded]:
            short, self._spenders = spending.taken(self._connection, self._sql, bounded, stands)
        tickets = self._tickets([one for one in fresh if id(one[0]) not in short], stands, known)
        made = iter([short.get(id(sent)) or tickets[id(sent)] for sent, _ in fresh])
        return [next(made) if answer is None else answer for answer in answers]

    def _target(self, pipeline: str) -> int:
        if (found := self._deployed.pipelines.get(pipeline)) is None:
            raise not_live(f"pipeline {pipeline}")
        return found

    def _used(self, sent: Fresh) -> dict[tuple[str, str | None], Answered]:
        """Return what idempotency keys brought before, those that did."""
        named = {(one.client, one.idempotency_key): (one, pipeline_id) for one, pipeline_id in sent}
        asked = [key for key in named if key[1] is not None]
        if not asked:
            return {}
        values = {"clients": [client for client, _ in asked], "keys": [key for _, key in asked]}
        rows = self._connection.execute(self._sql["used_keys"], values, prepare=True).fetchall()
        found: dict[tuple[str, str | None], Answered] = {}
        for row in rows:
            key = row.client, row.idempotency_key
            found[key] = _brought(row, *named[key])
        return found

    def _tickets(
        self, fresh: Fresh, stands: Mapping[str, str], known: Mapping[str, Known]
    ) -> dict[int, tuple[Ticket, ...]]:
        new: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        tickets: dict[int, tuple[Ticket, ...]] = {}
        for sent, pipeline_id in fresh:
            some = []
            for one in sent.rows:
                stood = stands.get(one.key)
                id_ = stood or str(uuid.uuid4())
                some.append(Ticket(id=id_, key=one.key, is_new=stood is None))
                if stood is None:
                    made = others if one.key in known else new
                    made.append(self._row(id_, len(made), sent, pipeline_id, one))
            tickets[id(sent)] = tuple(some)
        if new:
            self._enter_new(new)
        if others:
            self._enter(others)
        self._keep_keys(fresh, tickets)
        return tickets

    def _row(
        self, id_: str, place: int, sent: Submission, pipeline_id: int, one: Prepared
    ) -> dict[str, Any]:
        own = [str(hash_of(one.digests, found.columns)) for found in self._deployed.versions]
        return {
            "place": place,
            "request_id": id_,
            "row_key": one.key,
            "pipeline_id": pipeline_id,
            "input_hash": str(hash_of(one.digests, one.digests)),
            "own": list(dict.fromkeys(own)),
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
            "of_versions": own,
        }

    def _keep_keys(self, fresh: Fresh, tickets: Mapping[int, tuple[Ticket, ...]]) -> None:
        kept = [
            {
                "client": sent.client,
                "idempotency_key": sent.idempotency_key,
                "keep_s": sent.keep_s,
                "pipeline_id": pipeline_id,
                "hashes": [hash_of(one.digests, one.digests) for one in sent.rows],
                "requests": [ticket.id for ticket in tickets[id(sent)]],
            }
            for sent, pipeline_id in fresh
            if sent.idempotency_key is not None
        ]
        if not kept:
            return
        values = {"kept": _jsonb(kept)}
        found = self._connection.execute(self._sql["keep_keys"], values, prepare=True).fetchall()
        if len(found) != len(kept):
            raise errors.Overloaded("the same idempotency key is in use now", where="store")

    def _values(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        versions = self._deployed.versions
        return {
            "versions": [version.version_id for version in versions],
            "pipelines": [version.pipeline_id for version in versions],
            "hash_version": self._deployed.row.hash_version,
            "stream_id": self._deployed.row.stream_id,
            "rows": _jsonb(rows),
        }

    def _enter_new(self, rows: Sequence[dict[str, Any]]) -> None:
        """Enter rows that the ledger does not know."""
        values = self._values(rows)
        kept = self._connection.execute(self._sql["accept_new"], values, prepare=True).fetchall()
        if len(kept) != len(rows):
            raise errors.Overloaded("another transaction was at the same rows", where="store")

    def _enter(self, rows: Sequence[dict[str, Any]]) -> None:
        """Enter rows that it knows into ledger, work and inbox, as a page of a poll enters them."""
        versions = self._deployed.versions
        values = {
            **self._values(rows),
            "sinks": [version.sink_id for version in versions],
            "slots": list(range(1, len(versions) + 1)),
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
        execute(self._ledger["record"], values)
        kept = execute(self._sql["accept"], values).fetchall()
        if len(kept) != len(rows):
            raise errors.Overloaded("another transaction was at the same rows", where="store")
        if any(row["deadline_s"] is not None or row["spender"] is not None for row in rows):
            execute(self._sql["bound"], values)


def asked(stream: str, submissions: Sequence[Submission]) -> dict[str, Any]:
    """Return what the statement `known_rows` binds for submissions of a stream."""
    rows = [
        {"row_key": one.key, "pipeline": sent.pipeline, "hashes": _hashes(one)}
        for sent in submissions
        for one in sent.rows
    ]
    return {"stream": stream, "keys": [row["row_key"] for row in rows], "rows": _jsonb(rows)}


def not_live(where: str) -> errors.StreamError:
    """Return why nothing can be sent there yet."""
    return errors.StreamError(
        "no version of it is live yet",
        where=where,
        fix="start a daemon that has the pipeline's files: `insights run`",
    )


def _brought(row: Any, sent: Submission, pipeline_id: int) -> Answered:  # noqa: ANN401 - a named tuple
    """Return what an idempotency key brought before, or that it was for something else."""
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


def _hashes(one: Prepared) -> list[uuid.UUID]:
    """Return the hashes that a row may be known by: under the key in use, and the former one."""
    known = (one.digests, one.former_digests)
    return [hash_of(digests, digests) for digests in known if digests]


def _jsonb(rows: Sequence[dict[str, Any]]) -> Jsonb:
    return Jsonb(rows, dumps=msgspec.json.encode)
