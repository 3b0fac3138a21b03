"""Publishing: tell one sink what it still has to be told, a batch a round.

The last step of a row's path. At least once towards the sink, whose writes are conditional on the
revision: a repeat, a late duplicate, or a publisher that slept past its lease changes nothing.
"""

import datetime as dt
import time
from collections.abc import Sequence

import msgspec
import structlog

from insights import errors
from insights.ground import failpoints, metrics
from insights.ground.spans import SPANS
from insights.model import SinkResult, SinkState
from insights.ports import Outbox, Sink

log = structlog.get_logger(__name__)


class PublishResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did, in rows. `again` were put off because the sink knew a newer revision."""

    taken: int = 0
    delivered: int = 0
    refused: int = 0
    again: int = 0


class Publishing:
    """Publishes to one sink, under its lease.

    Args:
        name: The sink's name.
        sink: Where to show insights.
        outbox: What is to be shown.
        every_s: Seconds between rounds while nothing is due.
        batch: Rows a round.
    """

    def __init__(
        self, name: str, sink: Sink, outbox: Outbox, *, every_s: float = 1.0, batch: int = 500
    ) -> None:
        self.name, self.sink = f"publish {name}", name
        self.every_s = every_s
        self._sink = sink
        self._outbox = outbox
        self._batch = batch
        self._epoch: int | None = None

    def run_once(self) -> bool:
        """Publish one batch; True means that more may be due."""
        return self.publish().taken > 0

    def publish(self) -> PublishResult:
        """Publish one batch, if we hold the lease.

        Raises:
            errors.Transient: The sink or the store does not answer; everything stays due.
            errors.SinkError: The sink lacks its table or a grant; recorded, everything stays due.
        """
        epoch = self._outbox.hold()
        if epoch is None:
            self._epoch = None
            return PublishResult()
        try:
            if epoch != self._epoch:
                self._outbox.align(self._sink.max_revision())
                self._epoch = epoch
            return self._round()
        except (errors.SinkError, errors.SinkUnavailable) as exc:
            self._epoch = None  # look at the sink anew once it is back
            self._outbox.stop(str(exc))
            raise

    def _round(self) -> PublishResult:
        states = self._outbox.take(self._batch)
        if not states:
            return PublishResult()
        failpoints.reach("before-publish")
        began = time.time()
        try:
            results = self._sink.apply(states)
        except errors.WorkerDied:
            self._outbox.defer(states)
            raise
        failpoints.reach("after-publish")
        self._outbox.settle(results)
        refused = [result for result in results if result.error is not None]
        traces = self._trace(states, refused, began)
        again = sum(result.standing is not None for result in results)
        for result in refused:
            log.warning(
                "row refused",
                sink=self.name,
                row_id=result.row_id,
                trace=traces.get(result.row_id, ""),
                reason=result.error,
            )
        fitted = sum(bool(result.notes) for result in results)
        if fitted or again:
            log.info("published with remarks", sink=self.name, fitted=fitted, again=again)
        done = PublishResult(
            taken=len(states),
            delivered=len(states) - len(refused) - again,
            refused=len(refused),
            again=again,
        )
        self._count(states, done)
        return done

    def _trace(
        self, states: Sequence[SinkState], refused: Sequence[SinkResult], began: float
    ) -> dict[int, str]:
        """Show the round in each row's trace; return the traces' ids by row."""
        errors_ = {result.row_id for result in refused}
        for state in states:
            failed = "refused" if state.row_id in errors_ else ""
            SPANS.published(state.trace, began, failed=failed, sink=self.sink)
        return {state.row_id: state.trace for state in states}

    def _count(self, states: Sequence[SinkState], done: PublishResult) -> None:
        sink, now = self.sink, dt.datetime.now(dt.UTC)
        for result in ("delivered", "refused", "again"):
            metrics.PUBLISHED.labels(sink, result).inc(getattr(done, result))
        # By the store's clock: a skew counts as no time.
        ages = [(now - one.generated_at).total_seconds() for one in states if one.generated_at]
        metrics.SHOWN.labels(sink).observe(*(max(0.0, age_s) for age_s in ages))
        ages = [(now - one.found_at).total_seconds() for one in states if one.found_at]
        metrics.VISIBLE.labels(sink).observe(*(max(0.0, age_s) for age_s in ages))
