"""What pending rows will take: from what rows have taken, by each model's tariff."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from insights.governance.budget import price
from insights.model import Generation, Value
from insights.site.models import ModelSettings


class RowCost(Value, frozen=True):
    """What a row takes on average: tokens, and seconds of its model; `basis` says of which rows.

    `money` is what it was at the tariff of each model that it was at; None where one had none.
    """

    rows: int
    prompt_tokens: float
    output_tokens: float
    seconds: float
    basis: str
    money: float | None = None


class Estimate(Value, frozen=True):
    """What so many rows of a pipeline take with one model; None where that is not known.

    `seconds` are the model's: rows that run together share them. `own` is the pipeline's model.
    """

    pipeline: str
    model: str
    place: str
    own: bool
    rows: int
    tokens: float
    seconds: float | None
    money: float | None
    basis: str


def cost_of(
    made: Sequence[Generation | None], price_of: Callable[[Generation], float | None]
) -> RowCost:
    """Return what rows of a sample took on average; None is a row that asked no model.

    `price_of` tells what was paid for a row, None where that is not known.
    """
    found = [one for row in made if row is not None for one in row.both if not one.shared]
    paid = [price_of(row) for row in made if row is not None]
    known = [one for one in paid if one is not None]
    rows = max(1, len(made))
    return RowCost(
        rows=len(made),
        prompt_tokens=sum(one.prompt_tokens for one in found) / rows,
        output_tokens=sum(one.sampled_tokens + one.forced_tokens for one in found) / rows,
        seconds=sum(one.compute_ms for one in found) / 1e3 / rows,
        basis=f"a sample of {len(made)} rows",
        money=sum(known) / rows if len(known) == len(paid) else None,
    )


def estimates(
    pipeline: str,
    rows: int,
    cost: RowCost,
    own: Sequence[str],
    models: Mapping[str, ModelSettings],
    *,
    cascade: bool = False,
) -> list[Estimate]:
    """Return an estimate for each model of the site, the pipeline's own first.

    With another model the tokens are the same but for its tokenizer, and its time is not known.
    In a `cascade` some rows are at a larger model besides: what they paid tells for how many.
    """
    ordered = [name for name in own if name in models]
    ordered += [name for name in models if name not in ordered]
    found = [
        _estimate(pipeline, rows, cost, name, models[name], own=name in own[:1]) for name in ordered
    ]
    if not cascade or not found or not found[0].own:
        return found
    money = None if cost.money is None else rows * cost.money
    return [msgspec.structs.replace(found[0], money=money), *found[1:]]


def _estimate(
    pipeline: str, rows: int, cost: RowCost, name: str, model: ModelSettings, *, own: bool
) -> Estimate:
    seconds = rows * cost.seconds if own else None
    prompt, output, tariff = rows * cost.prompt_tokens, rows * cost.output_tokens, model.tariff
    known = tariff is not None and (seconds is not None or not tariff.watts)
    return Estimate(
        pipeline=pipeline,
        model=name,
        place="local" if model.url is None else "remote",
        own=own,
        rows=rows,
        tokens=prompt + output,
        seconds=seconds,
        money=price(tariff, prompt, output, seconds or 0.0) if tariff and known else None,
        basis=cost.basis,
    )
