"""A support bundle helps, and holds no secret, no person and nothing of a row."""

import json
import re
import stat
import tarfile
from pathlib import Path

from tests.answering import answering
from tests.helpdesk import Helpdesk
from tests.servers import free_port
from tests.site import Site

PLANTED = {
    "odbc password": "Geheim-und-lang-77",
    "login": "meier_erika",
    "store key": "hash-key-of-the-house",
    "unused credential": "sk-live-0123456789abcdef",
    "literal": "Mustermann",
    "number": "756123884012907",  # longer than chance makes of a measured time
    "denied word": "Kowalczyk",
    "row text": "Schwindelanfall",
    "mail": "erika.mustermann@example.com",
    "phone": "+41 44 668 18 00",
    "iban": "CH9300762011623852957",
    "row key": "KEY-4711",
    "library": "Heizungsmonteur",
    "template": "Unterschriftenmappe",
}


def _parts(archive: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    with tarfile.open(archive) as opened:
        for entry in opened.getmembers():
            file = opened.extractfile(entry)
            assert file is not None
            found[Path(entry.name).name] = file.read().decode()
    return found


def _planted(site: Site, folder: Path) -> None:
    """Put secrets and personal data wherever this program meets any."""
    legacy = Helpdesk.of(folder / "legacy.sqlite")
    text = " ".join((PLANTED["row text"], PLANTED["mail"], PLANTED["phone"], PLANTED["iban"]))
    legacy.execute("UPDATE ticket SET subject = ?, body = ?", text, text)
    where = f"subject <> '{PLANTED['literal']}' AND ticket_id <> {PLANTED['number']}"
    redact = f'[stream.ticket.redact]\ndeny = ["{PLANTED["denied word"]}"]'
    site.stream += f'\nwhere = "{where}"\n{redact}'
    # One row is a dead letter, whose template says so in its own words.
    site.prompt = (
        "Describe.\n{{ row.subject }}\n{# " + PLANTED["template"] + " #}"
        "{% if row.body == '' %}{{ row.body / 0 }}{% endif %}\n"
    )
    legacy.execute("UPDATE ticket SET body = '' WHERE ticket_id = 7")
    login = f"UID={PLANTED['login']};PWD={PLANTED['odbc password']}"
    site.environment = {
        "INSIGHTS_SOURCE__LEGACY__ODBC": f"{site.odbc};{login}",
        "INSIGHTS_CREDENTIAL_HASH_KEY": PLANTED["store key"],
        "INSIGHTS_CREDENTIAL_OTHER": PLANTED["unused credential"],
    }


def test_nothing_that_was_planted_is_in_it_and_what_helps_is(site: Site, tmp_path: Path) -> None:
    _planted(site, tmp_path)
    site.environment["INSIGHTS_HEALTH__LISTEN"] = f"127.0.0.1:{free_port()}"
    site.write()
    log = tmp_path / "daemon.log"
    with answering(site, INSIGHTS_LOG__LEVEL="debug") as daemon:
        daemon.until(lambda: daemon.status("/readyz") == 200)
        daemon.until(
            lambda: site.query("SELECT count(*) FROM store.work WHERE state = 'dead'") == [(1,)]
        )
        leaked = [
            f"psqlodbc: {PLANTED['library']} wrote this",
            json.dumps({"event": "dead letter", "row": PLANTED["row key"], "stream": "ticket"}),
            json.dumps({"event": "odd", "reason": f"{PLANTED['mail']}, {PLANTED['store key']}"}),
            json.dumps({"event": "odd", "text": PLANTED["row text"]}),
        ]
        log.write_text("\n".join([*map(str.strip, daemon.log), *leaked]))
        target = tmp_path / "for-help.tar.gz"
        done = site.insights("support-bundle", "--output", str(target), "--log", str(log))
    assert str(target) in done.stdout
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    found = _parts(target)
    assert set(found) == {
        "README.txt",
        "about.json",
        "settings.json",
        "doctor.json",
        "status.json",
        "health.json",
        "metrics.txt",
        "log.jsonl",
    }
    for name in set(found) - {"README.txt"}:
        assert name in done.stdout, "it tells what it holds"
        assert name in found["README.txt"]
    for what, planted in PLANTED.items():
        for name, content in found.items():
            assert planted not in content, f"{what} is in {name}"
        assert planted not in done.stdout + done.stderr, what
    # What helps is there all the same.
    assert json.loads(found["about.json"])["packages"]["psycopg"]
    settings = json.loads(found["settings.json"])
    assert settings["source"]["legacy"]["odbc"].endswith("UID=***;PWD=***")
    assert settings["stream"]["ticket"]["where"] == "subject <> *** AND ticket_id <> ***"
    assert settings["stream"]["ticket"]["redact"]["deny"] == "1 of them"
    assert settings["pipeline"]["triage"]["sampling"]["max_tokens"] == 40
    assert {one["level"] for one in json.loads(found["doctor.json"])} >= {"ok"}
    status = json.loads(found["status.json"])
    assert (status["streams"][0]["rows_known"], status["dead_letters"][0]["rows"]) == (40, 1)
    assert json.loads(found["health.json"])["live"] is True
    assert re.search(
        r"^insights_claimed_rows_total\{.*\} [1-9]", found["metrics.txt"], re.MULTILINE
    )
    log_lines = [json.loads(line) for line in found["log.jsonl"].splitlines()]
    assert any(line["event"] == "running" for line in log_lines)
    assert "none of this program's: 1" in log_lines[-1]["event"]


def test_a_part_that_cannot_be_had_is_named_and_stops_no_other(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "for-help.tar.gz"
    site.environment["INSIGHTS_HEALTH__LISTEN"] = f"127.0.0.1:{free_port()}"
    site.environment["INSIGHTS_STORE__URL"] = "postgresql://u:Geheim-und-lang-77@127.0.0.1:9/x"
    arguments = ["support-bundle", "--output", str(target), "--no-doctor", "--log", "/nowhere"]
    done = site.insights(*arguments)
    found = _parts(target)
    assert set(found) == {"README.txt", "about.json", "settings.json"}
    for name in ("status.json", "health.json", "metrics.txt", "log.jsonl"):
        assert f"missing {name}" in " ".join(done.stderr.split())
        assert f"{name} is missing" in found["README.txt"]
    assert json.loads(found["settings.json"])["store"]["url"] == "postgresql://***@127.0.0.1:9/x"
    assert "Geheim" not in "".join(found.values()) + done.stderr
    assert "cannot be written" in site.insights(*arguments, code=78).stderr  # nothing is replaced
