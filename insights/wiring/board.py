"""What the status page shows and does: the daemon's memory, and bounded looks at the store."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Literal

import msgspec

from insights import errors
from insights.service.health import Check, Health
from insights.store import streams
from insights.store.board import (
    COUNTED,
    SEED,
    BoardReports,
    CitationRow,
    InsightRow,
    LetterRow,
    ModelRow,
    ReasonRow,
    RecentRow,
    StreamRow,
    VersionRow,
)
from insights.store.reports import DaemonReport, OutboxReport
from insights.store.work import DeadLetters
from insights.wiring.app import App
from insights.wiring.health import Readiness

EVERY_S = 30.0
_KEPT = 2_880  # samples: a day
_MINUTES = 1_440


class Sample(msgspec.Struct, frozen=True):
    """How things stood at a moment (seconds since 1970); latency of the newest insights."""

    at: float
    waiting: int
    p50_s: float | None
    p99_s: float | None


class Minute(msgspec.Struct, frozen=True):
    """What was made in a minute (seconds since 1970)."""

    at: float
    ok: int
    others: int


class StreamLine(msgspec.Struct, frozen=True):
    """A stream as the page shows it; a grade is known where this daemon polls."""

    row: StreamRow
    grade: str | None
    waiting: int
    oldest_s: float | None
    dead: int


class Numbers(msgspec.Struct, frozen=True):
    """All that the page shows without a text of any row."""

    at: float
    stage: str
    checks: list[Check]
    streams: list[StreamLine]
    sinks: list[OutboxReport]
    versions: list[VersionRow]
    recent: list[RecentRow]
    models: list[ModelRow]
    daemons: list[DaemonReport]
    samples: list[Sample]
    minutes: list[Minute]
    error: str = ""


class History:
    """Samples of a day in memory, one every half minute; a job of its own.

    Insights are counted by their numbers: at each look those up to the newest of the look before,
    so that what was being written then is counted once and not missed. After a start, the newest
    20,000 tell what was made before.
    """

    name = "page history"
    every_s = EVERY_S

    def __init__(self, reports: BoardReports, readiness: Readiness) -> None:
        self._reports = reports
        self._observing = readiness.observing
        self._samples: deque[Sample] = deque(maxlen=_KEPT)
        self._minutes: dict[float, Minute] = {}
        self._counted: int | None = None
        self._upto = 0

    def run_once(self) -> bool:
        """Look once; the store's trouble is told by who works with it."""
        try:
            self._look()
        except errors.InsightsError:
            return False
        return False

    def samples(self) -> list[Sample]:
        """Return how things stood, oldest first."""
        return list(self._samples)

    def minutes(self) -> list[Minute]:
        """Return what was made, oldest first; a minute without anything is left out."""
        return [self._minutes[at] for at in sorted(self._minutes)]

    def _look(self) -> None:
        newest = self._reports.newest()
        if self._counted is None:
            self._counted, self._upto = max(0, newest - SEED), newest
        while self._counted < self._upto:
            upto = min(self._counted + COUNTED, self._upto)
            for made in self._reports.made(self._counted, upto):
                had = self._minutes.get(made.minute, Minute(made.minute, 0, 0))
                both = Minute(made.minute, had.ok + made.ok, had.others + made.others)
                self._minutes[made.minute] = both
            self._counted = upto
        self._upto = max(newest, self._upto)
        kept = sorted(self._minutes)[-_MINUTES:]
        self._minutes = {at: self._minutes[at] for at in kept}
        recent = self._reports.recent()
        waiting = sum(one.pending for one in self._observing.backlog)
        p50 = max((_shown(one, "p50") for one in recent), default=None, key=lambda s: s or 0.0)
        p99 = max((_shown(one, "p99") for one in recent), default=None, key=lambda s: s or 0.0)
        self._samples.append(Sample(time.time(), waiting, p50, p99))


class Board:
    """What the page asks; every method may be called from one thread beside the daemon's.

    Args:
        app: What is open.
        health: The daemon's checks.
        readiness: What looks at the store every few seconds.
    """

    def __init__(self, app: App, health: Health, readiness: Readiness) -> None:
        self._app = app
        self._health = health
        self._observing = readiness.observing
        self._reports = BoardReports(app.store)
        self._letters = DeadLetters(app.store)
        self.history = History(self._reports, readiness)

    def numbers(self) -> Numbers:
        """Return the numbers as they are now; where the store does not answer, what is known."""
        found = Numbers(
            at=time.time(),
            stage=self._health.stage,
            checks=[*self._health.alive(), *self._health.ready()],
            streams=[],
            sinks=list(self._observing.outboxes),
            versions=[],
            recent=[],
            models=[],
            daemons=[],
            samples=self.history.samples(),
            minutes=self.history.minutes(),
        )
        try:
            return msgspec.structs.replace(
                found,
                streams=[self._line(row) for row in self._reports.streams()],
                versions=self._reports.versions(),
                recent=self._reports.recent(),
                models=self._reports.models(),
                daemons=self._app.reports.daemons(),
            )
        except errors.InsightsError as exc:
            return msgspec.structs.replace(found, error=str(exc))

    def letters(self) -> tuple[Sequence[ReasonRow], Sequence[LetterRow]]:
        """Return the dead letters: reasons, and the newest of each stream.

        Raises:
            errors.InsightsError: If the store does not answer.
        """
        return self._reports.reasons(), self._reports.dead()

    def latest(self, status: str | None, *, actor: str) -> Sequence[InsightRow]:
        """Return the newest insights with their texts; the audit is told who reads them.

        Raises:
            errors.InsightsError: If the store does not answer.
        """
        return self._reports.latest(status, actor=actor)

    def insight(
        self, insight_id: int, *, actor: str
    ) -> tuple[InsightRow, Sequence[CitationRow]] | None:
        """Return one insight with its sources; the audit is told who reads it.

        Raises:
            errors.InsightsError: If the store does not answer.
        """
        return self._reports.insight(insight_id, actor=actor)

    def switch(self, stream: str, to: Literal["pause", "resume"], *, actor: str) -> bool:
        """Pause or resume a stream; tell whether that changed anything.

        Raises:
            errors.InsightsError: If there is no such stream, or the store does not answer.
        """
        return streams.switch(self._app.store, stream, to, actor=actor)

    def retry(self, *, stream: str | None, work_id: int | None, actor: str) -> int:
        """Give dead letters a fresh start: one, or all of a stream; return how many.

        Raises:
            errors.InsightsError: If the store does not answer.
        """
        return self._letters.retry(stream=stream, work_id=work_id, actor=actor)

    def _line(self, row: StreamRow) -> StreamLine:
        seen = self._observing
        backlog = [one for one in seen.backlog if one.stream == row.stream]
        poller = self._app.pollers.get(row.stream)
        return StreamLine(
            row,
            grade=None if poller is None else poller.grade,
            waiting=sum(one.pending for one in backlog),
            oldest_s=max((one.oldest_s or 0.0 for one in backlog if one.pending), default=None),
            dead=sum(one.rows for one in seen.dead if one.stream == row.stream),
        )


def _shown(one: RecentRow, share: Literal["p50", "p99"]) -> float | None:
    """Return seconds from found to shown; where nothing is shown, to made."""
    if share == "p50":
        return one.shown_p50_s if one.shown_p50_s is not None else one.made_p50_s
    return one.shown_p99_s if one.shown_p99_s is not None else one.made_p99_s
