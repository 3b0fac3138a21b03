"""Budgets are reserved at claim and settled at write: over all daemons none is overshot or lost."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec
import psycopg
import pytest

from insights.governance.budget import Costs
from insights.model import Claim, Share
from insights.site.models import ModelSettings
from insights.store.budgets import Budget, Budgets
from insights.store.insights import InsightStore
from insights.store.postgres import Store
from insights.store.queries import load
from insights.store.reports import BudgetReport, Reports
from tests import claiming
from tests.claiming import finished, queue

BUDGET = 120


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store(store_url).open()
    yield opened
    opened.close()


def put(
    store: Store,
    reserves: Mapping[int, float],
    *,
    name: str = "b",
    unit: str = "rows",
    per: str = "day",
    soft: float | None = None,
    hard: float | None = None,
    zone: str = "UTC",
    model: str | None = None,
) -> None:
    budget = Budget(name, "everything", model, unit, per, zone, soft, hard, reserves)
    Budgets(store, "test").put([budget], list(reserves))


def standing(store: Store, name: str = "b") -> BudgetReport:
    (found,) = (one for one in Reports(store).budgets() if one.name == name)
    return found


def shares(rows: int, *versions: int) -> list[Share]:
    return [Share(pipeline_version_id=version, rows=rows) for version in versions or (1,)]


def test_killed_daemons_neither_overshoot_a_budget_nor_keep_any_of_it(
    store_url: str, store: Store
) -> None:
    claiming.fill(store_url, 2 * BUDGET)
    put(store, {1: 1.0}, hard=BUDGET)
    came = claiming.run(store_url, BUDGET, count=3, kills=3, patience_s=180)
    assert (came.written, came.used, came.claimed) == (BUDGET, BUDGET, 0)


def test_a_claim_counts_what_another_one_has_just_taken(store_url: str, store: Store) -> None:
    claiming.fill(store_url, 500)
    put(store, {1: 1.0}, hard=BUDGET)
    values = {"versions": [1], "rows": [BUDGET - 5], "isolated": [False], "holder": "first",
              "ttl_s": 60, "key_version": 1}  # fmt: skip
    other = queue(store, "other", [1])
    with ThreadPoolExecutor(1) as pool, psycopg.connect(store_url) as first:
        first.execute(load("work")["lock_budgets"], values)
        assert len(first.execute(load("work")["claim_within"], values).fetchall()) == BUDGET - 5
        late = pool.submit(other.claim, shares(40))  # nobody sees yet what the first has taken
        until = time.monotonic() + 1
        while not late.done() and time.monotonic() < until:
            time.sleep(0.05)
        first.commit()
        assert len(late.result(timeout=30)) == 5


def test_what_is_given_back_moved_or_expired_reserves_nothing(store_url: str, store: Store) -> None:
    claiming.fill(store_url, 50)
    put(store, {1: 1.0}, hard=10)
    work = queue(store, "d", [1])
    claims = work.claim(shares(50))
    assert (len(claims), standing(store).reserved, standing(store).left) == (10, 10, 0)
    work.release(claims[:3], delay_s=0, blame=False, isolate=False, reason="test")
    work.missing(claims[3:5])
    work.bury(claims[5], "test")
    assert standing(store).reserved == 4
    with psycopg.connect(store_url) as link:
        link.execute(
            "UPDATE store.work SET lease_until = now() - interval '1 s' WHERE lease_token"
            " IS NOT NULL"
        )
    work.expire()
    assert (standing(store).reserved, standing(store).used) == (0, 0)
    assert len(work.claim(shares(50))) == 10


def write(
    store: Store,
    claims: list[Claim],
    *,
    costs: Costs | None = None,
    tokens: int = 100,
    route: str = "local",
) -> None:
    rows = [finished(claim, tokens=tokens, route=route) for claim in claims]
    assert InsightStore(store, "d", costs).write(rows) == len(claims)


def test_tokens_are_reserved_at_their_most_and_settled_as_they_were(
    store_url: str, store: Store
) -> None:
    claiming.fill(store_url, 50)
    put(store, {1: 512.0}, unit="tokens", hard=2_000)
    work = queue(store, "d", [1])
    used = 0
    while claims := work.claim(shares(50)):
        assert used + 512 * len(claims) <= 2_000
        write(store, claims)
        used += 100 * len(claims)
    assert (
        used == standing(store).used == 1_500
    )  # with 500 left, one that may take 512 cannot begin
    assert standing(store).state == "stopped"
    assert "tokens a day" in standing(store).says


def test_money_and_seconds_follow_the_tariff_of_the_model_that_worked(
    store_url: str, store: Store
) -> None:
    claiming.fill(store_url, 50)
    models = {
        "near": ModelSettings.model_validate(
            {"path": "m", "sha256": "0" * 64, "tariff": {"watts": 3.6e6, "kwh": 2.0}}
        ),
        "far": ModelSettings.model_validate(
            {"url": "https://x/v1", "tariff": {"prompt": 1e4, "output": 0}}
        ),
    }
    costs = Costs(models, {1: ("near", "far")})
    reserves = {1: 1.0}
    Budgets(store, "test").put(
        [
            Budget("all", "everything", None, "money", "day", "UTC", None, 1_000, reserves),
            Budget("far", "model far", "far", "money", "day", "UTC", None, 1_000, reserves),
            Budget("s", "everything", None, "seconds", "day", "UTC", None, 1_000, reserves),
        ],
        [1],
    )
    work = queue(store, "d", [1])
    write(store, work.claim(shares(10)), costs=costs)
    assert standing(store, "s").used == pytest.approx(10 * 0.010)
    assert standing(store, "all").used == pytest.approx(10 * 0.010 * 2)  # 10 ms at 1 kWh a second
    assert standing(store, "far").used == 0
    write(store, work.claim(shares(10)), costs=costs, route="remote:far (preferred)")
    assert standing(store, "far").used == pytest.approx(10 * 1.0)  # 100 tokens each
    assert standing(store, "all").used == pytest.approx(10 * 0.020 + 10 * 1.0)


def test_of_a_row_that_went_on_each_model_s_budget_pays_its_own(
    store_url: str, store: Store
) -> None:
    claiming.fill(store_url, 10)
    near = ModelSettings.model_validate({"path": "m", "sha256": "0" * 64})
    costs = Costs({"near": near, "big": near}, {1: ("near",)}, {1: ("big",)})
    Budgets(store, "test").put(
        [
            Budget(f"{unit} {model}", "everything" if model is None else f"model {model}", model,
                   unit, "day", "UTC", None, 5_000, {1: 1.0})
            for unit in ("rows", "tokens")
            for model in (None, "near", "big")
        ],
        [1],
    )  # fmt: skip
    work = queue(store, "d", [1])
    claims = work.claim(shares(10))
    rows = [finished(claim, tokens=100) for claim in claims]
    for at, row in enumerate(rows[:3]):
        assert row.generation is not None
        first = msgspec.structs.replace(row.generation, prompt_tokens=40)
        larger = msgspec.structs.replace(row.generation, first=first, escalated="unsure")
        rows[at] = msgspec.structs.replace(row, generation=larger)
    InsightStore(store, "d", costs).write(rows)
    used = {one.name: one.used for one in Reports(store).budgets()}
    assert used == {
        "rows None": 10, "rows near": 10, "rows big": 3,
        "tokens None": 7 * 100 + 3 * 140, "tokens near": 7 * 100 + 3 * 40, "tokens big": 300,
    }  # fmt: skip
    with psycopg.connect(store_url) as link:
        tokens = link.execute("SELECT sum(prompt_tokens) FROM store.insight").fetchone()
    assert tokens == (7 * 100 + 3 * 140,)


def test_past_a_soft_bound_one_row_runs_at_a_time_over_all_daemons(
    store_url: str, store: Store
) -> None:
    claiming.fill(store_url, 50)
    put(store, {1: 1.0}, soft=5, hard=8)
    one, other = queue(store, "one", [1]), queue(store, "other", [1])
    claims = one.claim(shares(50))
    assert len(claims) == 5
    assert other.claim(shares(50)) == []
    write(store, claims)
    assert standing(store).state == "slowed"
    for _ in range(3):
        alone = other.claim(shares(50))
        assert len(alone) == 1
        assert one.claim(shares(50)) == []
        write(store, alone)
    assert one.claim(shares(50)) == other.claim(shares(50)) == []
    assert standing(store).state == "stopped"


def test_pipelines_that_share_a_budget_take_turns_and_none_starves_for_an_idle_one(
    store_url: str, store: Store
) -> None:
    claiming.fill(store_url, 50, pipelines=2)
    put(store, {1: 1.0, 2: 1.0}, hard=11)
    work = queue(store, "d", [1, 2])
    claims = work.claim(shares(50, 1, 2))
    taken = sorted(claim.pipeline_version_id for claim in claims)
    assert taken == [1] * 6 + [2] * 5
    work.release(claims, delay_s=0, blame=False, isolate=False, reason="test")
    with psycopg.connect(store_url) as link:
        link.execute("UPDATE store.work SET state = 'cancelled' WHERE pipeline_version_id = 1")
    assert len(work.claim(shares(50, 1, 2))) == 11


def test_a_window_ends_where_its_time_zone_says(store_url: str, store: Store) -> None:
    claiming.fill(store_url, 50)
    put(store, {1: 1.0}, hard=5, zone="Pacific/Kiritimati")
    work = queue(store, "d", [1])
    write(store, work.claim(shares(50)))
    assert standing(store).used == 5
    ends = standing(store).resets_at
    with psycopg.connect(store_url) as link:
        (right,) = link.execute(
            "SELECT date_trunc('day', now() AT TIME ZONE 'Pacific/Kiritimati' + interval '1 day')"
            " AT TIME ZONE 'Pacific/Kiritimati' = %s",
            (ends,),
        ).fetchone() or (False,)
        assert right
        assert work.claim(shares(50)) == []
        link.execute("UPDATE store.budget SET window_start = window_start - interval '1 day'")
        link.commit()
    assert standing(store).used == 0
    write(store, work.claim(shares(50)))
    assert standing(store).used == 5


def test_a_used_budget_is_told_where_it_keeps_all_open_work(store_url: str, store: Store) -> None:
    claiming.fill(store_url, 20, pipelines=2)
    put(store, {1: 1.0}, hard=3)
    work = queue(store, "d", [1, 2])
    write(store, work.claim(shares(20, 1)))
    assert work.outstanding().bounded == ""  # the other pipeline's work may go on
    write(store, work.claim(shares(20, 2)))
    found = work.outstanding()
    assert (found.all_open, "budget b is used up until" in found.bounded) == (17, True)


def test_other_bounds_keep_what_was_used_and_are_in_the_audit_once(
    store_url: str, store: Store
) -> None:
    claiming.fill(store_url, 50)
    put(store, {1: 1.0}, hard=5)
    work = queue(store, "d", [1])
    write(store, work.claim(shares(50)))
    put(store, {1: 1.0}, hard=5)
    put(store, {1: 1.0}, hard=7)
    assert (standing(store).used, standing(store).hard) == (5, 7)
    assert len(work.claim(shares(50))) == 2
    with psycopg.connect(store_url) as link:
        (told,) = link.execute(
            "SELECT count(*) FROM store.audit_event WHERE action = 'budget set'"
        ).fetchone() or (0,)
    assert told == 2
    Budgets(store, "test").put([], [1])
    assert Reports(store).budgets() == []
    assert len(work.claim(shares(40))) == 40


def test_writes_and_claims_under_several_budgets_do_not_wait_in_a_circle(
    store_url: str, store: Store
) -> None:
    claiming.fill(store_url, 400, pipelines=2)
    reserves = {1: 1.0, 2: 1.0}
    many = [
        Budget(f"b{n}", "everything", None, "rows", "day", "UTC", None, 10_000, reserves)
        for n in range(5)
    ]
    Budgets(store, "test").put(many, [1, 2])

    def work(number: int) -> int:
        mine, done = queue(store, f"d{number}", [1, 2]), 0
        until = time.monotonic() + 20
        while time.monotonic() < until:
            versions = (1, 2) if number % 2 else (2, 1)
            claims = mine.claim(shares(7, *versions))
            if not claims:
                break
            write(store, claims)
            done += len(claims)
        return done

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 800
    assert {one.used for one in Reports(store).budgets()} == {800}
