"""Counts rows on their way for `insights.ground.metrics`, and follows some from step to step."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from insights.enriching.flight import InHand
from insights.enriching.recipe import Recipe
from insights.ground import metrics
from insights.ground.spans import SPANS
from insights.model import Claim, Generation, Insight

Recipes = Mapping[int, Recipe]

_OPERATION = "chat"  # gen_ai.operation.name of the conventions


def claimed(recipes: Recipes, claims: Iterable[Claim]) -> None:
    """Count rows that were claimed."""
    for version, rows in Counter(claim.pipeline_version_id for claim in claims).items():
        metrics.CLAIMED.labels(recipes[version].name).inc(rows)


def read(rows: Iterable[InHand]) -> None:
    """Note that rows were read."""
    SPANS.passed("read", (row.claim.attempt for row in rows))


def written(recipes: Recipes, insights: Sequence[Insight]) -> None:
    """Count insights that were written, and what they cost."""
    found = Counter((one.claim.pipeline_version_id, one.verdict.status) for one in insights)
    for (version, status), rows in found.items():
        metrics.OUTCOMES.labels(recipes[version].name, status).inc(rows)
    redacted: Counter[str] = Counter()
    made: dict[str, list[Generation]] = {}
    for one in insights:
        redacted.update(one.redactions)
        for each in _asked(recipes, one):
            made.setdefault(each.model, []).append(each)
    for kind, values in redacted.items():
        metrics.REDACTIONS.labels(kind).inc(values)
    for model, generations in made.items():
        _generated(model, generations)
    if SPANS.followed:
        for one in insights:
            SPANS.passed("write", [one.claim.attempt])
            SPANS.ended([one.claim.attempt], _told(recipes[one.claim.pipeline_version_id], one))


def _asked(recipes: Recipes, one: Insight) -> Sequence[Generation]:
    """Return what models made for an insight now; count what was spared, and what went on."""
    made, name = one.generation, recipes[one.claim.pipeline_version_id].name
    if made is None:
        return ()
    if made.reused_from is not None:
        metrics.SPARED.labels(name).inc()
        return ()
    if made.first is not None:
        metrics.ESCALATED.labels(name).inc()
    return made.both


def _told(recipe: Recipe, one: Insight) -> dict[str, str | float]:
    """Return what a trace says of an insight, in OpenTelemetry's names where it has some."""
    told: dict[str, str | float] = {
        "insights.stream": one.claim.stream,
        "insights.pipeline": recipe.name,
        "insights.work_id": one.claim.work_id,
        "insights.status": one.verdict.status,
    }
    if (made := one.generation) is not None:
        told |= {
            "gen_ai.request.model": made.model,
            "gen_ai.usage.input_tokens": made.prompt_tokens,
            "gen_ai.usage.output_tokens": made.sampled_tokens + made.forced_tokens,
            "insights.queue_ms": made.queue_ms,
            "insights.prompt_ms": made.prompt_ms,
            "insights.decode_ms": made.decode_ms,
        }
    return told


def _generated(model: str, made: Sequence[Generation]) -> None:
    metrics.REUSED.labels(model).inc(sum(one.reused_tokens for one in made))
    metrics.FORCED.labels(model).inc(sum(one.forced_tokens for one in made))
    first_s = [(one.queue_ms + one.prompt_ms) / 1000 for one in made]
    tokens = [one.sampled_tokens + one.forced_tokens for one in made]
    metrics.TOKENS.labels(model, "input", _OPERATION).observe(*(one.prompt_tokens for one in made))
    metrics.TOKENS.labels(model, "output", _OPERATION).observe(*tokens)
    metrics.QUEUE.labels(model).observe(*(one.queue_ms / 1000 for one in made))
    metrics.FIRST_TOKEN.labels(model, _OPERATION).observe(*first_s)
    metrics.DURATION.labels(model, _OPERATION).observe(
        *(first + one.decode_ms / 1000 for first, one in zip(first_s, made, strict=True))
    )
    metrics.PER_TOKEN.labels(model, _OPERATION).observe(
        *(
            one.decode_ms / 1000 / (count - 1)
            for count, one in zip(tokens, made, strict=True)
            if count > 1
        )
    )
