"""What one transaction of a door does: few statements, and the work that a poll would have made."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from insights import errors
from insights.ground import metrics
from insights.model import Prepared, Submission, Ticket
from insights.store.inbox import Inbox
from insights.wiring.app import App, open_app
from tests.site import Site

# A canary of the same pipeline and a shadow, and another pipeline that reads one column less.
OTHERS = """
INSERT INTO store.pipeline (name) VALUES ('other');
INSERT INTO store.pipeline_version (pipeline_id, sha256, definition)
SELECT pipeline_id, repeat(v.sha, 64), '{}' FROM store.pipeline p
JOIN (VALUES ('triage', 'b'), ('triage', 'c'), ('other', 'd')) AS v (name, sha) USING (name);
INSERT INTO store.deployment (pipeline_version_id, pipeline_id, stream_id, columns, stage, share,
                              shown_from, shown_upto, changed_by)
SELECT v.pipeline_version_id, v.pipeline_id, s.stream_id, n.columns::text[], n.stage, n.share,
       0, n.shown, 'test'
FROM (VALUES ('b', 'canary', 0.4, 0.4, '{body,subject}'), ('c', 'shadow', 0.7, 0, '{body}'),
             ('d', 'full', 1, 1, '{body}')) AS n (sha, stage, share, shown, columns)
JOIN store.pipeline_version v ON v.sha256 = repeat(n.sha, 64), store.stream s;
UPDATE store.stream SET generation = generation + 1;
"""
# Work of each version that covers a row's key, and no other.
WRONG = """
SELECT l.row_key, d.pipeline_version_id, w.work_id
FROM (store.ledger l JOIN store.deployment d ON store.covers(0, d.share, l.row_key))
FULL JOIN store.work w ON w.row_id = l.row_id AND w.pipeline_version_id = d.pipeline_version_id
WHERE l.row_id IS NULL OR w.work_id IS NULL OR w.state <> 'pending'
"""


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site.of_inbox(tmp_path, store_url, stand_in, monkeypatch)


@pytest.fixture
def app(site: Site) -> Iterator[App]:
    with open_app(site.config, begin=True) as opened:
        opened.register(opened.definition("triage"))
        yield opened


@pytest.fixture
def inbox(app: App) -> Inbox:
    return Inbox(app.store, "test", bounded=True)


def row(number: int, body: str = "dark") -> Prepared:
    texts = {"body": body, "subject": f"printer {number}"}
    digests = {name: uuid.uuid5(uuid.NAMESPACE_OID, text).bytes for name, text in texts.items()}
    return Prepared(key=f"{number:03}", values=dict(texts), digests=digests)


def sent(*numbers: int, body: str = "dark", **more: Any) -> Submission:  # noqa: ANN401
    rows = tuple(row(number, body) for number in numbers)
    return Submission(pipeline="triage", rows=rows, **{"client": "erp", **more})


def accepted(inbox: Inbox, *submissions: Submission) -> list[tuple[Ticket, ...]]:
    answers = inbox.submit("ticket", submissions)
    found = [answer for answer in answers if isinstance(answer, tuple)]
    assert len(found) == len(answers), answers
    return found


def statements() -> dict[str, float]:
    return {
        sample.labels["name"]: sample.value
        for family in metrics.STATEMENTS.collect()
        for sample in family.samples
        if sample.name.endswith("_count")
    }


def test_new_rows_take_three_statements_however_many_and_whoever_sends_them(inbox: Inbox) -> None:
    accepted(inbox, sent(1))  # what follows the stream is known from now on
    before = statements()
    accepted(inbox, *(sent(10 * n, 10 * n + 1, client=f"c{n}") for n in range(2, 22)))
    asked = {name: n - before.get(name, 0) for name, n in statements().items()}
    assert {name: n for name, n in asked.items() if n} == {
        "inbox.standing_stream": 1,
        "inbox.known_rows": 1,
        "inbox.accept_new": 1,
    }
    before = statements()
    keyed = [sent(500 + n, client="erp", idempotency_key=f"k{n}") for n in range(9)]
    first = accepted(inbox, *keyed)
    assert sum(statements().values()) - sum(before.values()) == 5
    assert accepted(inbox, *keyed) == [
        (Ticket(id=one.id, key=one.key, is_new=False),) for (one,) in first
    ]


def test_new_and_known_rows_become_work_of_each_version_by_its_share(
    site: Site, inbox: Inbox
) -> None:
    accepted(inbox, sent(*range(20), body="before"))
    with psycopg.connect(site.store_url) as link:
        link.execute(OTHERS)
        link.execute("DELETE FROM store.work")
    accepted(inbox, sent(*range(20)), sent(*range(69, 39, -1)))  # newer fields, and rows never seen
    assert site.query(WRONG) == []
    ((made, versions),) = site.query(
        "SELECT count(*), count(DISTINCT pipeline_version_id) FROM store.work"
    )
    assert versions == 4
    assert 2 * 50 < made < 4 * 50
    # A version that reads one column knows a row by the hash of that.
    ((own,),) = site.query(
        "SELECT count(*) FROM store.work w JOIN store.inbox b USING (row_id)"
        " JOIN store.deployment d USING (pipeline_version_id)"
        " WHERE b.fields IS NOT NULL AND w.input_hash = ANY(b.own)"
        "   AND (w.input_hash = b.input_hash) = (cardinality(d.columns) = 2)"
    )
    assert own == made
    order = site.query(
        "SELECT array_agg(l.row_key ORDER BY w.work_id) FROM store.work w"
        " JOIN store.ledger l USING (row_id) JOIN store.deployment d USING (pipeline_version_id)"
        " WHERE d.stage = 'full' AND l.row_key >= '040' GROUP BY pipeline_version_id"
    )
    assert order == [([f"{n:03}" for n in range(69, 39, -1)],)] * 2


def test_a_deadline_of_a_new_row_binds_the_pipeline_that_was_asked_alone(
    site: Site, inbox: Inbox
) -> None:
    with psycopg.connect(site.store_url) as link:
        link.execute(OTHERS)
    accepted(inbox, sent(1, deadline_s=60.0), sent(2))
    found = site.query(
        "SELECT l.row_key, p.name, bool_and(w.not_after > now()) FROM store.work w"
        " JOIN store.ledger l USING (row_id) JOIN store.deployment d USING (pipeline_version_id)"
        " JOIN store.pipeline p USING (pipeline_id) GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert found == [
        ("001", "other", None),
        ("001", "triage", True),
        ("002", "other", None),
        ("002", "triage", None),
    ]


def test_a_row_that_another_accepts_at_that_moment_is_the_same_request(
    site: Site, app: App, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Inbox(app.store, "other")
    met: list[tuple[Ticket, ...]] = []
    followed = Inbox._followed  # the moment after the look

    def meets(self: Inbox, *args: Any) -> Any:  # noqa: ANN401
        if not met:
            met.append(())
            met.extend(accepted(other, sent(7)))
        return followed(self, *args)

    monkeypatch.setattr(Inbox, "_followed", meets)
    (tickets,) = accepted(inbox, sent(7))
    assert met[1] == (Ticket(id=tickets[0].id, key="007", is_new=True),)
    assert not tickets[0].is_new
    assert site.query("SELECT count(*) FROM store.work") == [(1,)]


def test_a_row_that_is_forgotten_while_a_door_waits_for_the_stream_is_kept_out(
    site: Site, inbox: Inbox
) -> None:
    accepted(inbox, sent(1))
    waits = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with ThreadPoolExecutor(1) as pool, psycopg.connect(site.store_url) as link:
        link.execute("SELECT store.forget('ticket', '007', ARRAY[]::text[])")
        answer = pool.submit(inbox.submit, "ticket", [sent(7)])
        until = time.monotonic() + 60
        while site.query(waits) != [(1,)]:
            assert time.monotonic() < until
            time.sleep(0.02)
        link.commit()
        (refused,) = answer.result(60)
    assert isinstance(refused, errors.RequestRefused)
    assert "was forgotten" in refused.what
