"""What answers a row in the place of a model that failed, and the insight that comes of a row.

A baseline's answer goes through the same validation as a model's. Only one that may be shown is
taken, and the insight is marked: its model and its route are `baseline`, and a note says why.
"""

import msgspec

from insights import errors
from insights.enriching.escalating import joined
from insights.enriching.flight import InHand
from insights.enriching.recipe import Recipe, beside, cited, judged, unasked
from insights.governance import redact
from insights.model import Generation, Insight, Json, Verdict
from insights.steps.schema import columns, kind

NAME = "baseline"
_TRUTHS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


def instead(recipe: Recipe, row: InHand) -> Generation | None:
    """Return the baseline's answer to a row, if there is one that may be shown."""
    wanted = recipe.baseline
    if wanted is None:
        return None
    said: Json = dict(wanted.values)
    parts = columns(recipe.output_schema)
    for name, column in wanted.columns.items():
        if (text := row.row.values.get(column)) is not None:
            said[name] = _typed(parts[name], text)
    if wanted.nearest and row.examples:
        said |= row.examples[0].output
    text = msgspec.json.encode(said).decode()
    made = Generation(text=text, finish="stop", model=NAME, route=NAME)
    return made if judged(recipe, row.row, row.passages, made).status == "ok" else None


def reason(failed: BaseException) -> str:
    """Return why no model answers; a foreign exception may quote the row."""
    return str(failed) if isinstance(failed, errors.InsightsError) else "nobody foresaw its failure"


def concluded(recipe: Recipe, row: InHand) -> Insight:
    """Judge what came back for a row."""
    notes = (*row.row.notes, *row.orders)
    generation = row.reused if row.future is None else row.future.result()
    if generation is not None and row.first is not None:
        generation = joined(generation, row.first, row.escalated)
        notes += (f"the larger model was asked: {row.escalated}",)
    if generation is None:
        verdict = unasked(recipe, row.passages, row.examples, row.orders)
    else:
        verdict = judged(recipe, row.row, row.passages, generation)
        generation, verdict = _unless_withheld(recipe, row, generation, verdict)
        notes += (*(f"{source} was cut" for source in generation.cut), *verdict.notes)
    if row.instead:
        notes += (f"the baseline answers, no model: {row.instead}",)
    return Insight(
        claim=row.claim,
        verdict=cited(verdict, row.examples),
        generation=generation,
        source_cursor=row.row.cursor,
        redactions=row.row.redactions,
        notes=notes,
        sealed=redact.restorable(
            row.row.sealed, verdict.output, beside(row.passages, row.examples)
        ),
        neighbour=next(iter(row.examples), None),
        prompt_sha256=row.prompt_sha256,
        prompt=row.prompt,
        shown=tuple((one.passage_id, one.score) for one in row.passages),
        asked=None if row.reused is not None or row.instead or row.first else row.asked,
    )


def _unless_withheld(
    recipe: Recipe, row: InHand, generation: Generation, verdict: Verdict
) -> tuple[Generation, Verdict]:
    """Return the baseline's answer where the model's is withheld and the pipeline asks for that."""
    if verdict.status != "withheld" or recipe.baseline is None or not recipe.baseline.withheld:
        return generation, verdict
    if (made := instead(recipe, row)) is None:
        return generation, verdict
    row.instead = f"its output was withheld: {verdict.reason}"
    spent = msgspec.structs.replace(
        generation, text=made.text, model=NAME, route=NAME, quotes=(), confidence={}, cut=()
    )  # the model's time and tokens were taken all the same
    return spent, judged(recipe, row.row, row.passages, made)


def _typed(part: Json, text: str) -> object:
    """Return a column's text as a value of a property: a number or a truth where it is one."""
    found = kind(part)
    if found == "boolean":
        return _TRUTHS.get(text.strip().lower(), text)
    if found in ("integer", "number"):
        try:
            return msgspec.json.decode(text.strip())
        except msgspec.DecodeError:
            return text
    return text
