"""How sure the model was goes from its logits to the store, the views and the sink."""

import pytest

from insights import errors
from tests.helpdesk import Helpdesk
from tests.site import Site


def test_confidence_reaches_store_views_and_a_sink_that_has_room(site: Site) -> None:
    legacy = Helpdesk.of(site.folder / "legacy.sqlite")
    legacy.execute("ALTER TABLE ai_insight ADD COLUMN confidence DOUBLE")
    site.run_once()
    fields: dict[int, dict[str, float]] = {}
    for insight, field, sure in site.query(
        "SELECT insight_id, field, confidence FROM insights.confidence"
    ):
        assert 0 < sure <= 1
        fields.setdefault(insight, {})[field] = sure
    made = dict(site.query("SELECT insight_id, confidence FROM store.insight WHERE status = 'ok'"))
    assert made
    assert set(fields) == set(made)
    for insight, sure in made.items():
        assert set(fields[insight]) == {"/category", "/urgent"}
        assert sure == pytest.approx(min(fields[insight].values()))
    seen = dict(site.query("SELECT insight_id, confidence FROM insights.triage"))
    assert seen == made
    told = legacy.execute("SELECT insight_id, confidence FROM ai_insight WHERE status = 'ok'")
    shown = {row[0]: row[1] for row in told}
    assert shown == pytest.approx(made)
    assert len({round(sure, 6) for sure in made.values()}) > 1  # each of its own row


def test_a_sink_made_by_its_ddl_has_room_where_the_settings_want_it(site: Site) -> None:
    legacy = Helpdesk.of(site.folder / "legacy.sqlite")
    site.extra += "confidence = true\n"  # the sink is the last section
    site.write()
    missing = site.insights("sink", "check", "legacy", code=errors.SinkError.exit_code)
    assert "lacks column confidence" in missing.stderr
    legacy.execute("DROP TABLE ai_insight")
    legacy.execute(site.insights("sink", "ddl", "legacy").stdout.split(";")[0])
    site.insights("sink", "check", "legacy")
    site.run_once()
    made = dict(site.query("SELECT insight_id, confidence FROM store.insight WHERE status = 'ok'"))
    assert made
    told = legacy.execute("SELECT insight_id, confidence FROM ai_insight WHERE status = 'ok'")
    assert {row[0]: row[1] for row in told} == pytest.approx(made)
