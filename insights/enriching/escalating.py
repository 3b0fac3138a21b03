"""Rows that go on to a pipeline's larger model, because its own is not sure enough of them.

The larger model is asked the same, and judged by a threshold of its own (`Certain` of
`Recipe.larger`). What decides is the confidence alone, before anything else is thought of the
output, as when the two thresholds were certified together (`steps.cascading`). Nothing of it is
written before the outcome: a row that was between the two models when a daemon ended begins again.
"""

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future

import msgspec

from insights.enriching.blame import TURN_S
from insights.enriching.failures import Failures, key_of
from insights.enriching.flight import Flight, InHand
from insights.enriching.recipe import Recipe, request_for
from insights.ground import failpoints
from insights.model import GenerateRequest, Generation


class Escalation:
    """Sends rows on, for the pipeline.

    Args:
        recipes: By pipeline version.
        flight: What is in hand.
        failures: Judges failures.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        recipes: Mapping[int, Recipe],
        flight: Flight,
        failures: Failures,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recipes = recipes
        self._flight = flight
        self._failures = failures
        self._clock = clock

    def beside(self, recipe: Recipe) -> Collection[int]:
        """Return the versions whose rows may be at a model of a recipe."""
        return [v for v, r in self._recipes.items() if set(r.touches) & set(recipe.shared)]

    def sends(self, recipe: Recipe, row: InHand) -> bool:
        """Send a row on if its recipe's model is not sure enough; False where it stays as it is.

        A larger model that is stopped is nobody's fault: the row waits, and begins again.
        """
        larger, made = recipe.larger, row.reused if row.future is None else row.future.result()
        if larger is None or made is None or row.first is not None:
            return False
        request = request_for(recipe, row.row, row.passages, row.examples)
        reason = why(recipe, request, made)
        if reason is None:
            return False
        breaker = self._failures.breakers.of(key_of("model", larger))
        if breaker.admits() == "none":
            told = f"it goes on to {' or '.join(larger.shared)}, which is stopped: {breaker.reason}"
            self._failures.put_off([row.claim], told, TURN_S)
            return True
        breaker.trying()
        row.first, row.escalated, row.reused = made, reason, None
        others = self._flight.sent(self.beside(larger), beside=row.claim.work_id)
        row.alone = row.claim.isolated or not others
        failpoints.reach("before-escalation")
        at = self._clock()
        try:
            self._flight.send(row, request, larger.generator)
        except Exception as exc:  # noqa: BLE001 - an adapter may be broken; other rows go on
            self._failures.judge("generate", larger, [row.claim], exc, alone=row.alone, since=at)
        failpoints.reach("after-escalation")
        return True


def at(recipe: Recipe, row: InHand) -> Recipe:
    """Return the recipe that a row is at: its own, or that with the larger model."""
    return recipe if row.first is None else recipe.larger or recipe


def why(recipe: Recipe, request: GenerateRequest, made: Generation) -> str | None:
    """Return why a row goes on to the larger model; None where it does not, or may not."""
    larger = recipe.larger
    if larger is None or (larger.leaves and (request.sensitive or request.personal)):
        return None
    try:
        output = msgspec.json.decode(made.text)
    except msgspec.DecodeError:
        return None
    return recipe.certain.unsure(output if isinstance(output, dict) else None, made.confidence)


def joined(made: Generation, first: Generation, reason: str) -> Generation:
    """Return the larger model's generation, marked, with what had been made before it."""
    route = f"{made.route} (escalated)"
    return msgspec.structs.replace(made, route=route, first=first, escalated=reason)


def asked(recipe: Recipe, request: GenerateRequest) -> Future[Generation]:
    """Ask a recipe's model, and the larger one where that is not sure enough: for commands."""
    larger = recipe.larger
    before = recipe.generator.submit(request)
    if larger is None:
        return before
    answer: Future[Generation] = Future()

    def go_on(done: Future[Generation]) -> None:
        try:
            first = done.result()
            reason = why(recipe, request, first)
            if reason is None:
                answer.set_result(first)
                return
            after = larger.generator.submit(request)
            after.add_done_callback(lambda last: end(last, first, reason))
        except BaseException as exc:  # noqa: BLE001 - whoever waits for the answer is told
            answer.set_exception(exc)

    def end(last: Future[Generation], first: Generation, reason: str) -> None:
        try:
            answer.set_result(joined(last.result(), first, reason))
        except BaseException as exc:  # noqa: BLE001 - as above
            answer.set_exception(exc)

    before.add_done_callback(go_on)
    return answer
