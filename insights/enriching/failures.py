"""What becomes of rows that failed: carries out what `insights.enriching.blame` decides."""

import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from insights import errors
from insights.enriching import blame
from insights.enriching.blame import Evidence, Part, Ruling, Step
from insights.enriching.breakers import Breaker, Breakers, Key
from insights.enriching.flight import Flight
from insights.enriching.recipe import Recipe
from insights.enriching.shares import Shares
from insights.ground import metrics
from insights.ground.spans import SPANS
from insights.model import Claim
from insights.ports import Work

log = structlog.get_logger(__name__)

STORE: Key = ("store", "store")
_QUIET_S = 60.0  # the same thing is said once in so long


class Failures:
    """Judges failures, and gives rows back or buries them.

    Args:
        work: The queue.
        flight: What is in hand.
        shares: Who claims how much.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        work: Work,
        flight: Flight,
        shares: Shares,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.breakers = Breakers(clock)
        self._work = work
        self._flight = flight
        self._shares = shares
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[tuple[str, ...], float] = {}

    # --- what works ----------------------------------------------------------------------------

    def passed(self, step: Step, recipe: Recipe) -> None:
        """Rows of a recipe passed a step: what they were given to works."""
        self.breakers.of(key_of(blame.part_of(step), recipe)).passed()
        if step == "read":
            for part in _of_reading(recipe):
                self.breakers.of(key_of(part, recipe)).passed()

    def written(self, claims: Sequence[Claim]) -> None:
        """Rows have their insight: the store works; tell of those that had failed before."""
        self.breakers.of(STORE).passed()
        for claim in claims:
            if claim.attempts > 1 or claim.isolated:
                log.info(
                    "recovered",
                    stream=claim.stream,
                    work_id=claim.work_id,
                    attempts=claim.attempts,
                )

    def stopped(self, recipe: Recipe) -> list[Breaker]:
        """Return what a recipe waits for."""
        return self.breakers.open(needs(recipe))

    def reason(self, recipe: Recipe) -> str:
        """Return why a recipe is stopped, or what rows go on to that it is not sure of; else ""."""
        found = (*self.stopped(recipe), *self._stopped_after(recipe))
        return "; ".join(f"{one.part} {one.name}: {one.reason}" for one in found)

    def _stopped_after(self, recipe: Recipe) -> list[Breaker]:
        """Return the larger model of a recipe if it is stopped: rows that need none go on."""
        larger = recipe.larger
        return [] if larger is None else self.breakers.open([key_of("model", larger)])

    def hopeless(
        self, recipes: Mapping[int, Recipe], moving: Collection[int]
    ) -> errors.InsightsError | None:
        """Return what keeps all from moving on and does not pass by itself, if that is so.

        Args:
            recipes: By version.
            moving: The versions of which rows are claimed or in hand.
        """
        stopped = {v: found for v, recipe in recipes.items() if (found := self.stopped(recipe))}
        for version in recipes.keys() - stopped.keys() - set(moving):  # what is left of it waits
            if found := self._stopped_after(recipes[version]):
                stopped[version] = found
        lasting = [one for found in stopped.values() for one in found if one.lasting]
        store = [one.error for one in lasting if one.part == "store"]
        if store:
            return store[0]
        if set(moving) - stopped.keys() or not lasting:
            return None
        return lasting[0].error

    # --- what fails ----------------------------------------------------------------------------

    def accuse(self, step: Step, recipe: Recipe, claims: Sequence[Claim], since: float) -> None:
        """Count rows that failed together, each by itself, before any of them is judged."""
        breaker = self.breakers.of(key_of(blame.part_of(step), recipe))
        breaker.accuse([claim.work_id for claim in claims], since=since, alone=True)

    def judge(
        self,
        step: Step,
        recipe: Recipe,
        claims: Sequence[Claim],
        exc: BaseException,
        *,
        alone: bool,
        since: float,
        spare: bool = False,
    ) -> bool:
        """Decide who is charged, and do it; True: nothing is done yet, try each row by itself.

        Args:
            step: Where it failed.
            recipe: Of these rows.
            claims: The rows that were in it.
            exc: What was raised.
            alone: Nothing else was beside them.
            since: When they were given to what failed (monotonic seconds).
            spare: What would be a dead letter has another answer: True is returned instead.
        """
        claims = self._flight.still(claims)
        if not claims:
            return False
        breaker = self.breakers.of(key_of(blame.part_of(step, exc), recipe))
        proved = step == "generate" and getattr(recipe.generator, "proved", False) is True
        rows = [claim.work_id for claim in claims]
        count, again = breaker.accuse(rows, since=since, alone=alone)
        evidence = Evidence(
            alone=alone,
            worked=breaker.worked or proved,
            strangers=count,
            times=max(claim.attempts for claim in claims),
            again=again and not proved,  # it finished something when it started anew
        )
        ruling = blame.decide(step, exc, evidence)
        if ruling.unforeseen:
            metrics.UNFORESEEN.labels(step).inc()
        if ruling.unforeseen and self._first("unforeseen", step, recipe.title, _told(exc)):
            where = "".join(traceback.format_tb(exc.__traceback__))
            log.error(
                "unforeseen", step=step, recipe=recipe.title, what=_told(exc), traceback=where
            )
        if ruling.narrow or (ruling.bury and spare):
            return True
        if ruling.opens is not None:
            error = _of_all(exc)
            self.breakers.of(key_of(ruling.opens, recipe)).failed(
                error,
                since=since,
                rows=len(claims),
                lasting=ruling.lasting,
                at_once=ruling.at_once,
            )
        elif not ruling.charge and self._first("given back", step, recipe.title, _told(exc)):
            log.warning(
                "rows given back",
                step=step,
                recipe=recipe.title,
                reason=_told(exc),
                run_alone=ruling.isolate,
            )
        if ruling.ease:
            self._shares.ease(recipe.version_id)
        self._carry_out(ruling, claims, _told(exc), (recipe.name, step))
        return False

    def refused(self, exc: errors.StoreError) -> None:
        """The store refused what is finished, which is kept: a right is missing, or its schema."""
        self.breakers.of(STORE).failed(exc, since=self._clock(), rows=0, lasting=True)

    def put_off(self, claims: Sequence[Claim], reason: str, delay_s: float) -> None:
        """Give rows back without blame."""
        with self._flight.leaving(claims):
            if claims:
                self._work.release(
                    claims, delay_s=delay_s, blame=False, isolate=False, reason=reason
                )
            self._flight.drop(claims)

    def _carry_out(
        self, ruling: Ruling, claims: Sequence[Claim], reason: str, labels: tuple[str, Step]
    ) -> None:
        SPANS.ended((claim.attempt for claim in claims), failed=labels[1])
        with self._flight.leaving(claims):
            self._give_up(ruling, claims, reason, labels)
            self._flight.drop(claims)

    def _give_up(
        self, ruling: Ruling, claims: Sequence[Claim], reason: str, labels: tuple[str, Step]
    ) -> None:
        try:
            if ruling.bury:
                for claim in claims:
                    self._work.bury(claim, reason)
                    metrics.DEAD.labels(*labels).inc()
                    _tell_death(claim, reason)
                return
            dead = self._work.release(
                claims,
                delay_s=ruling.delay_s,
                blame=ruling.charge,
                isolate=ruling.isolate,
                reason=reason,
            )
            metrics.DEAD.labels(*labels).inc(len(dead))
            charged = "yes" if ruling.charge else "no"
            metrics.GIVEN_BACK.labels(*labels, charged).inc(len(claims) - len(dead))
            for claim in claims:
                if claim.work_id in dead:
                    _tell_death(claim, reason)
                elif ruling.isolate or claim.isolated:
                    times = claim.attempts if ruling.charge else 1
                    self._shares.suspect(claim.pipeline_version_id, ruling.delay_s * times)
        except Exception as down:  # noqa: BLE001 - one row's failure must not hold up the others
            if self._first("wait for their leases", _told(down)):
                log.warning("rows wait for their leases", rows=len(claims), reason=_told(down))

    def _first(self, *what: str) -> bool:
        """Tell whether something was not said lately."""
        now = self._clock()
        with self._lock:
            if now < self._said.get(what, now):
                return False
            self._said = {key: until for key, until in self._said.items() if now < until}
            self._said[what] = now + _QUIET_S
            return True


def key_of(part: Part, recipe: Recipe) -> Key:
    """Return the breaker of one part of a recipe."""
    match part:
        case "store":
            return STORE
        case "source":
            return part, recipe.stream.source
        case "model":
            return part, " or ".join(recipe.shared)
        case "names" if recipe.stream.names is not None:
            return part, recipe.stream.names.path
        case "files":
            return part, recipe.stream.name
        case _:
            return part, recipe.title


def needs(recipe: Recipe) -> list[Key]:
    """Return all that a recipe's rows need on their way."""
    parts: list[Part] = ["store", "source", "template", "model", "recipe"]
    if recipe.retriever is not None or recipe.examples is not None:
        parts.append("retrieval")
    return [key_of(part, recipe) for part in (*parts, *_of_reading(recipe))]


def _of_reading(recipe: Recipe) -> list[Part]:
    """Return what some streams need to be read, beside their source."""
    found: list[Part] = [] if recipe.stream.names is None else ["names"]
    return [*found, "files"] if recipe.stream.attachment in recipe.stream.inputs else found


def _of_all(exc: BaseException) -> errors.InsightsError:
    """Return what is wrong with what rows share, where rows showed it."""
    if isinstance(exc, errors.RowError):
        return errors.SettingsError(f"no row passes: {exc.what}", where=exc.where, fix=exc.fix)
    return exc if isinstance(exc, errors.InsightsError) else errors.InsightsError(_told(exc))


def _told(exc: BaseException) -> str:
    """Return what may be said of an exception: a foreign one may quote a row."""
    if isinstance(exc, errors.InsightsError):
        return str(exc)
    frames = traceback.extract_tb(exc.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"internal error: {type(exc).__name__}{place}"


def _tell_death(claim: Claim, reason: str) -> None:
    log.warning(
        "dead letter",
        stream=claim.stream,
        work_id=claim.work_id,
        trace=claim.trace,
        reason=reason,
    )
