"""A row that others were shown is forgotten: its document goes, and what others made of it."""

import pytest
from typer.testing import CliRunner

from insights import cli, errors
from insights.store.forgetting import Forgetting
from insights.store.postgres import Store
from insights.store.trail import Trail
from insights.wiring import app
from insights.wiring.daemon import ALL_ROLES, build
from tests.forgetting import standing
from tests.helpdesk import Helpdesk
from tests.integration.test_examples import cases, command  # noqa: F401 - a fixture
from tests.site import Site

ITS_OWN = ("paper jam, ask", "printer shows")  # of row 1 alone
ALL = (
    "SELECT p.name, l.row_key, i.insight_id, i.neighbour ->> 'uri' FROM store.insight i"
    " JOIN store.ledger l USING (row_id) JOIN store.pipeline_version USING (pipeline_version_id)"
    " JOIN store.pipeline p USING (pipeline_id)"
)


def work(site: Site) -> None:
    with app.open_app(site.config, begin=True) as wired:
        build(wired, ALL_ROLES, once=True).run_once(lambda _: None)


@pytest.mark.usefixtures("cases")
def test_what_others_were_shown_of_a_row_goes_and_is_made_again(cases: Site) -> None:  # noqa: F811
    work(cases)
    legacy = Helpdesk.of(cases.folder / "legacy.sqlite")
    former = {(pipeline, key): (id_, near) for pipeline, key, id_, near in cases.query(ALL)}
    assert former["similar", "4"][1] == former["triage", "4"][1] == "1"
    assert {"store.passage", "store.lexeme"} <= set(standing(cases.store_url, "ask", "printer"))
    asked = ["-c", str(cases.config), "forget", "-s", "resolved", "-k", "1", "--wait", "0"]
    done = CliRunner().invoke(cli.app, asked)
    assert isinstance(done.exception, errors.Unfinished)  # the sink shows what a row was shown
    assert standing(cases.store_url, *ITS_OWN) == []
    assert cases.query("SELECT 1 FROM store.lexeme WHERE lexeme = 'ask'") == []
    assert cases.query("SELECT 1 FROM store.lexeme WHERE lexeme ~ '^printer'") != []
    assert cases.query("SELECT uri FROM store.document ORDER BY 1") == [("2",), ("3",)]
    assert {key for _, key, *_ in cases.query(ALL)} == {"5", "6"}
    work(cases)
    assert cases.query("SELECT state FROM store.forgotten") == [("completed",)]
    now = {(pipeline, key): (id_, near) for pipeline, key, id_, near in cases.query(ALL)}
    assert now.keys() == former.keys()
    for (pipeline, key), (id_, near) in now.items():
        assert (id_ == former[pipeline, key][0]) == (key != "4"), (pipeline, key)
        assert near != "1"
    assert now["similar", "4"][1] == "2"
    (shown,) = legacy.execute("SELECT status, insight_id FROM ai_insight WHERE ticket_id = 4")
    assert shown[1] == now["triage", "4"][0]
    assert cases.query("SELECT 1 FROM store.citation WHERE uri = '1'") == []
    # It is still in the legacy table: neither a comparison nor a change brings it back.
    command(cases, "knowledge", "sync")
    legacy.execute("UPDATE ticket SET body = body || ' Again.' WHERE ticket_id = 1")
    work(cases)
    assert standing(cases.store_url, *ITS_OWN) == []
    store = Store(cases.store_url).open()
    assert Trail(store).verify().findings == []
    Forgetting(store).allow("resolved", "1")
    store.close()
    command(cases, "knowledge", "sync")
    assert "store.passage" in standing(cases.store_url, *ITS_OWN)
