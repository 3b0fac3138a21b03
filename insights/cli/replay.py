"""`insights replay`: an insight made again from the same row, passages and model."""

from typing import Any

import msgspec
import typer

from insights import errors
from insights.cli.output import Json, emit_json, stdout, visible
from insights.enriching import escalating
from insights.enriching.recipe import (
    Recipe,
    examples_for,
    lacking,
    passages_for,
    prompt_sha256,
    request_for,
)
from insights.enriching.support import final
from insights.model import Row, Verdict
from insights.site import versions
from insights.site.versions import Change
from insights.wiring import enriching
from insights.wiring.app import App, open_app


class Replay(msgspec.Struct, frozen=True):
    """What came of it: what has changed since, or else how the new outcome differs from the old.

    `same` is None where something has changed: it was not made again then.
    """

    insight: int
    changed: tuple[Change, ...]
    same: bool | None = None
    differences: tuple[Change, ...] = ()


def replay(ctx: typer.Context, insight: int, as_json: Json = False) -> None:
    """Make an insight again from the same row, passages and model, and show the difference.

    Where one of the three has changed since, it says which and how, and makes nothing. Nothing is
    written but an audit event of who read the row.
    """
    with open_app(ctx.obj) as app:
        made = app.trail.to_replay(insight)
        if made is None:
            raise errors.RowError(
                f"there is no insight {insight}",
                where="replay",
                fix="the view insights.history has their numbers",
            )
        outcome = _replayed(app, insight, made)
    if as_json:
        emit_json(outcome)
        return
    for change in (*outcome.changed, *outcome.differences):
        said = f"{visible(change.before or 'nothing')} → {visible(change.after or 'nothing')}"
        if change.lines:
            said = "".join(f"\n    {visible(line)}" for line in change.lines)
        stdout.print(
            f"{visible(change.what)}: {said}", markup=False, highlight=False, soft_wrap=True
        )
    told = "It is not made again: what it was made from has changed since."
    if outcome.same is not None:
        told = "Made again, it is the same." if outcome.same else "Made again, it differs."
    stdout.print(told)


def _replayed(app: App, insight: int, made: Any) -> Replay:  # noqa: ANN401 - a named row
    """Look for what has changed, the version first: another one reads and asks other things."""
    definition = app.definition(made.pipeline)
    sha256, now = app.described(definition)
    if sha256 != made.version:
        found = versions.changes(made.definition, dict(now))
        return Replay(insight, tuple(found) or (Change("version", made.version, sha256),))
    recipe = enriching.trial(app, made.pipeline)
    rows = recipe.source.fetch(recipe.stream, [made.row_key])
    if not rows:
        return Replay(insight, (Change("row", made.shown_key, "gone from the replica"),))
    app.readings("insights replay").rows(
        made.stream, [rows[0].key], pipeline=made.pipeline, insight=str(insight)
    )
    row = msgspec.structs.replace(rows[0], key=made.shown_key, sealed={})
    if row.input_hash != made.input_hash.bytes:
        read = ", ".join(recipe.stream.inputs)
        before = f"its hash over {read} was {made.input_hash.hex}"
        return Replay(insight, (Change("row", before, row.input_hash.hex()),))
    return _again(app, recipe, row, insight, made)


def _again(app: App, recipe: Recipe, row: Row, insight: int, made: Any) -> Replay:  # noqa: ANN401
    passages, examples = passages_for(recipe, [row])[0], examples_for(recipe, [row])[0]
    told = made.made or {}
    shown = [id_ for id_, _ in told.get("passages", ())]
    found = [passage.passage_id for passage in passages]
    if told.get("version") and shown != found:
        return Replay(insight, (Change("passages", _listed(shown), _listed(found)),))
    request = request_for(recipe, row, passages, examples)
    orders = recipe.guard.found(request)
    asks = lacking(recipe, passages, examples) is None and not recipe.guard.refusal(orders)
    asked = prompt_sha256(request) if asks else None
    if told.get("version") and told.get("prompt") != asked:
        return Replay(insight, (Change("what the model is asked", told.get("prompt"), asked),))
    generation = escalating.asked(recipe, request).result() if asks else None
    grounds = enriching.grounds(app)
    verdict = final(recipe, row, passages, examples, generation, grounds, orders)
    differences = tuple(_differences(made, verdict))
    return Replay(insight, (), same=not differences, differences=differences)


def _differences(made: Any, verdict: Verdict) -> list[Change]:  # noqa: ANN401 - a named row
    before = {"status": made.status, "reason": made.reason, "output": made.output}
    after = {"status": verdict.status, "reason": verdict.reason, "output": verdict.output}
    return versions.changes(before, after)


def _listed(passage_ids: list[int]) -> str | None:
    return ", ".join(map(str, passage_ids)) or None
