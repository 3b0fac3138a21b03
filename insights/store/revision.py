"""Does the store's schema fit this program? Asked at every start, without Alembic."""

import re
from functools import cache

from insights import errors
from insights.queries import folder
from insights.store.postgres import Store

_REVISION = re.compile(r"^revision = \"(\w+)\"$", re.MULTILINE)
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


def check(store: Store) -> None:
    """Refuse a store whose schema is missing, behind or ahead of this program.

    Raises:
        errors.StoreError: Naming both revisions and the command or the upgrade that helps.
    """
    with store.connection() as connection:
        made = connection.execute(
            "SELECT to_regclass('public.insights_schema_version') IS NOT NULL AS made"
        ).fetchone()
        found = (
            connection.execute("SELECT version_num FROM public.insights_schema_version").fetchone()
            if made is not None and made.made
            else None
        )
    head = known()[-1]
    if found is None:
        raise errors.StoreError(
            "the store is empty", where="store", fix="run `insights migrate` (or --sql for a DBA)"
        )
    if found.version_num == head:
        return
    if found.version_num in known():
        raise errors.StoreError(
            f"the store's schema is at revision {found.version_num}, this program needs {head}",
            where="store",
            fix="run `insights migrate`",
        )
    raise errors.StoreError(
        f"the store's schema is at revision {found.version_num}, newer than this program's {head}",
        where="store",
        fix="install the release that made it, or newer",
    )
