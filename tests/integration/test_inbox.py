"""Requests through a door: accepted once, done once, forgotten in time, whatever is killed."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from insights import errors
from insights.doors.accepting import Doors
from insights.model import Answer
from insights.store.inbox_rows import InboxRows
from insights.wiring import doors, enriching
from insights.wiring.app import App, open_app
from tests.site import Site

PROMPT = "Describe.\n{{ row.subject }}\n{{ row.body }}\n"
MAIL = "Call anna.muster@example.com"
SENDER = """
import sys
from pathlib import Path
from insights.wiring import doors
from insights.wiring.app import open_app
with open_app(Path(sys.argv[1])) as app:
    row = {"id": 1, "subject": "printer", "body": sys.argv[2]}
    print(doors.doors(app).submit("triage", [row], client="test")[0].id)
"""


@pytest.fixture
def inbox_site(
    tmp_path: Path, store_url: str, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> Site:
    """An installation whose rows come in through doors, its settings in our environment."""
    return Site.of_inbox(tmp_path, store_url, stand_in, monkeypatch, prompt=PROMPT)


@pytest.fixture
def app(inbox_site: Site) -> Iterator[App]:
    """The same opened here, its version live as a daemon makes it."""
    with open_app(inbox_site.config, begin=True) as opened:
        opened.register(opened.definition("triage"))
        yield opened


@pytest.fixture
def door(app: App) -> Doors:
    return doors.doors(app)


def row(number: int, **fields: str) -> dict[str, Any]:
    return {"id": number, "subject": f"printer {number}", "body": "It does not print.", **fields}


def one(door: Doors, id_: str) -> Answer:
    return door.outcomes([id_], delivers=False)[id_]


def send(door: Doors, number: int, **fields: str) -> str:
    return door.submit("triage", [row(number, **fields)], client="test")[0].id


def texts(site: Site) -> str:
    return str(site.query("SELECT b::text FROM store.inbox b"))


def test_a_request_goes_the_way_of_every_row_whatever_is_killed(inbox_site: Site) -> None:
    site = inbox_site
    site.insights("migrate")
    site.run_once()

    def sent(body: str, failpoint: str = "") -> str | None:
        done = subprocess.run(
            [sys.executable, "-c", SENDER, str(site.config), body],
            check=False,
            capture_output=True,
            text=True,
            env=site.env(INSIGHTS_FAILPOINT=failpoint),
            timeout=60,
        )
        assert done.returncode == (-signal.SIGKILL if failpoint else 0), done.stderr
        return done.stdout.strip() or None

    assert sent(MAIL, "before-accept-commit") is None
    assert site.query("SELECT count(*) FROM store.ledger") == [(0,)]
    assert sent(MAIL, "after-accept-commit") is None
    assert site.query("SELECT count(*) FROM store.work WHERE state = 'pending'") == [(1,)]
    id_ = sent(MAIL)  # the client asks again, for it was not answered
    assert site.query("SELECT request_id::text FROM store.inbox") == [(id_,)]
    assert "<EMAIL_1>" in texts(site)
    assert "anna" not in texts(site)
    assert site.killed("after-claim")
    assert site.killed("before-write")
    site.run_once()
    with open_app(site.config) as app:
        found = doors.doors(app).outcomes([str(id_)])[str(id_)]
    assert found.standing == "done"
    assert found.output is not None or found.status != "ok"
    site.assert_exactly_once({"1"})
    site.run_once()  # it was delivered
    assert site.query("SELECT fields FROM store.inbox") == [(None,)]


def test_the_same_fields_are_the_same_request_and_others_a_new_version(
    inbox_site: Site, door: Doors
) -> None:
    first = send(door, 1)
    assert send(door, 1) == first
    assert one(door, first).standing == "queued"
    second = send(door, 1, body="Now it burns.")
    assert second != first
    assert one(door, first).standing == "superseded"
    assert one(door, second).standing == "queued"
    third = send(door, 1)  # back to what it was: a version of its own, and work again
    assert third not in (first, second)
    assert one(door, third).standing == one(door, first).standing == "queued"
    kept = inbox_site.query("SELECT request_id::text FROM store.inbox WHERE fields IS NOT NULL")
    assert kept == [(third,)]
    assert inbox_site.query("SELECT count(*) FROM store.work WHERE state = 'pending'") == [(1,)]


def test_many_at_once_are_accepted_once_each(inbox_site: Site, app: App) -> None:
    several = [doors.doors(app) for _ in range(2)]  # as two processes with doors
    start = threading.Barrier(8)

    def sender(number: int) -> list[str]:
        start.wait()
        return [send(several[number % 2], n, body=f"{number % 4}") for n in range(12)]

    with ThreadPoolExecutor(8) as pool:
        ids = [id_ for found in pool.map(sender, range(8)) for id_ in found]
    found = several[0].outcomes(ids, delivers=False)
    assert len(found) == len(set(ids))
    assert {answer.standing for answer in found.values()} <= {"queued", "superseded"}
    open_ = inbox_site.query(
        "SELECT count(*), count(DISTINCT row_id) FROM store.work WHERE state = 'pending'"
    )
    assert open_ == [(12, 12)]
    last = inbox_site.query("SELECT count(*) FROM store.inbox WHERE fields IS NOT NULL")
    assert last == [(12,)]


def test_a_daemon_that_begins_beside_a_busy_door_waits_for_it(inbox_site: Site, app: App) -> None:
    waits = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    begins = threading.Thread(target=app.register, args=(app.definition("triage"),))
    with psycopg.connect(inbox_site.store_url) as link:
        link.execute("SELECT FROM store.stream FOR SHARE")  # rows are being accepted
        begins.start()
        until = time.monotonic() + 60
        while inbox_site.query(waits) != [(1,)]:
            assert time.monotonic() < until
            time.sleep(0.02)
        link.execute("SET lock_timeout = '20s'")
        link.execute("SELECT FROM store.pipeline FOR KEY SHARE")  # as their foreign keys do
        link.execute("SELECT FROM store.pipeline_version FOR KEY SHARE")
    begins.join(60)
    assert not begins.is_alive()


def test_an_idempotency_key_brings_the_same_and_refuses_another_request(door: Doors) -> None:
    rows = [row(1), row(2)]
    first = door.submit("triage", rows, client="a", idempotency_key="k")
    send(door, 1, body="meanwhile another")
    again = door.submit("triage", rows, client="a", idempotency_key="k")
    assert [ticket.id for ticket in again] == [ticket.id for ticket in first]
    with pytest.raises(errors.RequestRefused, match="another request"):
        door.submit("triage", [row(1)], client="a", idempotency_key="k")
    assert door.submit("triage", [row(3)], client="b", idempotency_key="k")[0].is_new


def test_a_cancelled_request_is_not_done_and_begins_again_when_it_is_sent_again(
    app: App, door: Doors
) -> None:
    id_ = send(door, 1)
    queue = _queue(app)
    (claim,) = queue.claim(_share(app))
    assert one(door, id_).standing == "started"
    cancelled = door.cancel(id_, actor="anna")
    assert cancelled is not None
    assert cancelled.standing == "cancelled"
    assert queue.extend([claim]) == set()  # who holds it is told
    assert queue.claim(_share(app)) == []
    again = send(door, 1)
    assert one(door, again).standing == "queued"
    assert [claim.row_key for claim in queue.claim(_share(app))] == ["1"]
    assert door.cancel("00000000-0000-4000-8000-000000000000", actor="anna") is None


def test_fields_are_forgotten_when_their_time_is_over_and_the_request_says_so(
    inbox_site: Site, app: App, door: Doors
) -> None:
    late, kept = send(door, 1), send(door, 2)
    _execute(inbox_site, f"UPDATE store.inbox SET forget_at = now() WHERE request_id = '{late}'")
    assert doors.inbox(app).forget() == 1
    found = one(door, late)
    assert (found.standing, found.reason) == ("cancelled", "not done while its fields were kept")
    assert one(door, kept).standing == "queued"
    rows = InboxRows(app.store).fetch(app.definition("triage").stream, ["1", "2"])
    assert [found.key for found in rows] == ["2"]
    ((count,),) = inbox_site.query(
        "SELECT count(*) FROM store.audit_event WHERE action = 'request expired'"
    )
    assert count == 1
    assert one(door, send(door, 1)).standing == "queued"


def test_a_version_that_reads_other_columns_finds_the_outcome_too(
    inbox_site: Site, app: App, door: Doors
) -> None:
    id_ = send(door, 1)
    _execute(inbox_site, "UPDATE store.work SET input_hash = gen_random_uuid()")  # as `repoint`
    queue = _queue(app)
    claims = queue.claim(_share(app))
    stream = app.definition("triage").stream
    other = stream.inputs[:1]
    (read,) = InboxRows(app.store).fetch(
        type(stream)(name=stream.name, source="inbox", key=stream.key, inputs=other), ["1"]
    )
    assert read.values == {"body": "It does not print."}
    (moved,) = queue.move([(claims[0], read)])
    assert moved.input_hash == read.input_hash
    assert one(door, id_).standing == "started"
    assert send(door, 1) == id_


def test_a_pipeline_that_came_later_than_the_row_begins_when_it_is_asked(
    inbox_site: Site, door: Doors
) -> None:
    send(door, 1)
    _execute(inbox_site, "DELETE FROM store.work")
    id_ = send(door, 1)
    assert one(door, id_).standing == "queued"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('key = ["id"]\ntable = "ticket"', "table has no meaning here"),
        ('key = ["id"]\npoll_every = "5s"', "poll_every has no meaning here"),
        ('key = ["id"]\nkeep = "5s"', "greater than or equal to 60"),
    ],
)
def test_settings_of_polls_have_no_meaning_for_the_inbox(
    inbox_site: Site, settings: str, said: str
) -> None:
    inbox_site.stream = settings
    inbox_site.write()
    with pytest.raises(errors.SettingsError, match=said), open_app(inbox_site.config):
        pass


def _queue(app: App) -> Any:  # noqa: ANN401
    return enriching.queue(app, [version.version_id for version in app.reports.versions()])


def _share(app: App) -> Any:  # noqa: ANN401
    from insights.model import Share  # noqa: PLC0415

    (version,) = app.reports.versions()
    return [Share(pipeline_version_id=version.version_id, rows=9, isolated=False)]


def _execute(site: Site, statement: str) -> None:
    import psycopg  # noqa: PLC0415

    with psycopg.connect(site.store_url) as connection:
        connection.execute(statement)
