"""Leases: who polls, sweeps or publishes what. The database's clock decides, never ours."""

from insights.model import Lease
from insights.store.postgres import Store
from insights.store.queries import load


class Leases:
    """Takes, renews and gives back leases for one daemon.

    Args:
        store: The store.
        holder: This daemon's name, stable over restarts, so that it takes its own leases back.
        ttl_s: Seconds a lease lasts without renewal.
    """

    def __init__(self, store: Store, holder: str, *, ttl_s: float) -> None:
        self._store = store
        self._holder = holder
        self._ttl_s = ttl_s
        self._sql = load("leases")

    def take(self, name: str) -> Lease | None:
        """Return the lease, or None while somebody else holds it."""
        with self._store.connection() as connection:
            row = connection.execute(
                self._sql["take"], {"name": name, "holder": self._holder, "ttl_s": self._ttl_s}
            ).fetchone()
        if row is None:
            return None
        return Lease(name=name, token=str(row.token), epoch=row.epoch, ttl_s=self._ttl_s)

    def renew(self, lease: Lease) -> bool:
        """Prolong a lease; False means that it is lost."""
        with self._store.connection() as connection:
            return (
                connection.execute(
                    self._sql["renew"],
                    {"name": lease.name, "token": lease.token, "ttl_s": lease.ttl_s},
                ).fetchone()
                is not None
            )

    def stands(self, name: str) -> bool:
        """Tell whether anybody holds a lease now."""
        with self._store.connection() as connection:
            row = connection.execute(self._sql["stands"], {"name": name}).fetchone()
        return row is not None and bool(row.stands)

    def give_back(self) -> None:
        """Free all that this daemon holds: it ends."""
        with self._store.connection() as connection:
            connection.execute(self._sql["give_back"], {"holder": self._holder})
