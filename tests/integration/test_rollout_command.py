"""`insights promote` and `rollback`, from a shadow to everyone and back, on a real sink."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from insights.model.deployments import key_point
from tests.helpdesk import Helpdesk
from tests.site import PROMPT, Site

ROWS = range(1, 9)
SHARE = "50%"
BELOW = {key for key in ROWS if key_point(str(key)) < 0.5}


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path) -> Site:
    """An installation with eight tickets and a sink, and a second version in files of its own."""
    legacy = Helpdesk(tmp_path / "legacy.sqlite", len(ROWS))
    found = Site(tmp_path, store_url, legacy.odbc, stand_in).write()
    found.insights("migrate")
    found.run_once()
    (tmp_path / "next.j2").write_text(PROMPT + "Be brief.\n")
    (tmp_path / "pipelines" / "triage_next.toml").write_text(
        'version_of = "triage"\nstream = "ticket"\nmodel = "stand_in"\nprompt = "../next.j2"\n'
        'schema = "../schema.json"\n[sampling]\nmax_tokens = 40\n'
    )
    return found


def screen(site: Site) -> list[tuple[object, ...]]:
    """Return all that the application could read."""
    return Helpdesk.of(site.folder / "legacy.sqlite").execute(
        "SELECT * FROM ai_insight ORDER BY ticket_id"
    )


def versions(site: Site) -> dict[str, int]:
    """Return how many rows of the application show what each version made."""
    found = Helpdesk.of(site.folder / "legacy.sqlite").execute(
        "SELECT pipeline_version FROM ai_insight"
    )
    return Counter(str(version) for (version,) in found)


def command(site: Site, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.insights(*arguments, "--json").stdout)
    return found


def test_from_a_shadow_to_everyone_and_back(site: Site) -> None:
    site.insights("migrate")  # the second version's files need no view of their own
    before = screen(site)
    old = next(iter(versions(site)))
    assert site.run_once()["insights"] == 0
    told = command(site, "promote", "triage_next", "--to", "shadow", "--backfill", "--yes")
    assert (told["was"], told["queued"], told["shown"]) == ("shadow", 8, 0)
    new = told["version"]
    assert site.run_once()["insights"] == 8  # one daemon has the files of both
    assert screen(site) == before
    canary = ("promote", "triage_next", "--to", "canary", "--share", SHARE)
    preview = site.insights(*canary, "--preview")
    assert f"shown for {len(BELOW)} of 8 rows" in preview.stdout
    refused = site.insights(*canary, code=1)  # nobody says yes
    assert "Do it?" in refused.stdout
    assert versions(site) == {old: 8}
    command(site, *canary, "--why", "faster", "--yes")
    site.run_once()
    assert versions(site) == {old: 8 - len(BELOW), new: len(BELOW)}
    status = site.insights("status").stdout
    assert f"version {new[:12]} (canary, 0.5 of the keys)" in " ".join(status.split())
    back = command(site, "rollback", "triage", "--why", "rude", "--yes")
    assert (back["version"], back["stage"], back["shown"]) == (new, "retired", len(BELOW))
    site.run_once()
    assert versions(site) == {old: 8}
    command(site, "promote", "triage", new[:10], "--yes")
    site.run_once()
    assert versions(site) == {new: 8}
    history = json.loads(site.insights("pipeline", "history", "triage", "--json").stdout)
    assert [(one["pipeline_version"], one["stage"]) for one in history] == [
        (old, "full"), (new, "shadow"), (new, "shadow"), (new, "canary"), (new, "full"),
    ]  # fmt: skip
    assert history[3]["why"] == "faster"
    assert [one["until"] is None for one in history] == [False, False, False, False, True]


def test_a_share_of_a_version_with_other_properties_is_refused(site: Site) -> None:
    file = site.folder / "pipelines" / "triage_next.toml"
    schema = site.folder / "other.json"
    schema.write_text(json.dumps(site.schema).replace('"urgent"', '"pressing"'))
    file.write_text(file.read_text().replace("../schema.json", "../other.json"))
    site.insights("run", "--once", "--roles", "poll")
    refused = site.insights("promote", "triage_next", "--to", "canary", "--yes", code=78)
    assert "differ in ['pressing', 'urgent']" in refused.stderr
    command(site, "promote", "triage_next", "--to", "shadow", "--share", "20%", "--yes")


def test_what_is_no_version_of_a_pipeline_is_refused_by_name(site: Site) -> None:
    file = site.folder / "pipelines" / "triage_next.toml"
    text = file.read_text()
    file.write_text(text.replace('"triage"', '"triag"'))
    refused = site.insights("status", code=78)
    assert "there is no pipeline 'triag' to be a version of" in refused.stderr
    file.write_text('sink = "legacy2"\n' + text)
    refused = site.insights("status", code=78)
    assert "versions of triage follow its stream and tell its sink" in refused.stderr
