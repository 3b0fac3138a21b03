"""What the store tells people, typed: `status`, `doctor`, the page and metrics read the same."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec
import psycopg

from insights import errors
from insights.store import hashkeys
from insights.store.insights import Registry
from insights.store.postgres import Store
from insights.store.queries import load

PATIENCE_S = 0.8  # for a count of all rows, before the last one is told
SILENT_S = 120.0  # four times what a daemon leaves between two words
_LAST = ("any", "completeness_counted", "sinks_counted")
Report = TypeVar("Report", bound=msgspec.Struct)


class StreamReport(msgspec.Struct, frozen=True):
    """Where every known row of a stream stands, for one pipeline that follows it (None: none does).

    The outcomes (`OUTCOMES`) sum to `rows_known`, `counted` now or by a daemon at `counted_at`.
    Times are the store's; durations are seconds.
    """

    stream: str
    pipeline: str | None
    rows_known: int
    ok: int
    abstained: int
    withheld: int
    pending: int
    dead: int
    missing: int
    gone: int
    skipped: int
    complete_through: dt.datetime | None
    lag_s: float | None
    missed_rows: int
    paused: bool
    stopped_reason: str | None
    last_poll_at: dt.datetime | None
    overlap_s: float | None
    swept_through: dt.datetime | None
    last_sweep_at: dt.datetime | None
    epoch_changes: int
    open_gaps: int
    lateness_p50_s: float | None
    lateness_p99_s: float | None
    last_error: str | None
    counted: Literal["now", "earlier", "not yet"] = "now"
    counted_at: dt.datetime | None = None


OUTCOMES = ("ok", "abstained", "withheld", "pending", "dead", "missing", "gone", "skipped")


class VersionReport(msgspec.Struct, frozen=True):
    """A version that makes new work: what waits for it, what is said of it, who serves it now.

    `held_reason`: a guard took its share from it, or keeps it from growing. `nearest`: the guard
    that is nearest to that.
    """

    stream: str
    pipeline: str
    version_id: int
    sha256: str
    stage: str
    share: float
    shares_to_come: list[float]
    next_at: dt.datetime | None
    held_reason: str | None
    nearest: str | None
    pending: int
    said_right: int
    said_wrong: int
    stopped_reason: str | None
    served_by: list[str] | None

    @property
    def says(self) -> str:
        """Its stage in words, with its share of the keys."""
        said = self.stage if self.stage == "full" else f"{self.stage}, {self.share:.4g} of the keys"
        if self.shares_to_come and self.next_at is not None:
            said += f"; {self.shares_to_come[0]:.4g} from {self.next_at:%Y-%m-%d %H:%M} UTC"
        return said

    @property
    def stranded(self) -> bool:
        """Whether work waits that nobody will do."""
        return self.pending > 0 and not self.served_by


class SinkReport(msgspec.Struct, frozen=True):
    """What a sink has been told, and what it still has to be told."""

    sink: str
    rows: int
    undelivered: int
    refused: int
    tombstoned: int
    stopped_reason: str | None
    last_published_at: dt.datetime | None


class ReplyReport(msgspec.Struct, frozen=True):
    """What a queue, or a webhook (`webhook NAME`), still has to be told of outcomes.

    Of those that wait `failing` were tried already; `given_up` are those of a week. `reason` is
    why the one that was tried most is not told.
    """

    door: str
    waiting: int
    failing: int
    given_up: int
    reason: str | None


class TroubleReport(msgspec.Struct, frozen=True):
    """A thread or job of a daemon that does not do its work at present."""

    name: str
    reason: str
    since: dt.datetime


class DaemonReport(msgspec.Struct, frozen=True):
    """A daemon that runs: last heard of `silent_s` seconds ago; every half minute if well.

    `threads` say of each local model how many it works with, and why.
    """

    holder: str
    roles: list[str]
    version: str
    started_at: dt.datetime
    silent_s: float
    troubles: list[TroubleReport]
    threads: dict[str, str]

    @property
    def lost(self) -> bool:
        """Whether it has been silent for so long that it hangs, is cut off or was killed."""
        return self.silent_s > SILENT_S


class BudgetReport(msgspec.Struct, frozen=True):
    """A budget now, in its unit. A row `reserve`s so much; under one that `yields` rows go on."""

    name: str
    concerns: str
    unit: str
    per: str
    time_zone: str
    soft: float | None
    hard: float | None
    used: float
    reserved: float
    in_hand: int
    reserve: float
    resets_at: dt.datetime
    yields: bool = False

    @property
    def left(self) -> float:
        """What may still be reserved, up to the hard bound, or to the soft one without one."""
        bound = self.soft if self.hard is None else self.hard
        return max(0.0, (bound or 0.0) - self.used - self.reserved)

    @property
    def state(self) -> Literal["free", "slowed", "stopped"]:
        """Whether rows begin as they come, one at a time, or not at all until the next window."""
        if self.hard is not None and self.hard - self.used < max(self.reserve, 1e-9):
            return "stopped"
        if self.soft is not None and self.soft - self.used < max(self.reserve, 1e-9):
            return "slowed"
        return "free"

    @property
    def says(self) -> str:
        """How it stands, in words."""
        bounds = ((self.soft, "soft"), (self.hard, "hard"))
        of = ", ".join(f"{amount:,.10g} {kind}" for amount, kind in bounds if amount is not None)
        stopped = "rows go to the other model" if self.yields else "nothing begins"
        words = {
            "free": "",
            "slowed": "; past its soft bound: one row at a time",
            "stopped": f"; used up: {stopped}",
        }[self.state]
        if words:
            words += f" until {self.resets_at:%Y-%m-%d %H:%M} UTC"
        held = f", {self.reserved:,.10g} reserved" if self.reserved else ""
        return f"{round(self.used, 6):,.10g}{held} of {of} {self.unit} a {self.per}{words}"


class PlanReport(msgspec.Struct, frozen=True):
    """The last plan of a pipeline; `done_` is what the first of its rows then took."""

    pipeline: str
    at: dt.datetime
    model: str
    rows: int
    tokens: float
    seconds: float
    money: float | None
    basis: str
    done_rows: int
    done_tokens: float
    done_seconds: float
    done_money: float | None

    def off(self, what: Literal["tokens", "seconds", "money"]) -> float | None:
        """Return by how much more was taken than planned, of the rows done; 0.1 is a tenth more.

        None where nothing can be said: no row is done, or nothing was planned.
        """
        planned, done = getattr(self, what), getattr(self, f"done_{what}")
        if not planned or done is None or not self.done_rows:
            return None
        return float(done / (planned * self.done_rows / self.rows) - 1)


class UsageReport(msgspec.Struct, frozen=True):
    """What the generations of the last day cost; `escalated` are a larger model's."""

    insights: int
    prompt_tokens: int
    reused_tokens: int
    output_tokens: int
    escalated: int = 0


class StreamStanding(msgspec.Struct, frozen=True):
    """How a stream fares, without a count of anything; durations are seconds."""

    stream: str
    paused: bool
    stopped_reason: str | None
    last_error: str | None
    lag_s: float | None
    polled_s: float | None


class BacklogReport(msgspec.Struct, frozen=True):
    """What waits for a version that makes new work, and since how many seconds the oldest of it.

    `held`: a guard has ended a rollout of the pipeline.
    """

    stream: str
    pipeline: str
    pending: int
    oldest_s: float | None
    served: bool
    held: bool


class DeadReport(msgspec.Struct, frozen=True):
    """The dead letters of a stream."""

    stream: str
    rows: int


class OutboxReport(msgspec.Struct, frozen=True):
    """What a sink still has to be told, and since how many seconds the oldest of it."""

    sink: str
    stopped_reason: str | None
    due: int
    oldest_s: float | None


class ForgottenReport(msgspec.Struct, frozen=True):
    """Rows of a stream that stay out, and how often they were read again and not recorded.

    `unfinished` forgettings are not over, the oldest `since`; `sinks` have not said yet that they
    show their rows no more.
    """

    stream: str
    rows: int
    held_back: int
    unfinished: int
    since: dt.datetime | None
    sinks: list[str]


class Reports:
    """Reads the reports; changes nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        named = ("insights", "deployments", "daemons", "streams", "budgets", "plans", "forgetting")
        self._sql = {name: text for file in named for name, text in load(file).items()}
        self._sql["replies"] = load("replies")["replies"]
        counted = load("counted")
        self._sql |= {name: counted[name] for name in _LAST}
        self._too_many = False  # to be counted while somebody waits

    def streams(self, *, exact: bool = True) -> list[StreamReport]:
        """Return a report for each stream and pipeline.

        Args:
            exact: Count all rows, however long it takes; else for `PATIENCE_S`, and then tell what
                a daemon has counted last. Where none has, all are counted.
        """
        return self._counted("completeness", StreamReport, exact=exact)

    def standing(self) -> list[StreamStanding]:
        """Return how each stream fares; cheap, however many rows there are."""
        return self._read("standing", StreamStanding)

    def backlog(self) -> list[BacklogReport]:
        """Return what waits, by stream and pipeline."""
        return self._read("backlog", BacklogReport)

    def dead(self) -> list[DeadReport]:
        """Return the dead letters, by stream."""
        return self._read("dead", DeadReport)

    def outboxes(self) -> list[OutboxReport]:
        """Return what sinks still have to be told."""
        return self._read("outboxes", OutboxReport)

    def versions(self) -> list[VersionReport]:
        """Return a report for each version that makes new work."""
        return self._read("live", VersionReport)

    def sinks(self, *, exact: bool = True) -> list[SinkReport]:
        """Return a report for each sink; `exact` as for `streams`."""
        return self._counted("sinks", SinkReport, exact=exact)

    def replies(self) -> list[ReplyReport]:
        """Return a report for each door that tells outcomes, if it has something to tell."""
        return self._read("replies", ReplyReport)

    def daemons(self) -> list[DaemonReport]:
        """Return a report for each daemon that has not ended."""
        return self._read("daemons", DaemonReport)

    def budgets(self) -> list[BudgetReport]:
        """Return how each budget stands now."""
        return self._read("budgets", BudgetReport)

    def plans(self) -> list[PlanReport]:
        """Return the last plan of each pipeline beside what was then spent."""
        return self._read("plans", PlanReport)

    def forgotten(self) -> list[ForgottenReport]:
        """Return which streams have rows that were forgotten, and what is not over of that."""
        return self._read("forgotten", ForgottenReport)

    def usage(self) -> UsageReport:
        """Return what the last day cost."""
        return self._read("usage_today", UsageReport)[0]

    def clock(self) -> float:
        """Return the store's time, in seconds since 1970."""
        with self._store.connection() as connection:
            found = connection.execute(self._sql["clock"], {}).fetchone()
        assert found is not None  # noqa: S101 - it always has a row
        return float(found.now_s)

    def former_key_rows(self) -> int | None:
        """Return how many rows are still known by an older hash key; None: it never changed."""
        registry = Registry(self._store)
        version = hashkeys.version(registry)
        return registry.former_rows(version) if version > 1 else None

    def _counted(self, statement: str, report: type[Report], *, exact: bool) -> list[Report]:
        if not exact and not self._too_many:
            try:
                with self._store.patient(PATIENCE_S) as connection:
                    return _typed(connection.execute(self._sql[statement]).fetchall(), report)
            except errors.StoreUnavailable as exc:
                if not isinstance(exc.__cause__, psycopg.errors.QueryCanceled):
                    raise
                with self._store.connection() as connection:
                    found = connection.execute(self._sql["any"]).fetchone()
                self._too_many = found is not None and found.counted
        if not exact and self._too_many:
            return self._read(f"{statement}_counted", report)
        return self._read(statement, report)

    def _read(self, statement: str, report: type[Report]) -> list[Report]:
        with self._store.connection() as connection:
            rows = connection.execute(self._sql[statement], {}).fetchall()
        return _typed(rows, report)


def _typed(rows: Sequence[Any], report: type[Report]) -> list[Report]:
    return [msgspec.convert(row._asdict(), report, strict=False) for row in rows]
