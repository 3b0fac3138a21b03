"""Named SQL statements of the store, read from `sql/store/*.sql`.

A file holds statements, each under a line `-- name: verb_noun` and a comment that says what it is
for. Values are bound as `%(name)s`; nothing is ever formatted into the text. DBAs can read and
EXPLAIN every statement the daemon runs on its store.
"""

import re
from functools import cache
from pathlib import Path

_WORDS = 3  # of a statement without a name
_names: dict[str, str] = {}
_NAME = re.compile(r"^-- name: (?P<name>[a-z0-9_]+)\s*$", re.MULTILINE)


def folder(name: str = "sql") -> Path:
    """Return a folder of the project: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / name
    return shipped if shipped.is_dir() else package.parent / name


@cache
def load(file: str) -> dict[str, str]:
    """Return the statements of `sql/store/<file>.sql` by name.

    Raises:
        ValueError: If a name occurs twice or a file holds no statement.
    """
    text = (folder() / "store" / f"{file}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    names, bodies = parts[::2], parts[1::2]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"sql/store/{file}.sql: no statement, or a name given twice")
    found = {name: body.strip().rstrip(";") for name, body in zip(names, bodies, strict=True)}
    _names.update({body: f"{file}.{name}" for name, body in found.items()})
    return found


def name(statement: object) -> str:
    """Return what a statement is called, as `work.claim`, for people; its first words if nothing.

    An empty one, or one that is no text, has no name.
    """
    if not isinstance(statement, str):
        return ""
    return _names.get(statement) or " ".join(statement.split()[:_WORDS])
