"""Budgets in the settings: what they mean, and what is refused with the reason."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from insights import errors
from insights.governance.budget import Costs, most_tokens, price, reserve
from insights.model import Generation
from insights.site import files
from insights.site.budgets import BudgetSettings, TariffSettings
from insights.site.models import ModelSettings
from insights.wiring import budgets

LOCAL = {"path": "m.gguf", "sha256": "0" * 64}
REMOTE = {"url": "https://gpu1:8000/v1", "context": 1000}
FAR = ModelSettings.model_validate({**REMOTE, "tariff": {"prompt": 1, "output": 3}})
NEAR = ModelSettings.model_validate({**LOCAL, "tariff": {"watts": 360, "kwh": 0.5}})


def budget(**given: object) -> BudgetSettings:
    return BudgetSettings.model_validate(given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"unit": "rows"}, "give soft, hard or both"),
        ({"unit": "rows", "soft": 2, "hard": 1}, "soft is above hard"),
        ({"unit": "rows", "hard": 1, "stream": "s", "model": "m"}, "at most one"),
        ({"unit": "rows", "hard": 1, "reserve": 2}, "a row is one row"),
        ({"unit": "rows", "hard": 1, "time_zone": "Zurich"}, "no time zone"),
        ({"unit": "rows", "hard": float("nan")}, "finite"),
        ({"unit": "rows", "hard": 0}, "greater than 0"),
        ({"unit": "rows", "hard": 1, "client": "erp", "stream": "s"}, "at most one"),
        ({"unit": "tokens", "hard": 2, "soft": 1, "client": "erp"}, "a hard bound alone"),
        ({"unit": "rows", "hard": 2, "soft": 1, "client": "erp"}, "a hard bound alone"),
    ],
)
def test_what_bounds_nothing_or_two_things_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        budget(**given)


@pytest.mark.parametrize("given", [{}, {"watts": 100}, {"kwh": 0.2, "prompt": 1}])
def test_a_tariff_says_a_price(given: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        TariffSettings.model_validate(given)


def test_a_price_is_per_million_tokens_and_per_kilowatt_hour() -> None:
    tariff = TariffSettings(prompt=2, output=4, watts=1000, kwh=0.3)
    assert price(tariff, 1_000_000, 500_000, 0) == 4
    assert price(tariff, 0, 0, 3600) == pytest.approx(0.3)


def test_a_row_reserves_the_most_that_it_may_take() -> None:
    both = {"near": NEAR, "far": FAR}

    def most(wanted: BudgetSettings, models: dict[str, ModelSettings]) -> float:
        return reserve(wanted, models, max_tokens=100, deadline_s=300.0)

    assert most(budget(unit="rows", hard=1), both) == 1
    assert most(budget(unit="tokens", hard=1), both) == most_tokens(NEAR) == 4096
    assert most(budget(unit="seconds", hard=1), both) == 300
    assert most(budget(unit="seconds", hard=1, reserve=7), both) == 7
    far = most(budget(unit="money", hard=1), {"far": FAR})
    assert far == pytest.approx((900 * 1 + 100 * 3) / 1e6)
    near = most(budget(unit="money", hard=1), {"near": NEAR})
    assert near == pytest.approx(300 * 360 / 3.6e6 * 0.5)
    for prompt, output in ((1000, 0), (900, 100), (950, 50)):  # whatever a row takes fits
        assert price(FAR.tariff or TariffSettings(), prompt, output, 0) <= 1.0e-3 + 2.0e-4


def test_a_prompt_dearer_than_output_is_reserved_as_such() -> None:
    dear = ModelSettings.model_validate({**REMOTE, "tariff": {"prompt": 3, "output": 1}})
    most = reserve(budget(unit="money", hard=1), {"m": dear}, max_tokens=100, deadline_s=1)
    assert most == pytest.approx(1000 * 3 / 1e6)


def test_what_shares_a_generation_costs_nothing_and_a_server_is_known_by_its_route() -> None:
    costs = Costs({"near": NEAR, "far": FAR}, {1: ("near", "far")})
    made = Generation(
        text="", finish="stop", model="x", prompt_tokens=90, sampled_tokens=7, forced_tokens=3,
        compute_ms=2000,
    )  # fmt: skip
    (near,) = costs.of(1, made)
    assert (near.model, near.tokens, near.seconds) == ("near", 100, 2)
    assert near.money == pytest.approx(2 * 360 / 3.6e6 * 0.5)
    (far,) = costs.of(1, Generation(**{**_facts(made), "route": "remote:far (local outage)"}))
    assert far.model == "far"
    assert far.money == pytest.approx((90 + 30) / 1e6)
    (shared,) = costs.of(1, Generation(**{**_facts(made), "shared": True}))
    assert (shared.tokens, shared.seconds, shared.money) == (0, 0, 0)
    assert costs.of(1, None)[0].money is None


def test_a_row_that_went_on_costs_what_both_models_took() -> None:
    costs = Costs({"near": NEAR, "far": FAR}, {1: ("near",)}, {1: ("far",)})
    first = Generation(
        text="", finish="stop", model="x", prompt_tokens=90, sampled_tokens=10, compute_ms=2000
    )
    last = Generation(
        text="", finish="stop", model="y", route="remote:far (escalated)", prompt_tokens=80,
        sampled_tokens=20, compute_ms=500, first=first,
    )  # fmt: skip
    far, near = costs.of(1, last)
    assert (far.model, far.tokens, far.seconds) == ("far", 100, 0.5)
    assert (near.model, near.tokens, near.seconds) == ("near", 100, 2)
    here = Generation(**{**_facts(last), "route": "local (escalated)"})
    assert [one.model for one in Costs({"near": NEAR, "big": NEAR}, {1: ("near",)},
                                       {1: ("big",)}).of(1, here)] == ["big", "near"]  # fmt: skip
    assert last.tokens == 200


def _facts(made: Generation) -> dict[str, Any]:
    return {name: getattr(made, name) for name in made.__struct_fields__}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "triage.toml").write_text(
        'stream = "ticket"\nmodel = "m"\nprompt = "p.j2"\nschema = "s.json"\n'
    )
    return tmp_path


def settings(folder: Path, extra: str) -> Path:
    path = folder / "insights.toml"
    path.write_text(
        '[source.s]\nodbc = "DSN=x"\n[stream.ticket]\nsource = "s"\ntable = "t"\nkey = ["id"]\n'
        f'[model.m]\npath = "m.gguf"\nsha256 = "{"0" * 64}"\n{extra}'
    )
    return path


def test_a_budget_of_what_is_not_there_names_the_nearest(folder: Path) -> None:
    path = settings(folder, '[budget.b]\npipeline = "triagge"\nunit = "rows"\nhard = 3\n')
    with pytest.raises(errors.SettingsError, match="did you mean 'triage'") as raised:
        files.load(path)
    assert "budget.b.pipeline" in raised.value.where


def test_money_without_a_tariff_is_refused(folder: Path) -> None:
    money = '[budget.b]\nunit = "money"\nhard = 3\n'
    with pytest.raises(errors.SettingsError, match="does not say what it costs"):
        files.load(settings(folder, money))
    files.load(settings(folder, f"tariff = {{ watts = 300, kwh = 0.2 }}\n{money}"))


def test_a_budget_under_which_no_row_could_begin_is_refused(folder: Path) -> None:
    small = files.load(settings(folder, '[budget.b]\nunit = "tokens"\nhard = 4000\n'))
    with pytest.raises(errors.SettingsError, match=r"may take 4,096 tokens.*4,000 a day"):
        budgets.check(small)
    budgets.check(files.load(settings(folder, '[budget.b]\nunit = "tokens"\nhard = 4096\n')))
