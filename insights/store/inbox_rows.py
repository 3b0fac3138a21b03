"""Rows of the inbox, as the pipeline reads them, and the hashes that they are known by."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from psycopg.types.json import Jsonb

from insights.model import Fingerprint, Row, StreamSpec
from insights.store.postgres import Store
from insights.store.queries import load


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


def hash_of(digests: Mapping[str, str | bytes], columns: Iterable[str]) -> uuid.UUID:
    """Return a row's hash over some columns, made of their keyed digests; a column may lack."""
    made = hashlib.blake2b(digest_size=16)
    for name in sorted(columns):
        digest = digests.get(name, b"")
        part = bytes.fromhex(digest) if isinstance(digest, str) else digest
        made.update(b"%d:%s%d:%s" % (len(name.encode()), name.encode(), len(part), part))
    return uuid.UUID(bytes=made.digest())
