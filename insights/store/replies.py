"""What is to be told of requests, on a queue or by a webhook, until it is there."""

from collections.abc import Sequence
from typing import Any

import msgspec

from insights.model import Reply
from insights.store.postgres import Store
from insights.store.queries import load


class Replies:
    """Implements `ports.Replies` on PostgreSQL.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("replies")

    def keep(
        self,
        door: str,
        request_ids: Sequence[str],
        address: str,
        *,
        message: str = "",
        correlation: str | None = None,
    ) -> None:
        """Remember where outcomes go; see `ports.Replies`."""
        values = {
            "door": door,
            "message": message,
            "ids": list(request_ids),
            "address": address,
            "correlation": correlation,
        }
        with self._store.connection() as connection:
            connection.execute(self._sql["keep"], values)

    def due(
        self, door: str, after: int, window: int, most: int, *, in_hand_s: float = 20.0
    ) -> tuple[list[Reply], int]:
        """Return replies whose requests have no work left, and take them for a while."""
        values = {
            "door": door,
            "after": after,
            "window": window,
            "most": most,
            "in_hand_s": in_hand_s,
        }
        with self._store.connection() as connection:
            row: Any = connection.execute(self._sql["due"], values).fetchone()
        return msgspec.convert(row.due, list[Reply]), row.last if row.looked == window else 0

    def sent(self, numbers: Sequence[int]) -> None:
        """Remember that replies are where they were to go."""
        with self._store.connection() as connection:
            connection.execute(self._sql["sent"], {"numbers": list(numbers)})

    def late(self) -> dict[str, float]:
        """Return how many seconds the oldest outcome that is there waits to be told, by door."""
        with self._store.connection() as connection:
            return {row.door: row.late_s for row in connection.execute(self._sql["late"])}

    def failed(self, number: int, reason: str, *, most: int = 20, longest_s: float = 600.0) -> None:
        """Try a reply again later, so many times in all."""
        values = {"number": number, "reason": reason, "most": most, "longest_s": longest_s}
        with self._store.connection() as connection:
            connection.execute(self._sql["failed"], values)
