"""Labelled rows through a recipe, as the daemon would do them, without a word to the store."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future

import msgspec

from insights import errors
from insights.enriching import escalating
from insights.enriching.recipe import Recipe, examples_for, lacking, passages_for, request_for
from insights.enriching.support import final
from insights.model import Example, Generation, InsightStatus, Json, Passage, Row
from insights.ports import Grounds

WINDOW = 64  # rows at the generator at once


class Outcome(msgspec.Struct, frozen=True):
    """What one labelled row got; `proposed` is what the model wrote, also where it is not shown.

    `confidence` is by property. `seconds` is from when it was asked for, in a full window.
    `escalated`: it is the larger model's.
    """

    key: str
    truth: Json
    status: InsightStatus | str
    reason: str | None
    output: Json | None
    proposed: Json | None
    confidence: dict[str, float]
    support: float | None
    tokens: int
    seconds: float
    shown: dict[str, str]
    escalated: bool = False


class _Asked(msgspec.Struct):
    row: Row
    passages: tuple[Passage, ...]
    examples: tuple[Example, ...]
    orders: tuple[str, ...]
    future: Future[Generation] | None
    at: float
    failed: str | None = None


def outcomes(
    recipe: Recipe,
    truth: Mapping[str, Json],
    grounds: Grounds,
    *,
    done: Callable[[int], None] = lambda _: None,
    window: int = WINDOW,
) -> list[Outcome]:
    """Return what labelled rows get; rows that are not on the replica are left out.

    Args:
        recipe: The pipeline.
        truth: What people decided, by row key.
        grounds: Scores sentences.
        done: Is told how many rows are done.
        window: Rows at the generator at once.
    """
    made: list[Outcome] = []
    waiting: deque[_Asked] = deque()
    keys = list(truth)
    for start in range(0, len(keys), window):
        for one in _asked(recipe, keys[start : start + window]):
            if len(waiting) >= window:
                made.append(_outcome(recipe, waiting.popleft(), truth, grounds))
                done(len(made))
            waiting.append(one)
    while waiting:
        made.append(_outcome(recipe, waiting.popleft(), truth, grounds))
        done(len(made))
    return made


def _asked(recipe: Recipe, keys: Sequence[str]) -> Iterator[_Asked]:
    rows: list[Row] = list(recipe.source.fetch(recipe.stream, keys))
    given = zip(rows, passages_for(recipe, rows), examples_for(recipe, rows), strict=True)
    for row, passages, examples in given:
        one = _Asked(row, passages, examples, (), None, time.monotonic())
        try:
            request = request_for(recipe, row, passages, examples)
        except errors.RowError as exc:
            one.failed = exc.what
        else:
            one.orders = recipe.guard.found(request)
            refused = recipe.guard.refusal(one.orders)
            if lacking(recipe, passages, examples) is None and refused is None:
                one.future = escalating.asked(recipe, request)
        yield one


def _outcome(recipe: Recipe, one: _Asked, truth: Mapping[str, Json], grounds: Grounds) -> Outcome:
    generation: Generation | None = None
    if one.failed is None and one.future is not None:
        try:
            generation = one.future.result()
        except errors.InsightsError as exc:
            one.failed = exc.what
    shown = {name: one.row.values.get(name) or "" for name in recipe.template.columns()}
    if one.failed is not None:
        return Outcome(
            one.row.key, truth[one.row.key], "failed", one.failed, None, None, {}, None, 0, 0.0,
            shown,
        )  # fmt: skip
    verdict = final(recipe, one.row, one.passages, one.examples, generation, grounds, one.orders)
    supports = [c.support for c in verdict.citations if c.support is not None]
    return Outcome(
        key=one.row.key,
        truth=truth[one.row.key],
        status=verdict.status,
        reason=verdict.reason,
        output=verdict.output,
        proposed=_proposed(generation),
        confidence={} if generation is None else _by_property(generation.confidence),
        support=min(supports, default=None),
        tokens=0 if generation is None else generation.tokens,
        seconds=time.monotonic() - one.at,
        shown=shown,
        escalated=generation is not None and generation.first is not None,
    )


def _by_property(confidence: Mapping[str, float]) -> dict[str, float]:
    return {pointer[1:]: sure for pointer, sure in confidence.items() if pointer.count("/") == 1}


def _proposed(generation: Generation | None) -> Json | None:
    if generation is None:
        return None
    try:
        output = msgspec.json.decode(generation.text)
    except msgspec.DecodeError:
        return None
    return output if isinstance(output, dict) else None
