"""What a client of the HTTP door may send in a day: reserved as it is accepted, never overshot."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from insights import errors
from insights.doors.accepting import Doors
from insights.ground import failpoints
from insights.store.reports import Reports
from insights.web.problems import problem
from insights.wiring import budgets, doors
from insights.wiring.app import App, open_app
from tests.site import Site

HARD = 12
EXTRA = f"""
[budget.erp_day]
client = "erp"
unit = "rows"
hard = {HARD}
[budget.erp_hour]
client = "erp"
unit = "rows"
per = "hour"
hard = {10 * HARD}
"""


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site.of_inbox(tmp_path, store_url, stand_in, monkeypatch, EXTRA)


@pytest.fixture
def app(site: Site) -> Iterator[App]:
    with open_app(site.config, begin=True) as opened:
        opened.register(opened.definition("triage"))
        budgets.put(opened, [])  # as a daemon does at its start
        yield opened


def row(number: int, **fields: str) -> dict[str, Any]:
    return {"id": number, "subject": f"printer {number}", "body": "It is dark.", **fields}


def send(door: Doors, *numbers: int, client: str = "erp", **more: str) -> bool:
    """Tell whether it was accepted."""
    try:
        door.submit("triage", [row(n, **more) for n in numbers], client=client)
    except errors.RequestRefused:
        return False
    return True


def used(app: App) -> dict[str, float]:
    return {one.name: one.used for one in Reports(app.store).budgets()}


def test_clients_that_send_at_once_never_overshoot(app: App, site: Site) -> None:
    two = [doors.doors(app, bounded=True) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send, two[n % 2], 2 * n, 2 * n + 1) for n in range(HARD)]
        took = [one.result(60) for one in sent]
    assert sum(took) == HARD // 2
    assert used(app) == {"erp_day": HARD, "erp_hour": HARD}
    assert site.query("SELECT count(*) FROM store.inbox") == [(HARD,)]
    assert send(two[0], 900, client="another")
    assert used(app)["erp_day"] == HARD
    assert json.loads(site.insights("budget", "--json").stdout)[0]["concerns"] == "client erp"


def test_what_was_sent_before_costs_nothing_and_what_failed_gives_it_back(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = doors.doors(app, bounded=True)
    assert send(door, *range(HARD - 1))
    assert send(door, *range(HARD - 1))  # the same fields again are the same requests
    assert used(app)["erp_day"] == HARD - 1

    def dies(name: str) -> None:
        if name == "before-accept-commit":
            raise errors.StoreUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "reach", dies)
        with pytest.raises(errors.StoreUnavailable):
            send(door, 100)
    assert used(app)["erp_day"] == HARD - 1
    assert not send(door, 100, 101)  # all of it or none
    assert used(app)["erp_day"] == HARD - 1
    assert send(door, 100)
    assert not send(door, 0, body="Another text.")


def test_a_client_is_told_when_it_may_send_again(app: App) -> None:
    door = doors.doors(app, bounded=True)
    with pytest.raises(errors.RequestRefused, match="rows a day") as never:
        door.submit("triage", [row(n) for n in range(HARD + 1)], client="erp")
    assert problem(never.value, retry_after_s=1).details.status == 422
    assert send(door, *range(HARD))
    with pytest.raises(errors.RequestRefused, match=f"{HARD} of {HARD} rows a day") as refused:
        door.submit("triage", [row(99)], client="erp")
    told = problem(refused.value, retry_after_s=1)
    assert told.details.status == 429
    assert 0 < int(told.headers["Retry-After"]) <= 86_400
    with app.store.transaction() as connection:
        connection.execute("UPDATE store.budget SET window_start = now() - interval '2 days'")
    assert send(door, 99)  # another day
    assert used(app)["erp_day"] == 1


def test_only_the_door_over_http_and_only_what_the_settings_say_is_bounded(app: App) -> None:
    assert send(doors.doors(app), *range(HARD + 1))
    kept = app.settings.model_copy(update={"budget": {}})
    bounded = doors.doors(app, bounded=True)
    assert not send(bounded, *range(100, 101 + HARD))
    app.settings = kept
    budgets.put(app, [])
    assert send(bounded, *range(100, 101 + HARD))
    assert used(app) == {}
