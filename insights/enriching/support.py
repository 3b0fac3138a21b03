"""How far the outputs of one recipe are supported, and which of them are withheld for it."""

from collections.abc import Sequence

import msgspec
import structlog

from insights.enriching.flight import InHand
from insights.enriching.recipe import Recipe, cited, judged, unasked
from insights.model import Example, Generation, Insight, Passage, Row, Verdict
from insights.ports import Grounds
from insights.steps.attribution import Judged, enough, scored

log = structlog.get_logger(__name__)

UNSCORED = "the support of its output could not be scored"


def supported(
    recipe: Recipe, made: Sequence[tuple[InHand, Insight]], grounds: Grounds
) -> list[Insight] | None:
    """Return insights with the support of each sentence, withheld where the recipe asks for more.

    Whatever keeps it from being scored leaves it unsaid; where the recipe asks for it, nothing is
    returned, and the rows have to be tried again.
    """
    judged = [Judged(one.verdict, row.row.values, row.passages) for row, one in made]
    try:
        verdicts = scored(judged, grounds, recipe.collections)
    except Exception:
        log.exception("support not scored", outputs=len(made))
        verdicts = None
    if verdicts is None and recipe.asks_support:
        return None
    verdicts = verdicts or [one.verdict for _, one in made]
    return [
        msgspec.structs.replace(
            one,
            verdict=enough(found, recipe.output_schema, recipe.min_support),
            notes=(*one.notes, *(n for n in found.notes if n not in one.verdict.notes)),
        )
        for (_, one), found in zip(made, verdicts, strict=True)
    ]


def final(
    recipe: Recipe,
    row: Row,
    passages: tuple[Passage, ...],
    examples: tuple[Example, ...],
    made: Generation | None,
    grounds: Grounds,
    orders: Sequence[str] = (),
) -> Verdict:
    """Return the verdict that the daemon would write; `made` is None where no model was asked.

    `orders` is what of the prompt looks like orders (`Guard.found`).
    """
    if made is None:
        return unasked(recipe, passages, examples, orders)
    verdict = judged(recipe, row, passages, made)
    supported = Judged(verdict, row.values, passages)
    (verdict,) = scored([supported], grounds, recipe.collections) or [verdict]
    return cited(enough(verdict, recipe.output_schema, recipe.min_support), examples)
