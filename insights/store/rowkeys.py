"""How keys are shown to people: as they are, or where a stream's are personal as a keyed hash.

The hash is taken in the store, with a salt that the store made for itself. Whoever may read that
may read the keys beside it too; in a log or a view the hash tells nothing of the key. It stays the
same when `hash_key` is rotated, so that what was logged before can still be found.
"""

from collections.abc import Sequence

import msgspec

from insights.store.postgres import Store
from insights.store.queries import load


class KnownKey(msgspec.Struct, frozen=True):
    """A row by its key, and how that key is shown."""

    stream: str
    row_id: int
    row_key: str
    shown_key: str


class RowKeys:
    """From a key to how it is shown, and back for those who may read the store.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("keys")

    def shown(self, row_key: str, *, personal: bool) -> str:
        """Return how a row's key is shown to people."""
        if not personal:
            return row_key
        with self._store.connection() as connection:
            row = connection.execute(self._sql["shown"], {"row_key": row_key}).fetchone()
        assert row is not None  # noqa: S101 - the salt is the schema's
        return str(row.shown_key)

    def hashed(self, row_keys: Sequence[str]) -> list[str]:
        """Return the keyed hash of each key, personal or not."""
        with self._store.connection() as connection:
            values = {"stream": None, "keys": list(row_keys)}
            rows = connection.execute(self._sql["known"], values).fetchall()
        return [row.hashed for row in rows]

    def find(self, shown_key: str, stream: str | None = None) -> list[KnownKey]:
        """Return the rows whose key is shown so; it looks at every row of a stream."""
        values = {"shown_key": shown_key, "stream": stream}
        with self._store.connection() as connection:
            rows = connection.execute(self._sql["find"], values).fetchall()
        return [msgspec.convert(row._asdict(), KnownKey) for row in rows]
