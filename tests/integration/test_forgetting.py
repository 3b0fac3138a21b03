"""One row is forgotten: in store and sink nothing of it is left, and it does not come back."""

import json
import signal
from pathlib import Path

import pytest

from insights import errors
from insights.store.postgres import Store
from insights.store.trail import Trail
from tests.forgetting import OTHERS, WORDS, ZELDA, persons, say, standing
from tests.helpdesk import Helpdesk
from tests.site import Site


@pytest.fixture
def desk(site: Site, tmp_path: Path) -> Helpdesk:
    legacy = persons(site, tmp_path)
    site.run_once()
    assert WORDS in str(legacy.execute("SELECT * FROM ai_insight"))
    assert {"store.ledger", "store.insight"} <= set(standing(site.store_url, ZELDA, WORDS))
    return legacy


def forget(site: Site, *more: str, code: int = 0) -> str:
    done = site.insights("forget", "--stream", "ticket", "--key", ZELDA, *more, code=code)
    assert ZELDA not in done.stdout + done.stderr
    return done.stdout


def shown(legacy: Helpdesk) -> list[tuple[object, ...]]:
    """Return what the sink holds of the row but its key and the revision."""
    return legacy.execute(
        "SELECT status, quote, citations, insight_id, source_cursor, pipeline_version, model,"
        " generated_at FROM ai_insight WHERE login = ?",
        ZELDA,
    )


EMPTIED = [("tombstoned", None, None, None, None, None, None, None)]


def verified(site: Site) -> None:
    store = Store(site.store_url).open()
    assert Trail(store).verify().findings == []
    store.close()


def test_a_forgotten_row_is_nowhere_and_does_not_come_back(site: Site, desk: Helpdesk) -> None:
    site.insights("try", ZELDA)  # the audit tells that it was read
    prove = ("forget", "-s", "ticket", "-k", ZELDA, "--prove", "--text")
    done = site.insights(*prove, WORDS.upper(), code=errors.NotForgotten.exit_code)
    found = {
        line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line.split()[0] == "1"
    }
    assert {
        "ledger",
        "insights",
        "work and dead letters",
        "outbox",
        "sink legacy",
        "sink legacy, by words",
    } <= {place.strip() for place in found}
    assert any(place.startswith("store.insight (") for place in found)
    assert ZELDA not in done.stdout + done.stderr
    number = site.query("SELECT row_id FROM store.ledger WHERE row_key = %s", ZELDA)[0][0]
    told = forget(site, "--wait", "0", "--json", code=errors.Unfinished.exit_code)
    assert json.loads(told)["sinks"] == ["legacy"]
    assert standing(site.store_url, WORDS) == []
    assert set(standing(site.store_url, ZELDA)) == {"store.ledger"}  # for the sink alone
    assert "waiting for legacy" in site.insights("status").stdout.replace("\n", " ")
    assert shown(desk) != EMPTIED
    say(desk, ZELDA, f"{WORDS} still", "2026-02-01 00:00:00")
    site.run_once()
    assert (shown(desk), standing(site.store_url, ZELDA, WORDS)) == (EMPTIED, [])
    say(desk, ZELDA, f"{WORDS} again", "2026-03-01 00:00:00")
    site.run_once()  # the row is on the replica, and is the last of its page
    assert (shown(desk), standing(site.store_url, ZELDA, WORDS)) == (EMPTIED, [])
    proved = json.loads(site.insights(*prove, WORDS, "--json").stdout)
    assert (proved["found"], ZELDA in str(proved)) == (0, False)
    assert "emptied row" in str(proved["notes"])
    looked = {one["place"].partition(" ")[0] for one in proved["places"]}
    assert {"sink", "vectors", "store.outbox", "store.audit_event", "store.inbox"} <= looked
    (report,) = json.loads(site.insights("status", "--json").stdout)["forgotten"]
    assert (report["rows"], report["unfinished"]) == (1, 0)
    assert report["held_back"] >= 4
    assert "stay out" in site.insights("status").stdout
    # Everybody else is as before, and the audit holds; of the row it has times and hashes.
    assert site.query("SELECT count(*) FROM insights.current") == [(len(OTHERS),)]
    for table in ("audit_event", "work", "insight", "outbox", "current_insight", "request"):
        assert site.query(f"SELECT 1 FROM store.{table} WHERE row_id = %s", number) == []
    verified(site)
    actions = site.query(
        "SELECT array_agg(DISTINCT action ORDER BY action) FROM store.audit_event"
        " WHERE details ? 'forgotten' AND action <> 'forgotten'"
    )
    assert actions == [(["insight", "row read"],)]


def test_what_was_forgotten_may_be_let_in_again(site: Site, desk: Helpdesk) -> None:
    forget(site, "--wait", "0", code=errors.Unfinished.exit_code)
    assert "not over" in site.insights(
        "forget", "--stream", "ticket", "--key", ZELDA, "--undo", code=30
    ).stderr.replace("\n", " ")
    site.run_once()
    assert "may be recorded again" in forget(site, "--undo")
    site.run_once()
    assert shown(desk)[0][:2] == ("ok", WORDS)
    assert site.query("SELECT 1 FROM store.forgotten") == []
    verified(site)


def test_a_kill_anywhere_is_gone_on_from(site: Site, desk: Helpdesk) -> None:
    for stage in ("before-forget-commit", "after-forget"):
        assert shown(desk)[0][:2] == ("ok", WORDS)
        assert site.query("SELECT 1 FROM store.forgotten") == []  # a cut transaction leaves nothing
        command = ("forget", "--stream", "ticket", "--key", ZELDA)
        site.insights(*command, code=-signal.SIGKILL, env={"INSIGHTS_FAILPOINT": stage})
    for stage in ("after-publish", "after-forget-step"):
        assert site.killed(stage)
    site.run_once()
    assert (shown(desk), standing(site.store_url, ZELDA, WORDS)) == (EMPTIED, [])
    assert site.query("SELECT state FROM store.forgotten") == [("completed",)]
    verified(site)
