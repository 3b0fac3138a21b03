"""Guards: a version with a share of the keys that does something too often is withdrawn."""

import time

import structlog

from insights.enriching import guards
from insights.enriching.recipe import Recipe
from insights.site.calibrations import closed
from insights.site.guards import GuardSettings
from insights.store.watches import Measure, Watched, Watches
from insights.wiring.app import App

log = structlog.get_logger(__name__)


class Guarding:
    """Looks at what versions with a share have made, and withdraws those that break a guard.

    Every daemon that has a version's files does; what one has counted, none counts again.

    Args:
        app: The site.
        served: The recipes by version.
    """

    name = "guards"
    every_s = 2.0

    def __init__(self, app: App, served: dict[int, Recipe]) -> None:
        self._watches = Watches(app.store, app.holder)
        self._settings = {
            version: app.settings.pipeline[one.name].guard or GuardSettings()
            for version, one in served.items()
        }
        self._measures = {
            version: measure(self._settings[version], one) for version, one in served.items()
        }

    def run_once(self) -> bool:
        """Look once."""
        for watched, counts in self._watches.watched(self._measures):
            settings = self._settings[watched.version_id]
            found = guards.standings(settings, counts)
            self._watches.keep(watched, next((one.says for one in found if one.rows), None))
            if (why := guards.breach(found)) is not None:
                self._end(watched, settings, why)
        return False

    def _end(self, watched: Watched, settings: GuardSettings, why: str) -> None:
        began, hold = time.monotonic(), settings.breach == "hold"
        if self._watches.withdraw(watched.version_id, why, hold=hold):
            log.warning(
                "a version keeps its share, which does not grow any more"
                if hold
                else "a version was withdrawn: it is a shadow again",
                pipeline=watched.pipeline,
                version=watched.sha256,
                was=watched.stage,
                share=watched.share,
                reason=why,
                took_s=round(time.monotonic() - began, 3),
            )


def measure(settings: GuardSettings, recipe: Recipe) -> Measure:
    """Return what of a version's outputs is counted as slow, costly and different."""
    slower_s = settings.slower_than
    return Measure(
        slow_ms=None if slower_s is None else slower_s * 1000,
        tokens=settings.tokens,
        fields=settings.fields or tuple(closed(recipe.output_schema)),
    )
