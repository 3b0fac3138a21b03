"""What people said of insights, through the view `insights.verdict`, and columns by a daemon.

A verdict is of one insight, and so of the version that made what was shown. The last one of each
login stands. No text is among it: a correction is a value of an enumeration, or a boolean.
"""

from collections.abc import Sequence

import msgspec
from psycopg.types.json import Jsonb

from insights.model import Said, Shown, Spoken
from insights.store.postgres import Store
from insights.store.queries import load


class Feedback:
    """Reads what was said of a pipeline's insights.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("feedback")

    def given(self, pipeline: str) -> list[Said]:
        """Return all verdicts on a pipeline's insights, but of rows that are gone; by row."""
        with self._store.connection() as connection:
            rows = connection.execute(self._sql["given"], {"pipeline": pipeline}).fetchall()
        return [msgspec.convert(row._asdict(), Said) for row in rows]

    def shown(self, pipeline: str, after: int, rows: int, *, age_s: float) -> list[Shown]:
        """Return the insights that so many row ids after one show, none older than an age."""
        values = {"pipeline": pipeline, "after": after, "rows": rows, "age_s": age_s}
        with self._store.connection() as connection:
            found = connection.execute(self._sql["shown"], values).fetchall()
        return [msgspec.convert(row._asdict(), Shown) for row in found]

    def last_row(self) -> int:
        """Return the greatest row id."""
        with self._store.connection() as connection:
            row = connection.execute(self._sql["last_row"]).fetchone()
        return 0 if row is None else int(row.row_id)

    def column_says(self, columns: str, said: Sequence[Spoken]) -> int:
        """Keep what columns say of insights that are still shown; return how many say another."""
        told = Jsonb(msgspec.to_builtins(said))
        with self._store.transaction() as connection:
            values = {"columns": columns, "said": told}
            row = connection.execute(self._sql["column_says"], values).fetchone()
        return 0 if row is None else int(row.changed)
