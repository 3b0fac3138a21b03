"""Who read the text of rows and passages: an event before anything of it is shown."""

from collections.abc import Mapping, Sequence

from insights.ground import environment
from insights.store import audit
from insights.store.audit import Event
from insights.store.postgres import Store
from insights.store.queries import load


class Readings:
    """Tells the audit what a person is about to see; what cannot be told must not be shown.

    Keys and questions enter as the store's keyed hash, whether a stream's keys are personal or not.

    Args:
        store: The store.
        actor: The command that shows it, such as `insights try`.
    """

    def __init__(self, store: Store, actor: str) -> None:
        self._store = store
        self._actor = actor
        self._sql = load("keys")

    def rows(self, stream: str, keys: Sequence[str], **details: str) -> None:
        """Record that rows of a stream are read: an event each, found by the row's number.

        Raises:
            errors.StoreError: If it cannot be recorded.
        """
        told = {"stream": stream, "user": environment.user(), **details}
        with self._store.transaction() as connection:
            values = {"stream": stream, "keys": list(keys)}
            known = connection.execute(self._sql["known"], values).fetchall()
            events = [
                Event("row read", row.stream_id, row.row_id, details={"key": row.hashed, **told})
                for row in known
            ]
            audit.append(connection, self._actor, events)

    def passages(
        self, query: str, conditions: Mapping[str, str], collections: Sequence[str],
        passage_ids: Sequence[int],
    ) -> None:  # fmt: skip
        """Record that passages are read, and by which question.

        Raises:
            errors.StoreError: If it cannot be recorded.
        """
        asked = "\n".join([query, *(f"{name}={value}" for name, value in conditions.items())])
        with self._store.transaction() as connection:
            values = {"stream": None, "keys": [asked]}
            (row,) = connection.execute(self._sql["known"], values).fetchall()
            details = {
                "query": row.hashed,
                "collections": list(collections),
                "passages": list(passage_ids),
                "user": environment.user(),
            }
            audit.append(connection, self._actor, [Event("passages read", details=details)])
