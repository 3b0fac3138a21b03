"""A version that is wrong on purpose, promoted on a running daemon: its share is taken from it."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from insights.model.deployments import key_point
from tests.helpdesk import Helpdesk
from tests.site import SCHEMA, Site

ROWS = 300
SHARE = 0.25
BELOW = {key for key in range(1, ROWS + 1) if key_point(str(key)) < SHARE}
WRONG = {**SCHEMA, "properties": {**SCHEMA["properties"], "category": {"enum": ["wrong"]}}}


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, store_url: str, stand_in: Path) -> Site:
    """A version that is to be shown for a quarter of the keys, and says `wrong` of every row."""
    legacy = Helpdesk(tmp_path / "legacy.sqlite")
    found = Site(tmp_path, store_url, legacy.odbc, stand_in).write()
    (tmp_path / "next.json").write_text(json.dumps(getattr(request, "param", WRONG)))
    (tmp_path / "pipelines" / "triage_next.toml").write_text(
        'version_of = "triage"\nstream = "ticket"\nmodel = "stand_in"\nprompt = "../prompt.j2"\n'
        'schema = "../next.json"\n[sampling]\nmax_tokens = 41\n[guard]\ndiffers = 0.2\n'
    )
    found.insights("migrate")
    found.insights("run", "--once")
    found.insights("promote", "triage_next", "--to", "canary", "--share", f"{SHARE:.0%}", "-y")
    return found


def wrong(site: Site) -> set[int]:
    """Return the rows of the application that show what the wrong version made."""
    found = Helpdesk.of(site.folder / "legacy.sqlite").execute(
        "SELECT ticket_id FROM ai_insight WHERE category = 'wrong'"
    )
    return {int(str(key)) for (key,) in found}


def ended(daemon: subprocess.Popen[str]) -> list[dict[str, object]]:
    daemon.send_signal(signal.SIGTERM)
    _, told = daemon.communicate(timeout=60)
    return [json.loads(line) for line in told.splitlines() if line.startswith("{")]


def test_a_version_that_is_wrong_is_withdrawn_by_the_daemon_that_makes_it(site: Site) -> None:
    Helpdesk.of(site.folder / "legacy.sqlite").add(range(1, ROWS + 1))
    daemon, shown = site.start(), set[int]()
    try:
        until = time.monotonic() + 150
        while time.monotonic() < until:
            shown |= wrong(site)
            held = site.query("SELECT held_reason FROM store.deployment WHERE stage = 'shadow'")
            if held and shown and not wrong(site):
                break
            time.sleep(0.2)
        made = site.query(
            "SELECT count(*) FROM store.insight i JOIN store.deployment d USING"
            " (pipeline_version_id) WHERE i.generated_at < d.changed_at AND d.stage = 'shadow'"
        )
    finally:
        log = ended(daemon)
    (said,) = [one for one in log if str(one["event"]).startswith("a version was withdrawn")]
    assert str(said["reason"]).endswith(
        "rows differ from the live version's; at most 0.2 of them may"
    )
    assert (said["was"], said["share"]) == ("canary", SHARE)
    assert 0 < made[0][0] <= 200
    assert shown <= BELOW  # no other key ever showed it
    assert wrong(site) == set()  # and at the end none does
    status = " ".join(site.insights("status").stdout.split())
    assert "(shadow, 0.25 of the keys)" in status
    assert f"withdrawn: {said['reason']}" in status
    history = json.loads(site.insights("pipeline", "history", "triage", "--json").stdout)
    assert (history[-1]["stage"], history[-1]["why"]) == ("shadow", said["reason"])


@pytest.mark.parametrize("site", [SCHEMA], ids=["equally good"], indirect=True)
def test_an_equally_good_version_keeps_its_share_and_status_says_which_guard_is_nearest(
    site: Site,
) -> None:
    Helpdesk.of(site.folder / "legacy.sqlite").add(range(1, 41))
    site.run_once()
    site.run_once()  # the guards are asked after the rows
    status = " ".join(site.insights("status").stdout.split())
    assert "(canary, 0.25 of the keys)" in status
    made = len([key for key in BELOW if key <= 40])
    words = f"0 of {made} rows differ from the live version's; at most 0.2 of them may"
    assert f"guards hold; the nearest: {words}" in status
