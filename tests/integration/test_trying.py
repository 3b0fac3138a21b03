"""`insights try` writes nothing but who read which row; in the legacy database, nothing."""

import json
import os
import pwd
import subprocess

import psycopg

from tests.helpdesk import Helpdesk
from tests.site import Site

# Whatever a command may have written: rows of each table of the store, as text.
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'store' ORDER BY 1"


def _contents(site: Site) -> dict[str, list[str]]:
    return {
        name: sorted(text for (text,) in site.query(f'SELECT t::text FROM store."{name}" t'))
        for (name,) in site.query(TABLES)
        if name not in ("audit_chain", "audit_event")
    }


def _read(site: Site) -> list[tuple[object, ...]]:
    return site.query(
        "SELECT c.actor, l.row_key, e.details ->> 'key', e.details ->> 'pipeline',"
        " e.details ->> 'user'"
        " FROM store.audit_event e JOIN store.audit_chain c USING (chain_id)"
        " LEFT JOIN store.ledger l USING (row_id)"
        " WHERE e.action = 'row read' ORDER BY e.chain_id, e.number"
    )


def _hashed(site: Site, key: str) -> str:
    hashed = "left(encode(sha256(convert_to(value || %s, 'UTF8')), 'hex'), 32)"
    ((found,),) = site.query(f"SELECT {hashed} FROM store.setting WHERE name = 'key_salt'", key)
    return str(found)


def test_who_read_which_row_is_told_before_and_after_it_is_known(site: Site) -> None:
    site.insights("try", "1")
    user = pwd.getpwuid(os.getuid()).pw_name
    assert _read(site) == [("insights try", None, _hashed(site, "1"), "triage", user)]
    site.run_once()
    site.insights("try", "--sample", "2", "--json")
    site.insights("redact", "test", "ticket", "--key", "2")
    assert [(actor, key) for actor, key, *_ in _read(site)[1:3]] == [
        ("insights try", one["key"])
        for one in json.loads(site.insights("try", "--sample", "2", "--json").stdout)[0]["tried"]
    ]
    assert ("insights redact test", "2", _hashed(site, "2"), None, user) in _read(site)
    assert site.insights("audit", "verify")


def test_no_row_is_shown_that_the_audit_cannot_be_told_of(site: Site) -> None:
    with psycopg.connect(site.store_url) as owner:
        owner.execute("ALTER FUNCTION store.append_events RENAME TO append_events_away")
    for command in (("try", "1"), ("try", "--sample", "2"), ("redact", "test", "ticket")):
        refused = subprocess.run(
            site.command(*command), check=False, capture_output=True, text=True, env=site.env()
        )
        assert refused.returncode != 0
        assert refused.stdout == ""


def test_a_trial_of_a_new_pipeline_leaves_the_store_as_it_was(site: Site) -> None:
    before = _contents(site)
    site.insights("try", "--sample", "3")
    site.insights("try", "1")
    assert _contents(site) == before
    assert before["pipeline"] == []


def test_a_trial_of_a_changed_pipeline_deploys_nothing(site: Site) -> None:
    site.run_once()
    legacy = Helpdesk.of(site.folder / "legacy.sqlite")
    shown = legacy.execute("SELECT * FROM ai_insight ORDER BY 1")
    before = _contents(site)
    (live,) = site.query("SELECT stage, pipeline_version_id FROM store.deployment")
    site.prompt += "One more line.\n"
    site.write()
    tried = site.insights("try", "--sample", "3")
    assert "another version" not in tried.stderr  # what is new becomes live by itself
    assert _contents(site) == before
    assert site.query("SELECT stage, pipeline_version_id FROM store.deployment") == [live]
    assert legacy.execute("SELECT * FROM ai_insight ORDER BY 1") == shown
    assert site.run_once()  # the new version is registered here, and by nothing before


def test_a_trial_of_a_retired_version_says_that_another_is_live(site: Site) -> None:
    site.run_once()
    former = site.prompt
    site.prompt += "One more line.\n"
    site.write().run_once()
    site.prompt = former
    site.write()
    assert "another version of this pipeline is live" in site.insights("try", "1").stderr


def test_a_trial_judges_as_the_daemon_does(site: Site) -> None:
    site.schema["properties"]["summary"] = {"type": "string", "minLength": 6, "maxLength": 12}
    site.schema["required"].append("summary")
    site.pipeline, site.sink = "min_support = 0.99", False
    site.write().insights("migrate")
    one = json.loads(site.insights("try", "1", "--json").stdout)["verdict"]
    (same,) = json.loads(site.insights("try", "--sample", "1", "--json").stdout)[0]["tried"]
    site.run_once()
    written = site.query("SELECT status FROM insights.triage WHERE row_key = %s", same["key"])
    assert one["status"] == "withheld"
    assert "support" in one["reason"]
    assert [one["status"], same["status"]] == [status for (status,) in written] * 2
