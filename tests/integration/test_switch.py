"""`insights pause` and `insights resume`: a person's switch, with its trace in the audit."""

import psycopg

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
        "SELECT actor, action, s.name, details ->> 'stopped_reason'"
        " FROM store.audit_event JOIN store.stream s USING (stream_id) ORDER BY event_id"
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
