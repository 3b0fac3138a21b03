"""What is to be replied on a queue, until it is with the broker."""

from collections.abc import Sequence
from typing import Any

import msgspec

from insights.model import QueueMessage, Reply
from insights.store.postgres import Store
from insights.store.queries import load

_MOST_ATTEMPTS = 20  # with pauses up to ten minutes: two hours
_IN_HAND_S = 20.0  # so long a reply is another's, who may have been killed


class Replies:
    """Implements `ports.Replies` on PostgreSQL.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("replies")

    def keep(
        self, door: str, message: QueueMessage, request_ids: Sequence[str], address: str
    ) -> None:
        """Remember where outcomes go; see `ports.Replies`."""
        values = {
            "door": door,
            "message": message.id,
            "ids": list(request_ids),
            "address": address,
            "correlation": message.correlation,
        }
        with self._store.connection() as connection:
            connection.execute(self._sql["keep"], values)

    def due(self, door: str, after: int, window: int, most: int) -> tuple[list[Reply], int]:
        """Return replies whose requests have no work left, and take them for a while."""
        values = {
            "door": door,
            "after": after,
            "window": window,
            "most": most,
            "in_hand_s": _IN_HAND_S,
        }
        with self._store.connection() as connection:
            row: Any = connection.execute(self._sql["due"], values).fetchone()
        return msgspec.convert(row.due, list[Reply]), row.last if row.looked == window else 0

    def sent(self, numbers: Sequence[int]) -> None:
        """Remember that replies are with the broker."""
        with self._store.connection() as connection:
            connection.execute(self._sql["sent"], {"numbers": list(numbers)})

    def failed(self, number: int, reason: str) -> None:
        """Try a reply again later, twenty times in all."""
        values = {"number": number, "reason": reason, "most": _MOST_ATTEMPTS}
        with self._store.connection() as connection:
            connection.execute(self._sql["failed"], values)
