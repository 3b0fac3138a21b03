"""From the outbox to the legacy database: real store, real SQLite over ODBC."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from insights import errors
from insights.publishing.sinks import PublishResult
from tests.published import World


@pytest.fixture
def world(store_url: str, tmp_path: Path) -> Iterator[World]:
    made = World(store_url, tmp_path)
    yield made
    made.close()


def test_what_is_due_is_shown_once_and_then_nothing_is_due(world: World) -> None:
    world.make_sink()
    for ticket in range(1, 6):
        world.insight(ticket, "printing")
    publishing = world.publishing()
    assert publishing.publish() == PublishResult(taken=5, delivered=5)
    assert [row[:2] for row in world.shown().values()] == [("printing", "ok")] * 5
    assert publishing.publish() == PublishResult()
    assert publishing.run_once() is False
    assert world.sql("SELECT last_published_at IS NOT NULL, stopped_reason FROM store.sink") == [
        (True, None)
    ]


def test_a_newer_state_replaces_an_undelivered_one(world: World) -> None:
    world.make_sink()
    world.insight(1, "old")
    _, revision = world.insight(1, "new")
    assert world.publishing().publish().taken == 1
    assert world.shown() == {1: ("new", "ok", revision)}


def test_a_state_replaced_while_it_is_published_stays_due(world: World) -> None:
    world.make_sink()
    world.insight(1, "old")
    outbox, sink = world.outbox(), world.sink()
    results = sink.apply(outbox.take(10))
    world.insight(1, "new")
    outbox.settle(results)
    assert world.due() == 1
    world.publishing().publish()
    assert world.shown()[1][0] == "new"


def test_stale_deleted_abstained_and_withheld_rows_show_no_content(world: World) -> None:
    world.make_sink()
    for ticket, status in enumerate(["ok", "ok", "abstained", "withheld"], 1):
        world.insight(ticket, "printing", status)
    publishing = world.publishing()
    publishing.publish()
    world.show(1, "stale")
    world.show(2, "tombstoned")
    publishing.publish()
    assert [row[:2] for row in world.shown().values()] == [
        ("printing", "stale"),
        (None, "tombstoned"),
        (None, "abstained"),
        (None, "withheld"),
    ]
    assert (
        world.legacy(
            "SELECT ticket_id, category, status FROM ticket_with_insight WHERE category IS NOT NULL"
        )
        == []
    )


def test_citations_read_as_people_cite(world: World) -> None:
    world.make_sink()
    insight, _ = world.insight(1, "printing")
    for ordinal, (uri, title) in enumerate(
        [
            ("printers/kb-0042-queue-reset.md", "Printer queue reset"),
            ("manual.v2.pdf", ""),
            ("printers/kb-0042-queue-reset.md", "Printer queue reset"),
            (None, None),
        ]
    ):
        world.sql(
            "INSERT INTO store.citation (insight_id, ordinal, field, source, uri, title)"
            " VALUES (%(insight)s, %(ordinal)s, '/category', 'passage.1', %(uri)s, %(title)s)",
            insight=insight,
            ordinal=ordinal,
            uri=uri,
            title=title,
        )
    world.sql(
        "INSERT INTO store.citation (insight_id, ordinal, field, source, uri, support, claim_start,"
        " claim_end) VALUES (%(insight)s, 9, '/category', 'passage.2', 'other.md', 0.4, 0, 5)",
        insight=insight,
    )
    world.publishing().publish()
    assert world.legacy("SELECT citations FROM ai_insight_triage") == [
        ("KB-0042, Printer queue reset; manual.v2",)
    ]
    # The support of a sentence is for analysts, who see the sentence itself.
    assert world.sql("SELECT claim, support FROM insights.citation WHERE claim IS NOT NULL") == [
        ("print", pytest.approx(0.4))
    ]


def test_one_publisher_at_a_time(world: World) -> None:
    world.make_sink()
    world.insight(1, "printing")
    assert world.publishing("one").publish().delivered == 1
    world.insight(2, "printing")
    assert world.publishing("two").publish() == PublishResult()
    assert world.due() == 1


def test_a_missing_table_stops_the_sink_and_its_ddl_lets_it_go_on(world: World) -> None:
    world.insight(1, "printing")
    publishing = world.publishing()
    with pytest.raises(errors.SinkError, match="does not exist"):
        publishing.publish()
    ((reason,),) = world.sql("SELECT stopped_reason FROM store.sink")
    assert "insights sink ddl helpdesk" in reason
    assert world.due() == 1
    world.make_sink()
    assert publishing.publish().delivered == 1
    assert world.sql("SELECT stopped_reason FROM store.sink") == [(None,)]


def test_a_sink_that_is_back_is_no_longer_stopped_though_nothing_is_due(world: World) -> None:
    publishing = world.publishing()
    with pytest.raises(errors.SinkError):
        publishing.publish()
    world.make_sink()
    assert publishing.publish() == PublishResult()
    assert world.sql("SELECT stopped_reason FROM store.sink") == [(None,)]


def test_a_row_that_the_sink_refuses_is_kept_with_its_reason(world: World) -> None:
    world.make_sink()
    world.legacy("CREATE UNIQUE INDEX one_each ON ai_insight_triage (category)")
    world.insight(1, "printing")
    world.insight(2, "printing")
    world.insight(3, "network")
    assert world.publishing().publish() == PublishResult(taken=3, delivered=2, refused=1)
    outbox = world.outbox()
    assert [row["row_key"] for row in outbox.refused(10)] == ["2"]
    assert world.publishing().publish() == PublishResult()
    world.legacy("DROP INDEX one_each")
    assert outbox.retry(actor="insights sink") == 1
    assert outbox.retry(actor="insights sink") == 0  # nothing was done: nothing is told
    assert world.sql(
        "SELECT c.actor, e.details FROM store.audit_event e JOIN store.audit_chain c"
        " USING (chain_id) WHERE e.action = 'refused rows retried'"
    ) == [("insights sink", {"sink": outbox.sink, "rows": 1})]
    assert world.publishing().publish().delivered == 1
    assert set(world.shown()) == {1, 2, 3}


def test_a_sink_that_was_emptied_is_told_again(world: World) -> None:
    world.make_sink()
    for ticket in range(1, 6):
        world.insight(ticket, "printing")
    world.publishing("one").publish()
    shown = world.shown()
    world.legacy("DELETE FROM ai_insight_triage WHERE ticket_id > 2")
    world.sql("DELETE FROM store.lease")
    assert world.publishing("two").publish().delivered == 3
    assert world.shown() == shown


def test_a_store_that_lost_history_is_not_refused_by_its_sink(world: World) -> None:
    world.make_sink()
    world.insight(1, "a")
    world.insight(2, "b")
    world.publishing("one").publish()
    world.legacy("UPDATE ai_insight_triage SET revision = 5000, category = 'lost'")
    # Meanwhile the rewound store gave row 1 a new insight, below the sink's revisions.
    world.insight(1, "mine")
    world.sql("DELETE FROM store.lease")
    second = world.publishing("two")
    assert second.publish().again == 1
    assert second.publish().delivered == 1
    assert world.shown()[1][0] == "mine"
    assert world.shown()[1][2] > 5000
    _, revision = world.insight(2, "also mine")
    assert revision > 5000
    second.publish()
    assert world.shown()[2][0] == "also mine"


def test_a_row_whose_publisher_died_is_put_off_and_then_tried_alone(world: World) -> None:
    for ticket in range(1, 6):
        world.insight(ticket, "printing")
    outbox = world.outbox()
    states = outbox.take(10)
    for _ in range(3):
        outbox.defer(states[:2])
    assert [state.row_key for state in outbox.take(10)] == ["3", "4", "5"]
    world.sql("UPDATE store.outbox SET not_before = now()")
    assert [state.row_key for state in outbox.take(10)] == ["3", "4", "5"]
    world.sql("UPDATE store.outbox SET delivered_at = now() WHERE attempts = 0")
    assert [state.row_key for state in outbox.take(10)] == ["1"]
