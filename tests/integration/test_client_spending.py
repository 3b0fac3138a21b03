"""What models take for a client's rows: reserved at claim, settled at write, and no other waits."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from insights import errors
from insights.doors.accepting import Doors
from insights.model import Claim, Share
from insights.store.insights import InsightStore
from insights.store.reports import BudgetReport, Reports
from insights.store.work import WorkQueue
from insights.web.problems import problem
from insights.wiring import budgets, doors, enriching
from insights.wiring.app import App, open_app
from tests.claiming import TOKENS, finished, queue
from tests.integration.test_client_budgets import row
from tests.site import Site

RESERVE, HARD = 512, 2_000
EXTRA = f"""
[budget.erp_tokens]
client = "erp"
unit = "tokens"
reserve = {RESERVE}
hard = {HARD}
[budget.all_tokens]
unit = "tokens"
hard = 1000000
"""


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site.of_inbox(tmp_path, store_url, stand_in, monkeypatch, EXTRA)


@pytest.fixture
def app(site: Site) -> Iterator[App]:
    with open_app(site.config, begin=True) as opened:
        yield opened


@pytest.fixture
def work(app: App) -> WorkQueue:
    versions, _ = enriching.recipes(app, load=False)  # as a daemon does at its start
    return queue(app.store, "d", list(versions))


@pytest.fixture
def door(app: App, work: WorkQueue) -> Doors:
    assert work is not None
    return doors.doors(app, bounded=True)


def claim(work: WorkQueue, rows: int = 50) -> list[Claim]:
    (version,) = work._versions
    return work.claim([Share(pipeline_version_id=version, rows=rows)])


def send(door: Doors, *numbers: int, client: str = "erp") -> None:
    door.submit("triage", [row(n) for n in numbers], client=client)


def write(app: App, claims: list[Claim]) -> None:
    made = [finished(one) for one in claims]
    assert InsightStore(app.store, "d").write(made) == len(claims)


def standing(app: App, name: str = "erp_tokens") -> BudgetReport:
    (found,) = (one for one in Reports(app.store).budgets() if one.name == name)
    return found


def test_a_clients_tokens_are_reserved_at_claim_settled_at_write_and_never_overshot(
    app: App, work: WorkQueue, door: Doors
) -> None:
    send(door, *range(40))
    used = 0
    while claims := claim(work):
        assert used + RESERVE * len(claims) <= HARD
        assert standing(app).reserved == RESERVE * len(claims)
        write(app, claims)
        used += TOKENS * len(claims)
        assert standing(app).used == standing(app, "all_tokens").used == used
    assert used == 1_500  # with 500 left, one that may take 512 cannot begin
    assert "erp_tokens is used up until" in work.outstanding().bounded


def test_what_a_dead_daemon_held_is_the_clients_again(
    app: App, work: WorkQueue, door: Doors, site: Site
) -> None:
    send(door, *range(9))
    assert len(claim(work)) == 3
    assert claim(work) == []
    site.query(
        "UPDATE store.work SET lease_until = now() - interval '1 s' WHERE state = 'claimed'"
        " RETURNING 1"
    )
    work.expire()
    assert standing(app).reserved == 0
    assert len(claim(work)) == 3


def test_rows_of_others_are_taken_from_behind_those_that_wait(
    app: App, work: WorkQueue, door: Doors
) -> None:
    send(door, *range(10))
    send(door, *range(100, 110), client="web")
    door_of_none = doors.doors(app)  # a queue's, a folder's
    door_of_none.submit("triage", [row(200)], client="erp")
    first = claim(work, 4)
    assert len(first) == 3
    assert len(claim(work)) == 11
    assert standing(app).reserved == 3 * RESERVE
    assert work.outstanding().bounded == ""


def test_a_client_that_has_used_it_up_is_told_when_to_send_again(
    app: App, work: WorkQueue, door: Doors, site: Site
) -> None:
    send(door, *range(20))
    while claims := claim(work):
        write(app, claims)
    with pytest.raises(errors.RequestRefused, match="1,500 of 2,000 tokens a day") as refused:
        send(door, 900)
    told = problem(refused.value, retry_after_s=1)
    assert told.details.status == 429
    assert 0 < int(told.headers["Retry-After"]) <= 86_400
    send(door, 0)  # the same fields again are the same request
    send(door, 900, client="web")
    site.query("UPDATE store.budget SET window_start = now() - interval '2 days' RETURNING 1")
    send(door, 901)
    assert len(claim(work)) > 1
    assert json.loads(site.insights("budget", "--json").stdout)[1]["concerns"] == "client erp"


def test_a_budget_that_is_taken_out_bounds_nobody(app: App, work: WorkQueue, door: Doors) -> None:
    send(door, *range(30))
    assert len(claim(work)) == 3
    app.settings = app.settings.model_copy(update={"budget": {}})
    budgets.put(app, [])
    assert len(claim(work)) == 27
