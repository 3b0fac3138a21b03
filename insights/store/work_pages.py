"""What of a first load waits as pages: made into rows of work shortly before they are claimed.

A first load of ten million rows finds work that is claimed hours or days later. A row of work with
its entries in indexes costs the store more than the row that it is for; a page costs nothing.
"""

from collections.abc import Sequence
from typing import Any

from insights.ground import failpoints
from insights.model import Share
from insights.store.postgres import Store
from insights.store.queries import load


class WorkPages:
    """The pages that wait for some versions.

    Args:
        store: The store.
        versions: The pipeline versions that are claimed for.
    """

    def __init__(self, store: Store, versions: Sequence[int]) -> None:
        self._store = store
        self._versions = list(versions)
        self._sql = load("work_pages")
        self.waits = True  # whether any did when it was last looked

    def look(self) -> None:
        """Give pages of retired versions to the live ones, and see whether any page waits."""
        with self._store.connection() as connection:
            connection.execute(self._sql["repoint"])
            row = connection.execute(self._sql["waits"], {"versions": self._versions}).fetchone()
        self.waits = row is not None and row.waits

    def enqueue(self, shares: Sequence[Share]) -> bool:
        """Make work of the next page of each version that has few rows ready; tell if any was.

        Args:
            shares: How many rows of each version are wanted; suspects wait in no page.
        """
        wanted = [share for share in shares if not share.isolated]
        values: dict[str, Any] = {
            "versions": [share.pipeline_version_id for share in wanted],
            "rows": [share.rows for share in wanted],
        }
        with self._store.connection() as connection:
            if not connection.execute(self._sql["due"], values).fetchall():
                return False
        with self._store.transaction() as connection:
            due = connection.execute(self._sql["due"], values).fetchall()
            pages = [row.work_page_id for row in due]
            connection.execute(self._sql["enqueue"], {"pages": pages})
            failpoints.reach("before-pages-commit")
        return bool(due)
