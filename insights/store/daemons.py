"""The daemons that run, and what keeps each from its work: told by themselves, for `status`."""

from collections.abc import Callable, Mapping, Sequence

from psycopg.types.json import Jsonb

from insights.store.postgres import Store
from insights.store.queries import load


class Daemons:
    """Says in the store that this daemon runs.

    Args:
        store: The store.
        holder: This daemon's name, as its leases have it.
        roles: What it does.
        version: Of this program.
        threads: Says of each model how many threads it works with, and why.
    """

    def __init__(
        self,
        store: Store,
        holder: str,
        *,
        roles: Sequence[str],
        version: str,
        threads: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._store = store
        self._facts = {"holder": holder, "roles": list(roles), "version": version}
        self._sql = load("daemons")
        self._threads = threads
        self._told = False

    def tell(self, troubles: Sequence[dict[str, str]]) -> None:
        """Say that it runs, and what does not do its work: name, reason, since."""
        values = {
            **self._facts,
            "troubles": Jsonb(list(troubles)),
            "threads": Jsonb(dict(self._threads())),
            "started": not self._told,
        }
        with self._store.connection() as connection:
            connection.execute(self._sql["tell"], values)
        self._told = True

    def forget(self) -> None:
        """Take the word back: it ends."""
        with self._store.connection() as connection:
            connection.execute(self._sql["forget"], {"holder": self._facts["holder"]})
