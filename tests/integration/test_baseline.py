"""A row for which no model can answer has the baseline's answer, marked, on a real installation."""

import json
from pathlib import Path

import pytest

from tests.helpdesk import Helpdesk
from tests.site import Site

LONG = "no paper in the printer. " * 400  # far more tokens than the model has room for
BASELINE = """
[baseline]
columns = { category = "subject" }
values = { category = "question", urgent = false }
"""


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path) -> Site:
    """Three tickets: one as usual, one that is too long, one whose subject is no category."""
    legacy = Helpdesk(tmp_path / "legacy.sqlite", 3)
    legacy.execute("UPDATE ticket SET subject = 'other', body = ? WHERE ticket_id = 2", LONG)
    legacy.execute("UPDATE ticket SET subject = 'paper', body = ? WHERE ticket_id = 3", LONG)
    found = Site(tmp_path, store_url, legacy.odbc, stand_in, pipeline=BASELINE).write()
    found.insights("migrate")
    return found


def test_a_row_that_is_too_long_for_its_model_has_the_baseline_s_answer(site: Site) -> None:
    done = site.run_once()
    assert (done["insights"], done["dead"]) == (2, 1)
    made = site.query(
        "SELECT l.row_key, i.status, i.output, i.model, i.route, i.notes, i.prompt_tokens"
        " FROM store.insight i JOIN store.ledger l USING (row_id) ORDER BY 1"
    )
    assert [(row[0], row[1]) for row in made] == [("1", "ok"), ("2", "ok")]
    assert made[0][3] != "baseline"
    assert not made[0][5]
    _, _, output, model, route, notes, tokens = made[1]
    assert (output, model, route) == (
        {"category": "other", "urgent": False},
        "baseline",
        "baseline",
    )
    assert notes[0].startswith("the baseline answers, no model: ")
    assert not tokens
    screen = Helpdesk.of(site.folder / "legacy.sqlite").execute(
        "SELECT ticket_id, category, model FROM ai_insight WHERE model = 'baseline'"
    )
    assert screen == [(2, "other", "baseline")]
    # What the baseline says of the third is no category: the row stays a dead letter, as without.
    (dead,) = json.loads(site.insights("dead", "list", "--json").stdout)
    assert dead["row_key"] == "3"
    # It decides what is shown, and so it is part of the version, by name.
    shown = json.loads(site.insights("pipeline", "show", "triage", "--json").stdout)
    assert "baseline" in json.dumps(shown)
