"""`insights pause` and `insights resume`: a person's switch, with its trace in the audit."""

import datetime as dt

import psycopg

from insights.polling.courtesy import Courtesy
from tests.site import Site


def test_a_stream_is_paused_and_resumed_by_a_person(site: Site) -> None:
    site.write()
    with psycopg.connect(site.store_url) as link:
        link.execute(
            "INSERT INTO store.stream (name, stopped_reason, shape) VALUES"
            " ('ticket', NULL, '{}'), ('order', 'column body was TEXT and is INTEGER now', '{}')"
        )
    assert "Stream ticket is paused" in site.insights("pause", "ticket").stdout
    assert "was paused already" in site.insights("pause", "ticket").stdout
    assert "goes on" in site.insights("resume", "ticket").stdout
    assert "goes on" in site.insights("resume", "order").stdout
    assert "neither paused nor stopped" in site.insights("resume", "order").stdout
    assert site.query(
        "SELECT name, paused, stopped_reason, shape FROM store.stream ORDER BY 1"
    ) == [
        ("order", False, None, None),
        ("ticket", False, None, {}),
    ]
    assert site.query(
        "SELECT actor, action, s.name, details ->> 'stopped_reason' FROM store.audit_event"
        " JOIN store.stream s USING (stream_id) JOIN store.audit_chain USING (chain_id) ORDER BY at"
    ) == [
        ("insights pause", "stream paused", "ticket", None),
        ("insights resume", "stream resumed", "ticket", None),
        (
            "insights resume",
            "stream resumed",
            "order",
            "column body was TEXT and is INTEGER now",
        ),
    ]
    refused = site.insights("pause", "tickets", code=78)
    assert "no stream 'tickets'" in refused.stderr


def _quiet_now() -> str:
    """Hours that began an hour ago and end in an hour, past midnight where it must be."""
    now = dt.datetime.now(dt.UTC).astimezone()
    return f"{now - dt.timedelta(hours=1):%H:%M}-{now + dt.timedelta(hours=1):%H:%M}"


def test_in_quiet_hours_neither_poll_nor_sweep_reads_a_row(site: Site) -> None:
    spoken = site.stream
    quiet = f'{spoken}\nquiet_hours = "{_quiet_now()}"'
    site.stream = quiet
    site.write().insights("run", "--once", "--roles", "poll")
    assert site.query("SELECT count(*) FROM store.ledger") == [(0,)]
    site.stream = spoken
    site.write().insights("run", "--once", "--roles", "poll")
    site.query("DELETE FROM store.sweep RETURNING 1")
    site.query("UPDATE store.stream SET sweep_due = true RETURNING 1")
    site.stream = quiet
    site.write().insights("run", "--once", "--roles", "poll")
    assert site.query("SELECT count(*) FROM store.ledger") == [(40,)]
    assert site.query("SELECT sum(rows) FROM store.sweep") in ([(0,)], [(None,)])


def test_quiet_hours_may_span_midnight_and_end_on_the_minute() -> None:
    night = Courtesy(quiet_hours="22:30-06:00")
    wanted = {(22, 29): False, (22, 30): True, (0, 0): True, (5, 59): True, (6, 0): False}
    assert {at: night.quiet(dt.time(*at)) for at in wanted} == wanted
    day = Courtesy(quiet_hours="08:00-10:30")
    wanted = {(7, 59): False, (8, 0): True, (10, 29): True, (10, 30): False}
    assert {at: day.quiet(dt.time(*at)) for at in wanted} == wanted
    assert not Courtesy().quiet(dt.time(9))
