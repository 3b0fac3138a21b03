"""The path of one row. Read this file first; it goes from top to bottom.

    poll → claim → read → redact → retrieve → generate → validate → write → publish

Polling (`insights.polling`) and publishing (`insights.publishing`) are leased per stream and sink;
they are flows of their own and meet this one in the store. Everything between is `Pipeline`: two
threads drive it, one calls `advance`, the other `settle`. No transaction is open while a model
runs.
"""

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial

import msgspec
import structlog

from insights import errors
from insights.enriching.recipe import Recipe, passages_for, request_for
from insights.ground import failpoints
from insights.model import (
    Claim,
    Generation,
    Insight,
    Passage,
    Row,
    Verdict,
)
from insights.ports import Grounds, Insights, Work
from insights.steps.attribution import Judged, scored
from insights.steps.validate import validate

log = structlog.get_logger(__name__)

RETRY_S = 5.0  # first delay of a row given back; grows with its attempts
STALE_RETRY_S = 15.0  # a replica that showed an older copy needs time to catch up
ISOLATION_PAUSE_S = 30.0  # how often everything else waits so that isolated rows run alone
NOTHING_RELEVANT = "no relevant passage was found"


class InHand(msgspec.Struct):
    """A claimed row on its way: what was read of it, and the passages it was given."""

    claim: Claim
    row: Row
    passages: tuple[Passage, ...] = ()
    future: Future[Generation] | None = None


class Pipeline:
    """Enriches claimed rows.

    Args:
        recipes: By pipeline version.
        work: The queue.
        insights: Where results go.
        batch: Rows claimed and read at once.
        in_flight: Most rows held between claim and write.
        grounds: Scores how far sentences are supported; without it they are not scored.
    """

    def __init__(
        self,
        recipes: Mapping[int, Recipe],
        work: Work,
        insights: Insights,
        *,
        batch: int,
        in_flight: int,
        grounds: Grounds | None = None,
    ) -> None:
        self._recipes = recipes
        self._work = work
        self._insights = insights
        self._grounds = grounds
        self._batch = batch
        self._most = in_flight
        self._held: dict[int, Claim] = {}
        self._futures: dict[int, Future[Generation]] = {}  # of what is held, by work id
        self._lock = threading.Lock()
        self._finished: queue.SimpleQueue[InHand] = queue.SimpleQueue()
        self._unwritten: list[Insight] = []
        self._isolation_due = time.monotonic() + ISOLATION_PAUSE_S
        self.failure: errors.InsightsError | None = None

    @property
    def held(self) -> int:
        """How many rows are between claim and write."""
        with self._lock:
            return len(self._held)

    # --- what the two threads call -------------------------------------------------------------

    def advance(self) -> int:
        """Claim a batch and bring it to its generators; return how many rows were claimed."""
        claims = self.claim()
        if not claims:
            return 0
        failpoints.reach("after-claim")
        for version in dict.fromkeys(claim.pipeline_version_id for claim in claims):
            recipe = self._recipes[version]
            onward = [claim for claim in claims if claim.pipeline_version_id == version]
            try:
                rows = self.read(recipe, onward)
                failpoints.reach("after-read")
                onward = [row.claim for row in rows]
                rows = self.retrieve(recipe, rows)
                failpoints.reach("after-retrieve")
                onward = [row.claim for row in rows]
                self.generate(recipe, rows)
                failpoints.reach("after-generate")
            except errors.InsightsError as exc:
                self._give_back(onward, exc)
        return len(claims)

    def settle(self, timeout_s: float) -> int:
        """Write whatever has finished, waiting `timeout_s` for the first; return how many rows.

        Raises:
            errors.Transient: If the store does not answer. What was to be written is kept and goes
                with the next call: COMMIT may have happened or not, the lease tokens tell.
        """
        finished = []
        try:
            finished.append(self._finished.get(timeout=0.0 if self._unwritten else timeout_s))
            while True:
                finished.append(self._finished.get_nowait())
        except queue.Empty:
            pass
        self._unwritten += self.score(
            [(row, made) for row in finished if (made := self.validate(row)) is not None]
        )
        written = self.write(self._unwritten)
        self._unwritten = []
        return written

    def extend(self) -> None:
        """Prolong the leases of everything held; what is lost is forgotten, never written."""
        claims = self._holding()
        if not claims:
            return
        ours = self._work.extend(claims)
        lost = [claim for claim in claims if claim.work_id not in ours]
        if still := [claim for claim in lost if self._holds(claim)]:  # others were just written
            log.warning("leases lost", rows=len(still))
            self._drop(still)

    # --- the verbs -----------------------------------------------------------------------------

    def claim(self) -> list[Claim]:
        """2. Take rows under a lease, as many as there is room for, and commit."""
        room = min(self._batch, self._most - self.held)
        claims: list[Claim] = []
        if self.held == 0:  # rows that a process died with run alone
            claims = self._work.claim(1, isolated=True)
            self._isolation_due = time.monotonic() + ISOLATION_PAUSE_S
        elif time.monotonic() > self._isolation_due:
            return []
        if not claims and room > 0:
            claims = self._work.claim(room)
        self._hold(claims)
        return claims

    def read(self, recipe: Recipe, claims: Sequence[Claim]) -> list[InHand]:
        """3, 4. Fetch the rows as they are now; the reader has redacted them."""
        found = self._fetch(recipe, claims)
        absent = [claim for claim in claims if claim.row_key not in found]
        if absent:
            self._work.missing(absent)
            self._drop(absent)
        rows = [
            InHand(claim=claim, row=found[claim.row_key])
            for claim in claims
            if claim.row_key in found
        ]
        same = [row for row in rows if row.row.input_hash == row.claim.input_hash]
        former = [row for row in rows if row.row.former_hash == row.claim.input_hash]
        if former:  # the same inputs: only the key of the hash is another
            self._work.restamp([(row.claim, row.row) for row in former])
        changed = [
            row
            for row in rows
            if row.claim.input_hash not in (row.row.input_hash, row.row.former_hash)
        ]
        return same + former + self._follow(recipe, changed)

    def retrieve(self, recipe: Recipe, rows: Sequence[InHand]) -> list[InHand]:
        """5. Give each row its passages; a row without any abstains here, without a model."""
        if recipe.retriever is None or not rows:
            return list(rows)
        found = passages_for(recipe, [row.row for row in rows])
        ready = []
        for row, passages in zip(rows, found, strict=True):
            row.passages = passages
            if passages:
                ready.append(row)
            else:
                self._finished.put(row)
        return ready

    def generate(self, recipe: Recipe, rows: Sequence[InHand]) -> None:
        """6. Send each row to the generator, which batches whatever is in flight."""
        requests = [request_for(recipe, row.row, row.passages) for row in rows]
        for row, request in zip(rows, requests, strict=True):
            row.future = recipe.generator.submit(request)
            with self._lock:
                self._futures[row.claim.work_id] = row.future
            row.future.add_done_callback(partial(self._done, row))

    def validate(self, row: InHand) -> Insight | None:
        """7. Judge what came back; a failed generation gives the row back instead."""
        recipe = self._recipes[row.claim.pipeline_version_id]
        generation: Generation | None = None
        notes = row.row.notes
        if row.future is None:
            verdict = Verdict(status="abstained", output=None, reason=NOTHING_RELEVANT)
        else:
            try:
                generation = row.future.result()
            except errors.InsightsError as exc:
                self._give_back([row.claim], exc)
                return None
            verdict = validate(generation, recipe.output_schema, row.row.values, row.passages)
            notes += tuple(f"{source} was cut" for source in generation.cut)
        return Insight(
            claim=row.claim,
            verdict=verdict,
            generation=generation,
            source_cursor=row.row.cursor,
            redactions=row.row.redactions,
            notes=notes,
        )

    def score(self, made: Sequence[tuple[InHand, Insight]]) -> list[Insight]:
        """Still 7. Say how far each sentence is supported; without an answer it stays unsaid."""
        if self._grounds is None:
            return [insight for _, insight in made]
        scores: list[Insight] = []
        for version in dict.fromkeys(row.claim.pipeline_version_id for row, _ in made):
            some = [(row, one) for row, one in made if row.claim.pipeline_version_id == version]
            judged = [Judged(one.verdict, row.row.values, row.passages) for row, one in some]
            verdicts = scored(judged, self._grounds, self._recipes[version].collections)
            scores += [
                msgspec.structs.replace(one, verdict=verdict)
                for (_, one), verdict in zip(some, verdicts, strict=True)
            ]
        return scores

    def write(self, insights: Sequence[Insight]) -> int:
        """8. One transaction for whatever finished together; the outbox is part of it."""
        if not insights:
            return 0
        try:
            failpoints.reach("before-write")
            written = self._insights.write(insights)
            failpoints.reach("after-write")
        except errors.Permanent as exc:
            if len(insights) > 1:  # one bad row must not take the others with it
                return sum(self.write([insight]) for insight in insights)
            self._work.bury(insights[0].claim, str(exc))
            written = 0
        self._drop([insight.claim for insight in insights])
        return written

    # --- what can go wrong on the way ----------------------------------------------------------

    def _done(self, row: InHand, future: Future[Generation]) -> None:
        if not future.cancelled():  # else it was dropped
            self._finished.put(row)

    def _fetch(self, recipe: Recipe, claims: Sequence[Claim]) -> dict[str, Row]:
        rows = recipe.source.fetch(recipe.stream, [claim.row_key for claim in claims])
        return {row.key: row for row in rows}

    def _follow(self, recipe: Recipe, changed: Sequence[InHand]) -> list[InHand]:
        """Rows with another hash than claimed: follow a newer copy that two readings agree on."""
        if not changed:
            return []
        claims = [row.claim for row in changed]
        if recipe.source.is_behind(*self._work.recorded(recipe.stream.name)):
            self._put_off(claims, "the replica showed an older copy", STALE_RETRY_S)
            return []
        again = self._fetch(recipe, claims)  # read after the position was asked for
        hashes = {key: row.input_hash for key, row in again.items()}
        torn = [r.claim for r in changed if hashes.get(r.row.key) != r.row.input_hash]
        self._put_off(torn, "the row changed between two readings", STALE_RETRY_S)
        moves = [(c, again[c.row_key]) for c in claims if c not in torn]
        moved = {claim.row_key: claim for claim in self._work.move(moves)}
        self._drop(claims)
        followed = [InHand(claim=moved[r.key], row=r) for _, r in moves if r.key in moved]
        self._hold([row.claim for row in followed])
        return followed

    def _give_back(self, claims: Sequence[Claim], exc: errors.InsightsError) -> None:
        """Decide who is to blame: the row alone, nobody, or we cannot tell and run it alone."""
        if not claims:
            return
        alone = len(claims) == 1 and claims[0].isolated
        blame = isolate = bury = False
        match exc:
            case errors.RowError() if len(claims) == 1:
                bury = True
            case errors.WorkerDied() | errors.RowError():
                blame, isolate = alone, True
            case errors.Transient():
                pass
            case errors.Permanent():
                self.failure = (
                    exc  # nobody's row: a setting, a model, a grant; `run --once` reports it
                )
            case _:
                blame = True  # an error of ours: a row that always meets it must end somewhere
        log.warning(
            "rows given back",
            rows=len(claims),
            stream=claims[0].stream,
            reason=str(exc),
            blame=blame,
            isolate=isolate,
        )
        try:
            if bury:
                self._work.bury(claims[0], str(exc))
            else:
                self._work.release(
                    claims, delay_s=RETRY_S, blame=blame, isolate=isolate, reason=str(exc)
                )
        except errors.Transient as down:
            log.warning("rows wait for their leases to end", rows=len(claims), reason=str(down))
        finally:
            self._drop(claims)

    def give_back_all(self) -> int:
        """Give back everything that is held, without blame; return how many rows."""
        claims = self._holding()
        self._put_off(claims, "the daemon was stopped", 0.0)
        return len(claims)

    def _put_off(self, claims: Sequence[Claim], reason: str, delay_s: float) -> None:
        """Give rows back without blame."""
        if claims:
            self._work.release(claims, delay_s=delay_s, blame=False, isolate=False, reason=reason)
        self._drop(claims)

    def _holding(self) -> list[Claim]:
        with self._lock:
            return list(self._held.values())

    def _holds(self, claim: Claim) -> bool:
        with self._lock:
            return claim.work_id in self._held

    def _hold(self, claims: Sequence[Claim]) -> None:
        with self._lock:
            self._held.update((claim.work_id, claim) for claim in claims)

    def _drop(self, claims: Sequence[Claim]) -> None:
        """Forget rows; a generation of theirs that still runs is cancelled."""
        with self._lock:
            for claim in claims:
                self._held.pop(claim.work_id, None)
            futures = [self._futures.pop(claim.work_id, None) for claim in claims]
        for future in futures:
            if future is not None:
                future.cancel()
