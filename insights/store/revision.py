"""Can this program work with the store's schema and indexes? Asked without Alembic."""

import re
from functools import cache

from insights import errors
from insights.store.postgres import Store
from insights.store.queries import folder

_REVISION = re.compile(r"^revision = \"(\w+)\"$", re.MULTILINE)
# Schemas before 0023 do not have the last two columns.
_FOUND = """
SELECT version_num, to_jsonb(v) ->> 'serves' AS serves, to_jsonb(v) ->> 'serves_at' AS serves_at
FROM public.insights_schema_version v
"""
_DOWN = re.compile(r"^down_revision = \"(\w+)\"$", re.MULTILINE)


@cache
def known() -> tuple[str, ...]:
    """Return this program's revisions, oldest first."""
    follows: dict[str | None, str] = {}
    for file in (folder("migrations") / "versions").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        revision = _REVISION.search(text)
        if revision is None:
            raise ValueError(f"{file}: no revision")
        down = _DOWN.search(text)
        follows[down.group(1) if down else None] = revision.group(1)
    ordered: list[str] = []
    at: str | None = None
    while at in follows:
        at = follows[at]
        ordered.append(at)
    return tuple(ordered)


def check(store: Store) -> bool:
    """Refuse a store whose schema is missing or behind, or ahead and does not serve this program.

    A schema that is ahead records the oldest revision whose programs it serves. A record that was
    made at another revision than the schema's is none.

    Returns:
        Whether it is this program's own; False where it is newer and serves it.

    Raises:
        errors.StoreError: Naming both revisions and the command or the upgrade that helps.
    """
    with store.connection() as connection:
        made = connection.execute(
            "SELECT to_regclass('public.insights_schema_version') IS NOT NULL AS made"
        ).fetchone()
        found = connection.execute(_FOUND).fetchone() if made is not None and made.made else None
    head = known()[-1]
    if found is None:
        raise errors.StoreError(
            "the store is empty", where="store", fix="run `insights migrate` (or --sql for a DBA)"
        )
    if found.version_num == head:
        return True
    if found.version_num in known():
        raise errors.StoreError(
            f"the store's schema is at revision {found.version_num}, this program needs {head}",
            where="store",
            fix="run `insights migrate`",
        )
    serves = found.serves if found.serves_at == found.version_num else None
    if serves in known():
        return False
    raise errors.StoreError(
        f"the store's schema is at revision {found.version_num}, newer than this program's {head}"
        f"{f', and serves programs from {serves} on' if serves else ''}",
        where="store",
        fix="install the release that made it, or newer",
    )


def check_collation(store: Store) -> None:
    """Refuse a store whose texts were sorted by rules that the server has no longer.

    A row's key is looked up in an index of texts. After an upgrade of the operating system that
    changed their order, a key that is there may not be found: its row would be done twice.

    Raises:
        errors.StoreError: With the statements that mend it.
    """
    with store.connection() as connection:
        found = connection.execute(
            "SELECT quote_ident(datname) AS name FROM pg_database"
            " WHERE datname = current_database()"
            " AND datcollversion <> coalesce(pg_database_collation_actual_version(oid), '')"
        ).fetchone()
    if found is not None:
        raise errors.StoreError(
            "the server's rules for sorting texts have changed (an upgrade of its C library or of "
            "ICU), so that indexes may miss rows that are there",
            where="store",
            fix=f"as the owner: REINDEX DATABASE {found.name}; "
            f"ALTER DATABASE {found.name} REFRESH COLLATION VERSION",
        )
