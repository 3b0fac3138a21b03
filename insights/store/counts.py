"""Counting where every row stands, a slice at a time, for whoever cannot wait for it.

A count of ten million rows takes minutes, and there is no index that has it. A daemon counts now
and then, in slices that are each over at once, and keeps what it found; `reports` tells that where
a count of its own takes too long.
"""

import time
from collections import Counter
from collections.abc import Callable

from insights.store.postgres import Store
from insights.store.queries import load

SLICE = 50_000  # row ids


class Counts:
    """Counts, and keeps what it counted.

    Args:
        store: The store.
        rows: Row ids in one slice.
    """

    def __init__(self, store: Store, *, rows: int = SLICE) -> None:
        self._store = store
        self._rows = rows
        self._sql = load("counted")

    def due(self) -> int | None:
        """Return the last row's id where it is time to count again, or None."""
        with self._store.connection() as connection:
            found = connection.execute(self._sql["due"]).fetchone()
        return int(found.upto) if found is not None and found.due else None

    def count(self, upto: int, goes_on: Callable[[], bool]) -> bool:
        """Count the rows up to an id; False where it was left off.

        Args:
            upto: The last row's id.
            goes_on: Asked before each slice.
        """
        began = time.monotonic()
        counts: Counter[tuple[int, int | None, str | None]] = Counter()
        for after in range(0, max(upto, 1), self._rows):
            if not goes_on():
                return False
            values = {"after": after, "upto": min(after + self._rows, upto)}
            with self._store.connection() as connection:
                rows = connection.execute(self._sql["outcomes"], values).fetchall()
            for row in rows:
                counts[row.stream_id, row.pipeline_id, row.outcome] += row.rows
        streams, pipelines, outcomes = zip(*counts, strict=True) if counts else ((), (), ())
        with self._store.transaction() as connection:
            connection.execute(self._sql["keep_sinks"])
            connection.execute(
                self._sql["keep"],
                {
                    "streams": list(streams),
                    "pipelines": list(pipelines),
                    "outcomes": list(outcomes),
                    "counts": list(counts.values()),
                    "took_s": time.monotonic() - began,
                },
            )
        return True
