"""What a DBA can run, or a setting can say, where a stream cannot be read as it is."""

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from insights.model import StreamSpec

_LONGEST = 63  # characters of an index's name that PostgreSQL takes; MariaDB takes 64


def index(
    stream: StreamSpec,
    purpose: str,
    columns: Sequence[str],
    dialect: sa.Dialect,
    *,
    unique: bool = False,
) -> str:
    """Return the statement that makes an index, its names quoted as that engine does."""
    assert stream.table is not None  # noqa: S101 - a query has no index
    made = [sa.Column(name, sa.Text) for name in columns]
    table = sa.Table(stream.table, sa.MetaData(), *made, schema=stream.schema)
    name = f"insights_{stream.name}_{purpose}"
    if len(name) > _LONGEST:
        digest = hashlib.blake2b(stream.name.encode(), digest_size=3).hexdigest()
        name = f"insights_{stream.name[:36]}_{digest}_{purpose}"
    indexed = sa.Index(name, *table.c, unique=unique)
    return str(sa.schema.CreateIndex(indexed).compile(dialect=dialect)).strip()


def without_null(nullable: Sequence[str], dialect: sa.Dialect) -> str:
    """Return the setting that leaves rows without a whole key out."""
    quote = dialect.identifier_preparer.quote
    condition = " AND ".join(f"{quote(name)} IS NOT NULL" for name in nullable)
    return f"leave such rows out with `where = '{condition}'`"


def without_key(stream: StreamSpec, unique: Sequence[Sequence[str]], dialect: sa.Dialect) -> str:
    """Return what to do about a key that no unique key of the table is within.

    A query is read without one: whether a key is there twice is looked for in its rows.
    """
    if unique:
        known = dict.fromkeys(f"({', '.join(columns)})" for columns in unique)
        return f"name the columns of one: {' or '.join(known)}"
    columns = "rowid AS id, *" if dialect.name == "sqlite" else "*"
    quote = dialect.identifier_preparer.quote
    table = ".".join(quote(name) for name in (stream.schema, stream.table) if name)
    made = index(stream, "unique", stream.key, dialect, unique=True)
    query = f"SELECT {columns} FROM {table}"  # noqa: S608 - for people
    return (
        f"it has none at all: where these tell rows apart, have a DBA run: {made}; or read it with "
        f"query = '{query}' in the place of table"
    )
