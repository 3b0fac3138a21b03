"""Placeholders restored in what a sink shows: sealed in between, and gone once it was told."""

from pathlib import Path

from tests.helpdesk import SINK, Helpdesk
from tests.site import Site

SECRETS = ("DE89370400440532013000", "zelda.quimby@planted.example")
QUOTE = SINK.replace("category VARCHAR(32)", "quote VARCHAR(200)").replace(" urgent BOOLEAN,", "")


def _restoring(site: Site, folder: Path) -> Helpdesk:
    legacy = Helpdesk.of(folder / "legacy.sqlite")
    legacy.execute("DELETE FROM ticket WHERE ticket_id > 8")
    legacy.execute("DROP TABLE ai_insight")
    # One word of each row is a placeholder, and a quote is at least a word.
    legacy.execute("UPDATE ticket SET body = ?", SECRETS[0])
    legacy.execute("UPDATE ticket SET body = ? WHERE ticket_id > 4", SECRETS[1])
    site.prompt = "{{ row.body }}"
    site.schema = {
        "type": "object",
        "properties": {"quote": {"type": "string", "x-quote": "row.body"}},
        "required": ["quote"],
        "additionalProperties": False,
    }
    site.extra = 'restore = ["iban"]'  # of the sink, which is the section before
    site.environment["INSIGHTS_CREDENTIAL_SEAL_KEY"] = "a seal for tests"
    site.write()
    site.insights("migrate")
    return legacy


def _shown(legacy: Helpdesk) -> str:
    rows = legacy.execute("SELECT quote FROM ai_insight WHERE status IN ('ok', 'stale')")
    return " ".join(str(quote) for (quote,) in rows)


def _sealed(site: Site) -> str:
    waits = site.query("SELECT sealed FROM store.outbox WHERE sealed IS NOT NULL")
    return " ".join(str(sealed) for (sealed,) in waits)


def test_what_is_published_is_restored_and_its_seal_is_gone_then(
    site: Site, tmp_path: Path
) -> None:
    legacy = _restoring(site, tmp_path)
    # Nobody publishes yet: what the sink shall show waits.
    site.insights("run", "--once", "--roles", "poll,enrich")
    waiting = _sealed(site)
    assert "<IBAN_1>" in waiting
    assert "<EMAIL_1>" not in waiting  # a kind that is not restored
    assert not any(secret in waiting for secret in SECRETS)
    legacy.execute(QUOTE)
    site.run_once()
    shown = _shown(legacy)
    assert SECRETS[0] in shown
    assert "IBAN" not in shown
    assert "EMAIL_1>" in shown
    assert _sealed(site) == ""
    kept = str(site.query("SELECT output FROM insights.current"))
    assert "<IBAN_1>" in kept
    assert SECRETS[0] not in kept
    # A sink that lost its rows is told again what the store knows, which is placeholders by now.
    legacy.execute("DELETE FROM ai_insight")
    site.run_once()
    assert "<IBAN_1>" in _shown(legacy)
    assert SECRETS[0] not in _shown(legacy)


def test_a_kind_that_the_stream_does_not_know_and_a_secret_are_refused(
    site: Site, tmp_path: Path
) -> None:
    _restoring(site, tmp_path)
    for kind in ("secret", "shoe_size"):
        site.extra = f'restore = ["{kind}"]'
        site.write()
        assert kind in site.insights("run", "--once", code=78).stderr
