"""A budget from the settings to the exit code, `insights budget`, status and health."""

import json

from insights import errors
from tests.answering import answering
from tests.site import Site

BUDGET = '[budget.few]\nstream = "ticket"\nunit = "rows"\nhard = {}\n'


def test_a_budget_ends_a_run_and_is_shown_everywhere(site: Site) -> None:
    site.extra = BUDGET.format(7)
    ended = site.write().insights("run", "--once", code=errors.BudgetUsedUp.exit_code)
    assert "33 rows wait: the budget few is used up until" in " ".join(ended.stderr.split())
    assert site.query("SELECT count(*) FROM store.insight")[0][0] == 7
    (found,) = json.loads(site.insights("budget", "--json").stdout)
    assert (found["used"], found["left"], found["state"]) == (7, 0, "stopped")
    assert found["concerns"] == "stream ticket"
    assert "few" in site.insights("budget").stdout
    said = " ".join(site.insights("status").stdout.split())
    assert "budget few of stream ticket: 7 of 7 hard rows a day; used up" in said
    with answering(site) as daemon:
        daemon.until(lambda: "budget few" in daemon.get("/healthz?verbose")[1])
        daemon.until(lambda: daemon.get("/readyz")[0] == 200)
        daemon.until(lambda: 'insights_budget_used{budget="few"' in daemon.get("/metrics")[1])
    site.extra = BUDGET.format(41)
    site.write().insights("run", "--once")
    assert site.query("SELECT count(*) FROM store.insight")[0][0] == 40
    assert site.query("SELECT used FROM store.budget")[0][0] == 40
    assert site.query("SELECT count(*) FROM store.insight WHERE compute_ms > 0")[0][0] == 40
