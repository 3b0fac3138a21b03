"""What people said of insights, through the view `insights.verdict`: read, and counted.

A verdict is of one insight, and so of the version that made what was shown. The last one of each
login stands. No text is among it: a correction is a value of an enumeration, or a boolean.
"""

import datetime as dt

import msgspec

from insights.model import Said
from insights.store.postgres import Store
from insights.store.queries import load


class Counts(msgspec.Struct, frozen=True):
    """How many insights of a version were said to be right, and wrong."""

    pipeline_version_id: int
    sha256: str
    right: int
    wrong: int


class Feedback:
    """Reads what was said of a pipeline's insights.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("feedback")

    def counts(self, pipeline: str, since: dt.datetime) -> list[Counts]:
        """Return how often each version of a pipeline was said to be right and wrong since then.

        A version of which nothing was said is not among them.
        """
        values = {"pipeline": pipeline, "since": since}
        with self._store.connection() as connection:
            rows = connection.execute(self._sql["counts"], values).fetchall()
        return [msgspec.convert(row._asdict(), Counts) for row in rows]

    def given(self, pipeline: str) -> list[Said]:
        """Return all verdicts on a pipeline's insights, but of rows that are gone; by row."""
        with self._store.connection() as connection:
            rows = connection.execute(self._sql["given"], {"pipeline": pipeline}).fetchall()
        return [msgspec.convert(row._asdict(), Said) for row in rows]
