"""A row whose model has no budget left is claimed for the pipeline's other model, which has."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from insights.governance.budget import Costs
from insights.model import Claim, Share
from insights.site.models import ModelSettings
from insights.store.budgets import Budget, Budgets
from insights.store.insights import InsightStore
from insights.store.postgres import Store
from insights.store.reports import BudgetReport, Reports
from insights.wiring import enriching
from insights.wiring.app import open_app
from tests import claiming
from tests.claiming import finished, queue
from tests.integration.test_remote import Provider
from tests.integration.test_remote import provider as provider  # noqa: PLC0414 - a fixture
from tests.site import Site

COSTS = Costs(
    {
        "near": ModelSettings.model_validate({"path": "m", "sha256": "0" * 64}),
        "far": ModelSettings.model_validate({"url": "https://x/v1"}),
    },
    {1: ("near", "far")},
)
FAR = "remote:far (preferred)"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    claiming.fill(store_url, 60)
    opened = Store(store_url).open()
    yield opened
    opened.close()


def bound(model: str, hard: float, *, yields: bool = True, unit: str = "rows") -> Budget:
    """Return a budget of a model, 1 of which a row reserves."""
    versions = frozenset({1} if yields else ())
    return Budget(
        model, f"model {model}", model, unit, "day", "UTC", None, hard, {1: 1.0}, yields=versions
    )


def put(store: Store, *wanted: Budget) -> None:
    Budgets(store, "test").put(list(wanted), [1])


def standing(store: Store, name: str) -> BudgetReport:
    (found,) = (one for one in Reports(store).budgets() if one.name == name)
    return found


def write(store: Store, claims: list[Claim], route: str) -> None:
    rows = [finished(claim, route=route) for claim in claims]
    assert InsightStore(store, "d", COSTS).write(rows) == len(claims)


def shares(rows: int) -> list[Share]:
    return [Share(pipeline_version_id=1, rows=rows)]


def test_rows_go_on_with_the_other_model_and_neither_budget_is_overshot(store: Store) -> None:
    put(store, bound("far", 10), bound("near", 25))
    work = queue(store, "d", [1])
    first = work.claim(shares(60))
    assert [claim.barred for claim in first] == [None] * 10
    assert work.claim(shares(60)) == []  # it is reserved, not used up: it may come back
    work.release(first[:2], delay_s=0, blame=False, isolate=False, reason="test")
    write(store, first[2:], FAR)
    again = work.claim(shares(60))
    assert [claim.barred for claim in again] == [None] * 2
    write(store, again, FAR)
    assert work.outstanding().bounded == ""
    assert "rows go to the other model" in standing(store, "far").says
    others = work.claim(shares(60))
    assert [claim.barred for claim in others] == ["far"] * 25
    assert (standing(store, "far").reserved, standing(store, "near").reserved) == (0, 25)
    write(store, others, "local (budget)")
    assert (standing(store, "far").used, standing(store, "near").used) == (10, 25)
    assert work.claim(shares(60)) == []  # both are used up
    assert "is used up until" in work.outstanding().bounded


def test_what_is_not_to_go_elsewhere_waits(store: Store) -> None:
    put(store, bound("far", 10, yields=False))
    work = queue(store, "d", [1])
    write(store, work.claim(shares(60)), FAR)
    assert work.claim(shares(60)) == []
    assert "nothing begins" in standing(store, "far").says
    put(store, bound("far", 10), bound("near", 25, yields=False))
    claims = work.claim(shares(60))
    assert len(claims) == 25
    write(store, claims, "local (budget)")
    assert work.claim(shares(60)) == []


def test_a_claim_says_anew_whether_it_is_barred(store: Store, store_url: str) -> None:
    put(store, bound("far", 5))
    work = queue(store, "d", [1])
    write(store, work.claim(shares(60)), FAR)
    barred = work.claim(shares(10))
    assert {claim.barred for claim in barred} == {"far"}
    work.release(barred, delay_s=0, blame=False, isolate=False, reason="test")
    put(store, bound("far", 50))
    again = work.claim(shares(60))
    assert {claim.barred for claim in again} == {None}
    assert (len(again), standing(store, "far").reserved) == (45, 45)
    work.release(again, delay_s=0, blame=False, isolate=False, reason="test")
    with psycopg.connect(store_url) as link:
        link.execute("UPDATE store.budget SET used = 50, window_start = now()")
    barred = work.claim(shares(10))
    work.release(barred, delay_s=0, blame=False, isolate=False, reason="test")
    put(store)  # no budget at all
    assert {claim.barred for claim in queue(store, "e", [1]).claim(shares(60))} == {None}


REMOTE = """
[model.far]
url = "https://gpu1.example:8000/v1"
model = "m"
[budget.far]
model = "far"
unit = "rows"
hard = 5
[budget.near]
model = "stand_in"
unit = "rows"
hard = 9
"""
ROUTED = 'fallback = "far"\nbudget_fallback = true\n'


@pytest.mark.parametrize(
    ("pipeline", "stream", "yields"),
    [
        (ROUTED, "", {"far": True, "near": True}),
        ('fallback = "far"\n', "", {"far": False, "near": False}),
        (f'{ROUTED}local_with = ["iban"]\n', "", {"far": True, "near": False}),
        (ROUTED, "\nsensitive = true", {"far": True, "near": False}),
    ],
)
def test_only_what_may_leave_goes_to_the_server(
    tmp_path: Path,
    store_url: str,
    stand_in: Path,
    monkeypatch: pytest.MonkeyPatch,
    pipeline: str,
    stream: str,
    yields: dict[str, bool],
) -> None:
    site = Site(tmp_path, store_url, "DSN=x", stand_in)
    site.extra, site.pipeline, site.stream = REMOTE, pipeline, site.stream + stream
    site.write()
    for name, value in site.env().items():
        monkeypatch.setenv(name, value)
    with open_app(site.config, begin=True) as app:
        enriching.recipes(app, load=False)  # as a daemon does at its start
        assert {one.name: one.yields for one in Reports(app.store).budgets()} == yields


def test_it_needs_another_model(site: Site) -> None:
    site.pipeline = "budget_fallback = true\n"
    site.write()
    assert "needs a fallback" in site.insights("budget", code=78).stderr


def test_a_table_is_done_with_both_models_and_each_insight_says_by_which(
    site: Site, provider: Provider
) -> None:
    provider.answers = [(200, json.dumps({"category": "question", "urgent": False}))]
    here = REMOTE.replace("https://gpu1.example:8000/v1", provider.url)
    site.extra = here.replace("= 9\n", "= 500\n")
    site.pipeline = ROUTED
    site.write()
    prefer = site.folder / "pipelines" / "triage.toml"
    told = prefer.read_text().replace('model = "stand_in"', 'model = "far"')
    prefer.write_text(told.replace('fallback = "far"', 'fallback = "stand_in"'))
    done = site.run_once()["insights"]
    routes = dict(site.query("SELECT route, count(*) FROM store.insight GROUP BY route"))
    assert routes == {"remote:far (preferred)": 5, "local (budget)": done - 5}
    (far, near) = json.loads(site.insights("budget", "--json").stdout)
    assert (far["used"], near["used"]) == (5, done - 5)
