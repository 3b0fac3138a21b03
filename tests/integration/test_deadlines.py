"""A request that was not begun by its deadline ends as expired, once, without a model."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from insights.doors.accepting import Doors
from insights.model import Answer, Share
from insights.store.work import DeadLetters, WorkQueue
from insights.wiring import doors
from insights.wiring.app import App, open_app
from tests.site import Site


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site.of_inbox(tmp_path, store_url, stand_in, monkeypatch)


@pytest.fixture
def app(site: Site) -> Iterator[App]:
    with open_app(site.config, begin=True) as opened:
        opened.register(opened.definition("triage"))
        yield opened


@pytest.fixture
def door(app: App) -> Doors:
    return doors.doors(app)


def send(door: Doors, number: int, deadline_s: float | None = None) -> str:
    row = {"id": number, "subject": "printer", "body": "It does not print."}
    (ticket,) = door.submit("triage", [row], client="test", deadline_s=deadline_s)
    return ticket.id


def one(door: Doors, id_: str) -> Answer:
    return door.outcomes([id_], delivers=False)[id_]


def queue(app: App, **more: Any) -> WorkQueue:  # noqa: ANN401
    return WorkQueue(app.store, "d", [1], ttl_s=60, max_attempts=5, **more)


def passed(site: Site, number: int) -> None:
    """Let the deadline of a row pass."""
    found = site.query(
        "UPDATE store.work w SET not_after = now() - interval '1 ms' FROM store.ledger l"
        " WHERE l.row_id = w.row_id AND l.row_key = %s AND w.not_after IS NOT NULL RETURNING 1",
        str(number),
    )
    assert found == [(1,)]


def test_what_is_overdue_is_never_claimed_and_has_one_outcome(
    site: Site, app: App, door: Doors
) -> None:
    late, in_time, free = send(door, 1, 0.05), send(door, 2, 3_600), send(door, 3)
    time.sleep(0.1)
    assert one(door, late).standing == "queued"  # nobody has looked yet, and it stays as it is
    work = queue(app)
    claims = work.claim([Share(pipeline_version_id=1, rows=10)])
    assert [claim.row_key for claim in claims] == ["2", "3"]
    work.expire()
    found = one(door, late)
    assert (found.standing, found.reason) == ("expired", "it was not begun by its deadline")
    assert found.is_over
    assert found.finished_at is not None
    assert {one(door, id_).standing for id_ in (in_time, free)} == {"started"}
    work.expire()
    told = "SELECT count(*) FROM store.audit_event WHERE action = 'request expired'"
    assert site.query(told) == [(1,)]
    assert one(door, late).standing == "expired"


def test_what_was_claimed_in_time_goes_on_and_ends_if_it_is_given_back_too_late(
    site: Site, app: App, door: Doors
) -> None:
    id_ = send(door, 1, 3_600)
    work = queue(app)
    (claim,) = work.claim([Share(pipeline_version_id=1, rows=10)])
    passed(site, 1)
    work.expire()
    assert one(door, id_).standing == "started"
    work.release([claim], delay_s=0.0, blame=False, isolate=False, reason="put off")
    assert work.claim([Share(pipeline_version_id=1, rows=10)]) == []
    work.expire()
    assert one(door, id_).standing == "expired"


def test_an_expired_row_that_is_sent_again_begins_again_and_no_model_saw_it_before(
    site: Site, door: Doors
) -> None:
    site.insights("migrate")
    late = send(door, 1, 3_600)
    assert send(door, 1) == late  # the same row is the same request, with its deadline
    passed(site, 1)
    site.run_once()
    assert one(door, late).standing == "expired"
    assert site.query("SELECT count(*) FROM store.insight") == [(0,)]
    again = send(door, 1)
    assert again != late
    assert site.query("SELECT state, not_after FROM store.work") == [("pending", None)]
    site.run_once()
    assert one(door, again).standing == "done"
    assert site.query("SELECT count(*) FROM store.insight") == [(1,)]


def test_a_dead_letter_that_is_tried_again_has_no_deadline(
    site: Site, app: App, door: Doors
) -> None:
    send(door, 1, 3_600)
    work = queue(app)
    (claim,) = work.claim([Share(pipeline_version_id=1, rows=10)])
    work.bury(claim, "it cannot be done")
    passed(site, 1)
    assert DeadLetters(app.store).retry(stream=None, work_id=None, actor="operator") == 1
    assert site.query("SELECT state, not_after FROM store.work") == [("pending", None)]
