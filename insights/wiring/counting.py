"""Counting: the job that keeps where rows stand, so that nobody has to wait for a count."""

from insights.store.counts import Counts
from insights.wiring.app import App


class Counting:
    """Counts all rows now and then, under a lease: one daemon does it."""

    name = "count rows"
    every_s = 30.0

    def __init__(self, app: App) -> None:
        self._leases = app.leases
        self._counts = Counts(app.store)

    def run_once(self) -> bool:
        """Count, if it is time to."""
        upto = self._counts.due()
        if upto is not None:
            self._counts.count(upto, lambda: self._leases.take(self.name) is not None)
        return False
