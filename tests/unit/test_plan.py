"""What pending rows will take: rows times what a row took, by each model's tariff."""

import datetime as dt

import pytest

from insights.governance.plan import cost_of, estimates
from insights.model import Generation
from insights.site.models import ModelSettings
from insights.store.reports import PlanReport


def model(**given: object) -> ModelSettings:
    return ModelSettings.model_validate(given)


MODELS = {
    "near": model(path="m", sha256="0" * 64, tariff={"watts": 360, "kwh": 0.5}),
    "free": model(path="n", sha256="1" * 64),
    "far": model(url="https://x/v1", tariff={"prompt": 1.0, "output": 10.0}),
}


def unpaid(_: Generation) -> None:
    """No tariff."""


def made(prompt: int, output: int, ms: float, *, shared: bool = False) -> Generation:
    return Generation(
        text="", finish="stop", model="m", prompt_tokens=prompt, sampled_tokens=output,
        compute_ms=ms, shared=shared,
    )  # fmt: skip


def test_rows_that_ask_no_model_or_share_a_generation_are_rows_that_take_nothing() -> None:
    cost = cost_of(
        [made(100, 20, 500), made(60, 20, 300), made(60, 20, 300, shared=True), None], unpaid
    )
    assert (cost.rows, cost.prompt_tokens, cost.output_tokens) == (4, 40, 10)
    assert cost.seconds == pytest.approx(0.2)


def test_models_stand_side_by_side_and_what_is_not_known_is_not_said() -> None:
    found = estimates("p", 1000, cost_of([made(100, 20, 500)], unpaid), ("near", "far"), MODELS)
    near, far, free = found
    assert (near.model, near.own, near.place, near.tokens) == ("near", True, "local", 120_000)
    assert near.seconds == pytest.approx(500)
    assert near.money == pytest.approx(500 * 360 / 3.6e6 * 0.5)
    assert (far.own, far.place, far.seconds) == (False, "remote", None)
    assert far.money == pytest.approx((100_000 * 1 + 20_000 * 10) / 1e6)
    assert (free.model, free.seconds, free.money) == ("free", None, None)
    swapped = estimates("p", 1000, cost_of([made(100, 20, 500)], unpaid), ("far",), MODELS)
    assert [one.money is None for one in swapped] == [False, True, True]  # its watts, for how long?


def test_in_a_cascade_money_is_what_rows_paid_for_both_or_is_not_said() -> None:
    sample = [made(100, 20, 500), made(60, 20, 300), None, None]
    cost = cost_of(sample, lambda one: one.prompt_tokens / 10)
    assert cost.money == pytest.approx(4.0)
    near, far, _ = estimates("p", 1000, cost, ("near", "far"), MODELS, cascade=True)
    assert near.money == pytest.approx(4000.0)
    assert far.money == pytest.approx((40_000 * 1 + 10_000 * 10) / 1e6)
    unknown = cost_of(sample, lambda one: None if one.prompt_tokens == 60 else 1.0)
    assert estimates("p", 1, unknown, ("near",), MODELS, cascade=True)[0].money is None


def report(*, rows: int, done: int, tokens: float) -> PlanReport:
    return PlanReport(
        pipeline="p", at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), model="m", rows=rows,
        tokens=1000.0, seconds=0.0, money=None, basis="", done_rows=done, done_tokens=tokens,
        done_seconds=1.0, done_money=None,
    )  # fmt: skip


def test_a_plan_is_held_against_the_rows_that_are_done() -> None:
    assert report(rows=100, done=50, tokens=550).off("tokens") == pytest.approx(0.1)
    assert report(rows=100, done=100, tokens=900).off("tokens") == pytest.approx(-0.1)
    assert report(rows=100, done=0, tokens=0).off("tokens") is None
    assert report(rows=100, done=50, tokens=550).off("seconds") is None
    assert report(rows=100, done=50, tokens=550).off("money") is None
