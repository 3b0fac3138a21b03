"""A file's records into the inbox: the good ones in batches, each bad one with its place."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from insights import errors
from insights.doors.accepting import Doors
from insights.doors.checking import checked
from insights.doors.layouts import Record, Refused
from insights.doors.records import refusal
from insights.ground import failpoints
from insights.model import Answer, Ticket

BATCH = 500
_ASKED = 1_000


class Accepted(msgspec.Struct, frozen=True):
    """One accepted record: where it stood, its key's fields, and its request."""

    line: int
    key: dict[str, Any]
    request: str


class Sending:
    """What was accepted of one file, and the outcomes so far.

    Args:
        doors: Where to.
        pipeline: Whose outcomes are asked for.
        client: Who sends, for the audit.
        digest: What the file is known by: sent again under it, its records bring the same requests.
            None: key and fields alone tell.
    """

    def __init__(self, doors: Doors, pipeline: str, *, client: str, digest: str | None) -> None:
        self._doors = doors
        self._pipeline = pipeline
        self._client = client
        self._digest = digest
        self._batches = 0
        self.tag = (digest or "")[:8]
        self.accepted: list[Accepted] = []
        self.refused: list[Refused] = []
        self.answers: dict[str, Answer] = {}

    def send(self, records: Iterable[Record | Refused]) -> None:
        """Send all records; those that are accepted are in the store when this returns.

        Raises:
            errors.Transient: If it is not known whether all were accepted: begin again.
        """
        stream = self._doors.entrances[self._pipeline].stream
        batch: dict[str, Record] = {}
        for record in records:
            if isinstance(record, Refused):
                self.refused.append(record)
                continue
            try:
                key = checked(stream, [record.fields])[0].key
            except errors.RequestRefused as exc:
                self.refused.append(refusal(record, exc))
                continue
            if key in batch or len(batch) == BATCH:
                self._flush(batch)
                batch = {}
            batch[key] = record
        self._flush(batch)
        self.refused.sort(key=lambda one: one.line)

    def look(self) -> bool:
        """Ask for the outcomes that are not there yet; return whether all are.

        Raises:
            errors.Transient: If the store no longer knows a request.
        """
        open_ = [id_ for id_ in self._ids() if id_ not in self.answers]
        for at in range(0, len(open_), _ASKED):
            asked = open_[at : at + _ASKED]
            found = self._doors.outcomes(asked, delivers=False)
            if len(found) < len(asked):
                raise errors.Overloaded(
                    "the store no longer knows some of the requests", where=self._client
                )
            self.answers.update((id_, one) for id_, one in found.items() if one.is_over)
        return len(self.answers) == len(self._ids())

    def delivered(self) -> None:
        """Tell the store that the outcomes are where they were wanted."""
        ids = self._ids()
        for at in range(0, len(ids), _ASKED):
            self._doors.outcomes(ids[at : at + _ASKED], delivers=True)

    def _ids(self) -> list[str]:
        return list(dict.fromkeys(one.request for one in self.accepted))

    def _flush(self, batch: Mapping[str, Record]) -> None:
        if not batch:
            return
        self._batches += 1
        rows = [record.fields for record in batch.values()]
        named = None if self._digest is None else f"{self._digest}:{self._batches}"
        try:
            tickets = self._submit(rows, named)
        except errors.WorkerDied:
            if len(batch) == 1:
                raise
            self._alone(batch, named)
        else:
            for record, ticket in zip(batch.values(), tickets, strict=True):
                self._keep(record, ticket)
        failpoints.reach("file-batch-accepted")

    def _alone(self, batch: Mapping[str, Record], named: str | None) -> None:
        """Submit each by itself: one that ends the intake costs no other; all of them accuse it."""
        died: list[tuple[Record, errors.WorkerDied]] = []
        for number, record in enumerate(batch.values()):
            try:
                own = named and f"{named}:{number}"
                self._keep(record, self._submit([record.fields], own)[0])
            except errors.WorkerDied as exc:
                died.append((record, exc))
        if len(died) == len(batch):
            raise died[0][1]
        self.refused += [
            Refused(record.line, None, "", f"its redaction failed: {exc.what}")
            for record, exc in died
        ]

    def _submit(self, rows: list[object], named: str | None) -> tuple[Ticket, ...]:
        submit, client = self._doors.submit, self._client
        try:
            return submit(self._pipeline, rows, client=client, idempotency_key=named)
        except errors.RequestRefused as exc:
            if exc.where != "Idempotency-Key":
                raise
            # Other columns count since then: the rows themselves tell which requests they are.
            return submit(self._pipeline, rows, client=client)

    def _keep(self, record: Record, ticket: Ticket) -> None:
        fields: Any = record.fields
        stream = self._doors.entrances[self._pipeline].stream
        key = {name: fields[name] for name in stream.key}
        self.accepted.append(Accepted(record.line, key, ticket.id))


def digest(key: bytes, *parts: bytes) -> str:
    """Return a keyed digest of a file: what a short file holds cannot be guessed from it."""
    made = hashlib.blake2b(key=hashlib.blake2b(key, digest_size=32).digest(), digest_size=16)
    for part in parts:
        made.update(b"%d:" % len(part))
        made.update(part)
    return made.hexdigest()
