"""Insights go by age, of rows that stand as well: from store and sink, and the audit holds."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from insights.governance.chain import Finding
from insights.model import Share
from insights.store.forgetting import Forgetting
from insights.store.insights import InsightStore
from insights.store.postgres import Store
from insights.store.trail import Trail
from tests import claiming
from tests.claiming import finished, queue
from tests.forgetting import OTHERS, ZELDA, persons, say
from tests.site import Site

DAY_S = 86_400.0
AGE = "UPDATE store.insight SET generated_at = now() - interval '31 days' WHERE insight_id <= %s"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    claiming.fill(store_url, 6)
    opened = Store(store_url).open()
    claims = queue(opened, "d", [1]).claim([Share(pipeline_version_id=1, rows=6)])
    InsightStore(opened, "d").write([finished(claim) for claim in claims])
    yield opened
    opened.close()


def findings(store: Store) -> list[Finding]:
    return Trail(store).verify().findings


def test_the_oldest_go_so_many_at_a_time_and_no_younger_one(store: Store, store_url: str) -> None:
    expiring = Forgetting(store)
    assert expiring.expire_insights(30 * DAY_S, 4) == 0
    with psycopg.connect(store_url, autocommit=True) as owner:
        owner.execute(AGE, (3,))
        assert [expiring.expire_insights(30 * DAY_S, 2) for _ in range(3)] == [2, 1, 0]
        assert owner.execute("SELECT array_agg(insight_id) FROM store.insight").fetchone() == (
            [4, 5, 6],
        )
        assert owner.execute("SELECT count(*) FROM store.work").fetchone() == (3,)
        told = owner.execute(
            "SELECT details ->> 'insights', jsonb_array_length(details -> 'events')"
            " FROM store.audit_event WHERE action = 'forgotten' ORDER BY number"
        ).fetchall()
        assert told == [("2", 2), ("1", 1)]
        assert findings(store) == []
        emptied = owner.execute(
            "SELECT DISTINCT row_id, insight_id, details FROM store.audit_event"
            " WHERE action = 'insight' AND insight_id IS NULL"
        ).fetchall()
        assert emptied == [(None, None, {"forgotten": None})]
        assert owner.execute(
            "SELECT ok, skipped, rows_known FROM insights.completeness"
        ).fetchone() == (3, 3, 6)
        # Whoever takes one away without the function is found out.
        owner.execute("DELETE FROM store.insight WHERE insight_id = 5")
        owner.execute("DELETE FROM store.current_insight WHERE insight_id = 5")
    assert [found.where for found in findings(store)] == ["insight 5"]


def test_a_sink_shows_nothing_of_them_and_a_row_that_changes_is_made_again(
    site: Site, tmp_path: Path
) -> None:
    desk = persons(site, tmp_path)
    site.run_once()
    with psycopg.connect(site.store_url, autocommit=True) as owner:
        owner.execute(AGE, (10**9,))
    store = Store(site.store_url).open()
    assert Forgetting(store).expire_insights(30 * DAY_S, 100) == 1 + len(OTHERS)
    say(desk, ZELDA, "another teapot is silent", "2026-02-01 00:00:00")
    site.run_once()
    shown = desk.execute(
        "SELECT login FROM ai_insight WHERE status = 'tombstoned' AND quote IS NULL"
    )
    assert sorted(shown) == sorted((name,) for name in OTHERS)
    assert desk.execute("SELECT count(insight_id) FROM ai_insight") == [(1,)]
    assert findings(store) == []
    store.close()
