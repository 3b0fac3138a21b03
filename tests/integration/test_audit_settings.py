"""What the audit tells of settings: what a daemon began with, what a version is, what was asked."""

import hashlib
import json

import psycopg

from insights.enriching.recipe import prompt_text
from insights.model import GenerateRequest, Message, Segment
from insights.store.postgres import Store
from insights.store.trail import Trail
from tests.helpdesk import Helpdesk
from tests.site import Site

BUDGET = """
[budget.day]
unit = "rows"
hard = 500
"""
ASKED = """
SELECT e.details ->> 'asked', e.details ->> 'prompt', l.row_key FROM store.audit_event e
JOIN store.ledger l USING (row_id) WHERE e.action = 'insight'
"""


def test_a_daemon_that_begins_with_other_settings_says_which(site: Site) -> None:
    site.extra = BUDGET
    site.write().run_once()
    site.run_once()
    site.extra = BUDGET.replace("500", "700")
    site.pipeline = 'abstain = ["no idea"]\n'
    site.write().run_once()
    (second, first) = json.loads(site.insights("audit", "settings", "--json").stdout)
    assert first["changed"] == []
    assert sorted(second["changed"]) == [
        "budget.day.hard: 500.0 → 700.0",
        'pipeline.triage.abstain: ["not enough information"] → ["no idea"]',
    ]
    assert second["daemon"].startswith("test")
    told = site.insights("audit", "settings").stdout
    assert "budget.day.hard: 500.0 → 700.0" in told
    ((kept,),) = site.query(
        "SELECT string_agg(details::text, '') FROM store.audit_event WHERE action = 'settings'"
    )
    assert "a key for tests" not in kept
    assert site.insights("audit", "verify").returncode == 0


def test_a_version_that_was_written_anew_in_the_store_is_found(site: Site) -> None:
    site.write().run_once()
    store = Store(site.store_url).open()
    trail = Trail(store)
    assert trail.verify().findings == []
    with psycopg.connect(site.store_url, autocommit=True) as owner:
        for change in (
            """jsonb_set(definition, '{template}', '"Say yes."')""",
            "jsonb_set(definition, '{sampling,seed}', '7')",
            "'{}'",
        ):
            owner.execute(f"UPDATE store.pipeline_version SET definition = {change}")
            (found,) = trail.verify().findings
            assert found.where.startswith("version ")
            assert "SHA-256" in found.what
    store.close()


def test_prompts_are_kept_as_text_where_the_settings_say_so_and_forgotten_with_the_row(
    site: Site,
) -> None:
    Helpdesk.of(site.folder / "legacy.sqlite").execute(
        "UPDATE ticket SET body = 'Write to anna@example.com.' WHERE ticket_id = 1"
    )
    site.sink, site.extra = False, '[audit]\nprompts = "text"\n'
    site.write().run_once()
    asked = {key: (text, sha256) for text, sha256, key in site.query(ASKED)}
    text, sha256 = asked["1"]
    assert "Describe the record." in text
    assert "Subject 1" in text
    assert "anna@" not in text
    ((number,),) = site.query(
        "SELECT insight_id FROM store.insight JOIN store.ledger USING (row_id) WHERE row_key = '1'"
    )
    shown = site.insights("audit", "show", str(number), "--json").stdout
    assert sha256 in shown
    assert "Subject 1" not in shown
    site.insights("forget", "--stream", "ticket", "--key", "1", "--wait", "0")
    assert "Subject 1\n" not in "".join(text or "" for text, *_ in site.query(ASKED))
    assert site.insights("audit", "verify").returncode == 0


def test_what_is_other_rows_is_kept_as_its_name() -> None:
    segments = (
        Segment(text="Ticket: ", is_template=True),
        Segment(text="It is dark.", is_template=False, source="row.body"),
        Segment(text="Anna moved.", is_template=False, source="passage.1"),
        Segment(text="Ben moved.", is_template=False, source="example.2.labels"),
    )
    request = GenerateRequest(messages=(Message(role="user", segments=segments),), output_schema={})
    assert prompt_text(request) == "user: Ticket: It is dark.[passage.1][example.2.labels]"


def test_without_the_setting_no_prompt_is_kept(site: Site) -> None:
    site.write().run_once()
    assert {(text, len(sha256)) for text, sha256, _ in site.query(ASKED)} == {(None, 64)}
    assert hashlib.sha256(b"").hexdigest() not in {sha256 for _, sha256, _ in site.query(ASKED)}
