"""The job that asks columns of legacy tables whether insights are right, at a bounded pace."""

import time
from collections import deque
from collections.abc import Callable

import structlog

from insights.enriching.columns import Columns
from insights.enriching.recipe import Recipe
from insights.ground import metrics
from insights.model import Shown
from insights.site.columns import FeedbackSettings
from insights.store.feedback import Feedback
from insights.wiring.app import App

log = structlog.get_logger(__name__)

_AT_ONCE = 200  # rows a statement
_SLICE = 10_000  # row ids that are looked through for insights in one statement


class ColumnVerdicts:
    """Looks once in a while at each insight that a pipeline shows, under a lease: one daemon does.

    Where it stands is kept in memory: a daemon that starts begins anew.

    Args:
        app: The site.
        pipeline: Its name in the store.
        recipe: What the files say of it.
        settings: Which columns, and how often.
        once: Each round looks at everything, at once.
        clock: Monotonic seconds.
    """

    every_s = 30.0

    def __init__(
        self,
        app: App,
        pipeline: str,
        recipe: Recipe,
        settings: FeedbackSettings,
        *,
        once: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"verdicts of columns, {pipeline}"
        self._leases = app.leases
        self._feedback = Feedback(app.store)
        self._courtesy = app.courtesy(recipe.stream.name, rate=settings.rows_per_second)
        self._pipeline = pipeline
        self._recipe = recipe
        self._columns = Columns(settings.columns, settings.decided)
        self._pause_s = 0.0 if once else settings.every
        self._age_s = settings.age
        self._clock = clock
        self._next_at = clock()
        self._after: int | None = None
        self._left = deque[Shown]()

    def run_once(self) -> bool:
        """Look at some rows; True while there are more in this round."""
        if self._after is None and self._clock() < self._next_at:
            return False
        if self._courtesy.waits() or self._leases.take(self.name) is None:
            return False
        if self._after is None:
            self._after, self._next_at = 0, self._clock() + self._pause_s
        if not self._left:
            return self._on()
        some = [self._left.popleft() for _ in range(min(_AT_ONCE, len(self._left)))]
        rows = self._recipe.source.fetch(
            self._columns.spec(self._recipe.stream), [one.row_key for one in some]
        )
        said = self._columns.verdicts(self._recipe.output_schema, some, list(rows))
        changed = self._feedback.column_says(self._columns.name, said)
        metrics.COLUMN_VERDICTS.labels(self._pipeline).inc(changed)
        if changed:
            log.debug("columns say something new of insights", job=self.name, verdicts=changed)
        self._courtesy.pay(len(some))
        return True

    def _on(self) -> bool:
        """Take the next slice of rows; False where the round is over."""
        assert self._after is not None  # noqa: S101 - a round has begun
        if self._after >= self._feedback.last_row():
            self._after = None
            return False
        self._left.extend(
            self._feedback.shown(self._pipeline, self._after, _SLICE, age_s=self._age_s)
        )
        self._after += _SLICE
        return True


def jobs(app: App, recipes: dict[int, Recipe], *, once: bool) -> list[ColumnVerdicts]:
    """Return a job for each pipeline here whose columns say something."""
    found = []
    for recipe in recipes.values():
        settings = app.settings.pipeline[recipe.name]
        if settings.feedback is not None:
            found.append(ColumnVerdicts(app, recipe.name, recipe, settings.feedback, once=once))
    return found
