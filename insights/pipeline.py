"""The path of one row. Read this file first; it goes from top to bottom.

    poll → claim → read → redact → retrieve → generate → validate → write → publish

Polling (`insights.polling`) and publishing (`insights.publishing`) are leased per stream and sink;
they are flows of their own and meet this one in the store. Everything between is `Pipeline`: two
threads drive it, one calls `advance`, the other `settle`; each recipe has a lane for what may
block. No transaction is open while a model runs. What a failure means is decided in
`insights.enriching.blame`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from insights import errors
from insights.enriching import counting, escalating, reuse
from insights.enriching.baseline import concluded, instead, reason
from insights.enriching.blame import RETRY_S, Step
from insights.enriching.breakers import Admission
from insights.enriching.escalating import Escalation
from insights.enriching.failures import STORE, Failures, needs
from insights.enriching.flight import Flight, InHand, together
from insights.enriching.lanes import Lanes
from insights.enriching.reading import STALE_RETRY_S, Reading
from insights.enriching.recipe import (
    Recipe,
    examples_for,
    lacking,
    passages_for,
    prompt_sha256,
    prompt_text,
    request_for,
)
from insights.enriching.shares import Shares
from insights.enriching.support import UNSCORED, supported
from insights.ground import failpoints
from insights.model import Claim, GenerateRequest, Insight
from insights.ports import Grounds, Insights, Work

log = structlog.get_logger(__name__)

ROOM_WAIT_S = 0.5  # how long `advance` waits for room before it says that nothing was claimed
_READ: Step = "read"


class Pipeline:
    """Enriches claimed rows.

    Args:
        recipes: By pipeline version.
        work: The queue.
        insights: Where results go.
        batch: Rows of a recipe claimed and read at once; None: as their pace is (`Shares`).
        in_flight: Most rows held between claim and write, whatever their pace.
        ample: Most rows held of recipes that finish them soon; `in_flight` if it is None.
        grounds: Scores how far sentences are supported; without it they are not scored.
        lanes: Where recipes run; replaceable for tests.
        clock: Monotonic seconds; replaceable for tests.
    """

    def __init__(  # noqa: PLR0913 - what a pipeline is made of
        self,
        recipes: Mapping[int, Recipe],
        work: Work,
        insights: Insights,
        *,
        batch: int | None,
        in_flight: int,
        ample: int | None = None,
        grounds: Grounds | None = None,
        lanes: Lanes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recipes = recipes
        self._work = work
        self._insights = insights
        self._grounds = grounds
        self._lanes = lanes or Lanes()
        self._clock = clock
        self._flight = Flight(clock)
        self._shares = Shares(
            recipes, self._flight, batch=batch, most=in_flight, ample=ample, clock=clock
        )
        self._failures = Failures(work, self._flight, self._shares, clock)
        self._reading = Reading(work, self._flight, self._failures)
        self._escalation = Escalation(recipes, self._flight, self._failures, clock)
        self._unwritten: list[Insight] = []
        self._idle = self._full = False
        self.closed = self._shut = False  # claims nothing more, and knows it
        self.progress = 0  # grows with each row that passes a step: what does not hangs

    # --- what the two threads call -------------------------------------------------------------

    def advance(self) -> int:
        """Claim rows and send them down their lanes to their generators; return how many."""
        self._shut = self.closed  # no claim is under way that began before
        until = time.monotonic() + ROOM_WAIT_S
        seen = self._lanes.turns
        claims = self.claim()
        while not claims and self._full and self._lanes.wait(seen, until):
            seen = self._lanes.turns
            claims = self.claim()
        if claims:
            failpoints.reach("after-claim")
        for version in dict.fromkeys(claim.pipeline_version_id for claim in claims):
            recipe = self._recipes[version]
            some = [claim for claim in claims if claim.pipeline_version_id == version]
            try:
                self._lanes.run(recipe.title, partial(self._bring, recipe, some, self._clock()))
            except RuntimeError:  # no thread: the machine's trouble
                self._failures.put_off(some, "no thread could be started", STALE_RETRY_S)
        self.progress += len(claims)
        return len(claims)

    def settle(self, timeout_s: float) -> int:
        """Write whatever has finished, waiting `timeout_s` for the first; return how many rows.

        Raises:
            errors.Transient: If the store does not answer. What was to be written is kept and goes
                with the next call: COMMIT may have happened or not, the lease tokens tell.
        """
        refused = self._failures.breakers.of(STORE).admits() == "none"
        waits = bool(self._unwritten) and not refused
        finished = self._flight.arrived(0.0 if waits else timeout_s)
        made = [(row, insight) for row in finished if (insight := self._judged(row)) is not None]
        self._unwritten += self.score(made)
        written = 0 if refused else self.write()
        if finished or written:
            self._lanes.changed()  # there is room
        return written

    def extend(self) -> None:
        """Prolong the leases of everything held; what is lost is forgotten, never written."""
        claims = self._flight.claims()
        if not claims:
            return
        ours = self._work.extend(claims)
        if lost := self._flight.lost(claim for claim in claims if claim.work_id not in ours):
            log.warning("leases lost", rows=len(lost))
            self._flight.drop(lost)

    def give_back_all(self) -> int:
        """Give back everything that is held, without blame; return how many rows."""
        claims = self._flight.claims()
        self._failures.put_off(claims, "the daemon was stopped", 0.0)
        return len(claims)

    @property
    def drained(self) -> bool:
        """Whether it is closed, and nothing is held or about to be."""
        return self.closed and self._shut and not self.held

    @property
    def held(self) -> int:
        """How many rows are between claim and write."""
        return len(self._flight)

    @property
    def waits_for(self) -> list[str]:
        """What the rows in hand wait for, in words."""
        return [self._recipes[v].waits(*found) for v, found in self._flight.waiting().items()]

    @property
    def stopped(self) -> dict[str, str]:
        """Why recipes, or rows that need their larger model, wait; all are tried after pauses."""
        found = ((recipe.name, self._failures.reason(recipe)) for recipe in self._recipes.values())
        return {name: reason for name, reason in found if reason}

    @property
    def parts(self) -> Sequence[tuple[str, str, bool]]:
        """What rows have needed so far: its kind, its name, and whether it is stopped."""
        return self._failures.breakers.states

    @property
    def failure(self) -> errors.InsightsError | None:
        """What has to be mended before anything moves on; `run --once` ends with it."""
        moving = None if self._idle else set(self._recipes)
        return self._failures.hopeless(self._recipes, moving or self._flight.by_version().keys())

    # --- the verbs -----------------------------------------------------------------------------

    def claim(self) -> list[Claim]:
        """2. Take rows under a lease, of each recipe that can go on its fair share, and commit."""
        if self._shares.looks():
            for version in self._work.suspects():
                self._shares.suspect(version, 0.0)
        shares = self._shares.plan(self._admits)
        try:
            claims = self._work.claim(shares) if shares else []
        except errors.StoreError as exc:
            self._failures.refused(exc)
            return []
        self._flight.hold(claims)
        counting.claimed(self._recipes, claims)
        self._shares.claimed(shares, claims)
        versions = {claim.pipeline_version_id for claim in claims}
        self._full = not shares
        self._idle = all(self._failures.stopped(self._recipes[v]) for v in versions)
        for version in versions:
            self._failures.breakers.trying(needs(self._recipes[version]))
        return claims

    def read(self, recipe: Recipe, claims: Sequence[Claim]) -> list[InHand]:
        """3, 4. Fetch the rows as they are now; the reader has redacted them."""
        return self._reading.rows(recipe, claims)

    def retrieve(self, recipe: Recipe, rows: Sequence[InHand]) -> list[InHand]:
        """5. Give each row passages and examples; one that lacks them abstains, without a model."""
        if (recipe.retriever is None and recipe.examples is None) or not rows:
            return list(rows)
        read = [row.row for row in rows]
        given = zip(rows, passages_for(recipe, read), examples_for(recipe, read), strict=True)
        self._failures.passed("retrieve", recipe)
        onward = []
        for row, passages, examples in given:
            row.passages, row.examples = passages, examples
            if lacking(recipe, passages, examples):
                self._flight.arrive(row)
            else:
                onward.append(row)
        return onward

    def generate(self, recipe: Recipe, rows: Sequence[InHand]) -> None:
        """6. Send each row to the generator, which batches whatever is in flight.

        A row that gives orders is marked, or withheld, and no model sees it; nor one that reuses.
        """
        beside = self._escalation.beside(recipe)
        rendered = self._rendered(recipe, rows)
        for row, request in rendered:
            row.orders = recipe.guard.found(request)
        reuse.find(recipe, rendered)
        for row, request in rendered:
            refused = recipe.guard.refusal(row.orders) is not None
            row.prompt_sha256 = None if refused else prompt_sha256(request)
            row.prompt = None if refused or not recipe.keeps_prompts else prompt_text(request)
            if refused or row.reused is not None:
                self._flight.arrive(row)
                continue
            row.alone = row.claim.isolated or not self._flight.sent(beside)
            try:
                self._flight.send(row, request, recipe.generator)
            except Exception as exc:  # noqa: BLE001 - an adapter may be broken; other rows go on
                self._failed("generate", recipe, [row.claim], exc, alone=row.alone)

    def escalate(self, recipe: Recipe, row: InHand) -> bool:
        """Still 6. Ask the larger model where the own is not sure enough; tell whether it is."""
        return self._escalation.sends(recipe, row)

    def validate(self, row: InHand) -> Insight:
        """7. Judge what came back."""
        return concluded(self._recipes[row.claim.pipeline_version_id], row)

    def score(self, made: Sequence[tuple[InHand, Insight]]) -> list[Insight]:
        """Still 7. Say how far each sentence is supported; without an answer it stays unsaid."""
        if self._grounds is None:
            return [insight for _, insight in made]
        scores: list[Insight] = []
        for version in dict.fromkeys(row.claim.pipeline_version_id for row, _ in made):
            some = [pair for pair in made if pair[0].claim.pipeline_version_id == version]
            recipe = self._recipes[version]
            found = supported(recipe, some, self._grounds)
            if found is None:
                self._failures.put_off([row.claim for row, _ in some], UNSCORED, RETRY_S)
            scores += found or []
        return scores

    def write(self) -> int:
        """8. One transaction for whatever finished together; the outbox is part of it."""
        written = 0
        try:
            for some in together(self._unwritten):
                written += self._write(some)
        except errors.StoreError as exc:  # a right, the schema: what is finished is kept
            self._failures.refused(exc)
        return written

    # --- what can go wrong on the way ----------------------------------------------------------

    def _admits(self, recipe: Recipe) -> Admission:
        """Return how many rows of a recipe may start now."""
        if self.closed:
            return "none"
        kept = self._unwritten and self._failures.breakers.of(STORE).is_open
        if kept or not self._lanes.free(recipe.title):
            return "none"
        return self._failures.breakers.admit(needs(recipe))

    def _bring(self, recipe: Recipe, claims: Sequence[Claim], claimed_at: float) -> None:
        """3 to 6, in the recipe's lane; rows that are not held any more are left out."""
        if self._failures.breakers.failed_since(needs(recipe), claimed_at):
            self._failures.put_off(claims, "what it needs was stopped meanwhile", RETRY_S)
            return
        onward, step, since = self._flight.still(claims), _READ, self._clock()
        try:
            rows = self.read(recipe, onward) if onward else []
            counting.read(rows)
            failpoints.reach("after-read")
            onward, step, since = [row.claim for row in rows], "retrieve", self._clock()
            rows = self.retrieve(recipe, rows)
            failpoints.reach("after-retrieve")
            onward, step, since = [row.claim for row in rows], "generate", self._clock()
            self.generate(recipe, rows)
            failpoints.reach("after-generate")
        except Exception as exc:  # noqa: BLE001 - one policy for all of them
            if self._failed(step, recipe, onward, exc, alone=len(onward) == 1, since=since):
                for claim in onward:
                    self._bring(recipe, [claim], self._clock())

    def _rendered(
        self, recipe: Recipe, rows: Sequence[InHand]
    ) -> list[tuple[InHand, GenerateRequest]]:
        """Return the rows' prompts; rows that a template cannot render pay for it themselves."""
        rendered, failed, since = [], [], self._clock()
        for row in rows:
            try:
                rendered.append((row, request_for(recipe, row.row, row.passages, row.examples)))
            except Exception as exc:  # noqa: BLE001 - a template may do anything with a row
                failed.append((row, exc))
        if rendered:
            self._failures.passed("render", recipe)
        self._failures.accuse("render", recipe, [row.claim for row, _ in failed], since)
        for row, error in failed:
            self._failed("render", recipe, [row.claim], error, alone=True, since=since)
        return rendered

    def _judged(self, row: InHand) -> Insight | None:
        """Return what came of a row; None where it failed and was given back or buried."""
        recipe = self._recipes[row.claim.pipeline_version_id]
        self.progress += 1
        asked = escalating.at(recipe, row)
        failed = row.future.exception() if row.future is not None else None
        if failed is not None:
            late = isinstance(failed, errors.Overloaded)
            alone = row.claim.isolated or (late and row.alone)
            made, at = instead(recipe, row), row.sent_at
            spare = made is not None  # what would be a dead letter has the baseline's answer
            if not self._failed(
                "generate", asked, [row.claim], failed, alone=alone, since=at, spare=spare
            ):
                return None
            row.reused, row.future, row.instead = made, None, reason(failed)
        if row.future is not None:
            self._failures.passed("generate", asked)
            self._shares.passed(recipe.version_id)
        try:
            if self.escalate(recipe, row):
                return None
            insight = self.validate(row)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the other rows go on
            self._failed("validate", recipe, [row.claim], exc, alone=True)
            return None
        if row.future is not None:
            self._failures.passed("validate", recipe)
        return insight

    def _write(self, some: Sequence[Insight]) -> int:
        claims = [insight.claim for insight in some]
        with self._flight.leaving(claims):
            try:
                failpoints.reach("before-write")
                written = self._insights.write(some)
                failpoints.reach("after-write")
            except (errors.Transient, errors.StoreError):
                raise
            except Exception as exc:  # noqa: BLE001 - one bad row must not take the others with it
                if len(some) > 1:
                    return sum(self._write([insight]) for insight in some)
                recipe = self._recipes[claims[0].pipeline_version_id]
                self._failed("write", recipe, claims, exc, alone=True)
                written = 0
            else:
                counting.written(self._recipes, some)
                self._failures.written(claims)
            gone = {claim.work_id for claim in claims}
            self._unwritten = [one for one in self._unwritten if one.claim.work_id not in gone]
            self._flight.drop(claims)
        return written

    def _failed(
        self,
        step: Step,
        recipe: Recipe,
        claims: Sequence[Claim],
        exc: BaseException,
        *,
        alone: bool,
        since: float | None = None,
        spare: bool = False,
    ) -> bool:
        """Have a failure judged; True where each row shall be tried by itself, or is spared."""
        at = self._clock() if since is None else since
        return self._failures.judge(step, recipe, claims, exc, alone=alone, since=at, spare=spare)
