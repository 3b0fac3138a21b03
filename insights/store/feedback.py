"""What people said of insights, through the view `insights.verdict`.

A verdict is of one insight, and so of the version that made what was shown. The last one of each
login stands. No text is among it: a correction is a value of an enumeration, or a boolean.
"""

import msgspec

from insights.model import Said
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
