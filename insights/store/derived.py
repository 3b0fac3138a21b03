"""Objects whose definition depends on settings: a vector index per model, a view per pipeline.

`insights migrate` makes them as the owner; each carries its definition's hash in its comment. The
daemon holds no DDL right: at start it compares hashes and refuses on a mismatch.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from insights import errors
from insights.store.postgres import Connection, Store

_MARK = "insights definition "
# Who may do what with an object, or with one of its columns; its owner may anyhow.
_GRANTS = """
    SELECT a.attname, r.rolname AS grantee, g.privilege_type, g.is_grantable
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (
        SELECT NULL::name AS attname, c.relacl AS acl
        UNION ALL
        SELECT attname, attacl FROM pg_attribute WHERE attrelid = c.oid AND NOT attisdropped
    ) a
    CROSS JOIN LATERAL aclexplode(a.acl) g
    LEFT JOIN pg_roles r ON r.oid = g.grantee
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND g.grantee <> c.relowner
      AND (g.grantee = 0 OR r.rolname IS NOT NULL)
"""


@dataclass(frozen=True)
class DerivedObject:
    """One index or view: how to make it, under which name.

    `create` is a complete statement; for an index it should say CONCURRENTLY, so that a running
    daemon goes on writing meanwhile.
    """

    kind: Literal["INDEX", "VIEW"]
    schema: str
    name: str
    create: str

    @property
    def digest(self) -> str:
        """The definition's hash."""
        return hashlib.sha256(self.create.encode()).hexdigest()[:32]

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted, qualified name."""
        return sql.Identifier(self.schema, self.name)

    def statements(self) -> list[sql.Composed]:
        """Return what makes it anew, in order."""
        drop = sql.SQL("DROP {} IF EXISTS {}").format(sql.SQL(self.kind), self.identifier)
        return [drop, sql.Composed([sql.SQL(self.create)]), self.comment()]

    def comment(self) -> sql.Composed:
        """Return what notes its definition."""
        return sql.SQL("COMMENT ON {} {} IS {}").format(
            sql.SQL(self.kind), self.identifier, sql.Literal(_MARK + self.digest)
        )


def missing(store: Store, wanted: Iterable[DerivedObject]) -> list[DerivedObject]:
    """Return those that do not exist in the store or have another definition."""
    with store.connection() as connection:
        return [thing for thing in wanted if _digest(connection, thing) != thing.digest]


def check(store: Store, wanted: Iterable[DerivedObject]) -> None:
    """Refuse a store whose derived objects do not fit the settings.

    Raises:
        errors.StoreError: Naming the objects and the command.
    """
    lacking = missing(store, wanted)
    if lacking:
        names = ", ".join(f"{thing.schema}.{thing.name}" for thing in lacking)
        raise errors.StoreError(
            f"objects that depend on the settings are missing or outdated: {names}",
            where="store",
            fix="run `insights migrate`",
        )


def _digest(connection: Connection, thing: DerivedObject) -> str | None:
    """Return the hash in an object's comment; an index that is not valid counts as missing."""
    row = connection.execute(
        """
        SELECT obj_description(c.oid, 'pg_class') AS comment
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_index i ON i.indexrelid = c.oid
        WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND coalesce(i.indisvalid, true)
        """,
        {"schema": thing.schema, "name": thing.name},
    ).fetchone()
    if row is None or row.comment is None:
        return None
    comment: str = row.comment
    return comment.removeprefix(_MARK)


def make(url: str, wanted: Iterable[DerivedObject]) -> list[DerivedObject]:
    """Make what is missing, as the owner whom `url` logs in; return what was made."""
    made = []
    with psycopg.connect(url, autocommit=True, row_factory=psycopg.rows.namedtuple_row) as owner:
        owner.execute("SET maintenance_work_mem = '512MB'")  # a vector index is built in memory
        for thing in wanted:
            if _digest(owner, thing) == thing.digest:
                continue
            if thing.kind == "VIEW":
                _make_view(owner, thing)
            else:  # CONCURRENTLY allows no transaction
                for statement in thing.statements():
                    owner.execute(statement)
            made.append(thing)
    return made


def _make_view(owner: Connection, thing: DerivedObject) -> None:
    """Make a view anew; who was granted it keeps it, on the columns that are still there.

    Raises:
        errors.StoreError: If somebody's own view stands on this one.
    """
    with owner.transaction():
        grants = owner.execute(_GRANTS, {"schema": thing.schema, "name": thing.name}).fetchall()
        drop, create, comment = thing.statements()
        try:
            owner.execute(drop)
        except psycopg.errors.DependentObjectsStillExist as exc:
            raise errors.StoreError(
                f"view {thing.schema}.{thing.name} has to be made anew, and others stand on it: "
                f"{exc.diag.message_detail}",
                where="store",
                fix="drop those, run `insights migrate`, and make them again",
            ) from None
        owner.execute(create)
        owner.execute(comment)
        columns = set(_columns(owner, thing))
        for grant in grants:
            if grant.attname is None or grant.attname in columns:
                owner.execute(_granted(thing, grant))


def _columns(owner: Connection, thing: DerivedObject) -> list[str]:
    found = owner.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s)"
        " AND attnum > 0 AND NOT attisdropped",
        [thing.identifier.as_string(owner)],
    )
    return [row.attname for row in found]


def _granted(thing: DerivedObject, grant: Any) -> sql.Composed:  # noqa: ANN401 - psycopg makes the row's type
    columns = (
        sql.SQL(" ({})").format(sql.Identifier(grant.attname)) if grant.attname else sql.SQL("")
    )
    return sql.SQL("GRANT {}{} ON {} TO {}{}").format(
        sql.SQL(grant.privilege_type),
        columns,
        thing.identifier,
        sql.SQL("PUBLIC") if grant.grantee is None else sql.Identifier(grant.grantee),
        sql.SQL(" WITH GRANT OPTION" if grant.is_grantable else ""),
    )
