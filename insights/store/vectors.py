"""Vectors on their way to PostgreSQL, in pgvector's binary format."""

from typing import Any

from psycopg.adapt import Dumper
from psycopg.pq import Format


class Halfvec(bytes):
    """A vector in pgvector's binary format."""

    __slots__ = ()


class HalfvecDumper(Dumper):
    """Sends a vector as it is; the server infers its type from the cast beside it."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Any) -> bytes:  # noqa: ANN401 - psycopg's signature
        """Implement psycopg's `Dumper`."""
        return bytes(obj)
