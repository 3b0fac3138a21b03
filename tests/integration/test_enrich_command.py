"""`insights enrich`: a file's good records get one outcome each, bad ones a place in a report."""

import csv
import io
import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.site import Site

MAIL = "anna.muster@example.com"


@pytest.fixture
def inbox_site(tmp_path: Path, store_url: str, stand_in: Path) -> Site:
    stream = 'key = ["id"]\n[stream.ticket.redact]\ncolumns = ["name"]'
    site = Site(tmp_path, store_url, "", stand_in, source="inbox", stream=stream, sink=False)
    site.write()
    return site


def rows(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def test_a_file_gets_its_outcomes_once_whatever_is_killed(inbox_site: Site) -> None:
    site = inbox_site
    site.insights("migrate")
    file, out = site.folder / "export.csv", site.folder / "result.csv"
    file.write_bytes(
        'id;subject;body;name\r\n1;Drucker;"Er ""drückt"" nicht,\nschreibt MAIL";Muster\r\n'
        "2;zu;wenig\r\n;ohne;Schlüssel;x\r\n3;Maus;Sie klemmt.;\r\n4;NUL;a\0b;\r\n"
        '5;offen;"nie zu;\r\n6;gut;gut;\r\n'.replace("MAIL", MAIL).encode("cp1252")
    )
    command = ["enrich", "triage", str(file), "--out", str(out)]
    for failpoint in ("file-batch-accepted", "before-write"):
        done = subprocess.run(
            site.command(*command),
            check=False,
            capture_output=True,
            env=site.env(INSIGHTS_FAILPOINT=failpoint),
            timeout=120,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not out.exists()
    said = site.insights(*command, code=46).stderr
    assert "line 4, column 4: the record has 3 cells" in " ".join(said.split())
    found = rows(out.read_text("cp1252"), ";")
    assert [one["id"] for one in found] == ["1", "3", "6"]
    assert {one["standing"] for one in found} == {"done"}
    assert {one["category"] for one in found} <= {"question", "problem", "other", ""}
    assert len({one["request"] for one in found}) == len(found)
    report = rows((site.folder / "result.csv.report.csv").read_text())
    assert [(one["line"], one["column"], one["field"]) for one in report] == [
        ("4", "4", ""), ("5", "1", "id"), ("7", "3", "body"), ("8", "3", "body"),
    ]  # fmt: skip
    first = out.read_bytes()
    site.insights(*command, code=46)
    assert out.read_bytes() == first
    site.assert_exactly_once({"1", "3", "6"})
    kept = str(site.query("SELECT b::text FROM store.inbox b")) + "".join(
        path.read_text(errors="replace")
        for path in site.folder.rglob("*")
        if path.is_file() and path not in (file, site.model)
    )
    assert MAIL not in kept
    assert "Muster" not in kept


def test_standard_input_is_json_lines_and_so_is_the_answer(inbox_site: Site) -> None:
    site = inbox_site
    site.insights("migrate")
    lines = [{"id": n, "subject": "=1+1", "body": "text", "name": None} for n in (2, 1)]
    text = "\n".join([json.dumps(lines[0]), "nothing", json.dumps(lines[1]), json.dumps(lines[0])])
    done = subprocess.run(
        site.command("enrich", "triage", "-", "--format", "jsonl"),
        check=False,
        capture_output=True,
        text=True,
        input=text,
        env=site.env(),
        timeout=120,
    )
    assert done.returncode == 46, done.stderr
    assert "line 2, column 1: no JSON" in done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["id"] for one in found] == [2, 1, 2]
    assert found[0] == found[2]  # the same key and fields are the same request
    assert all(set(one["output"]) == {"category", "urgent"} for one in found if "output" in one)
    site.assert_exactly_once({"1", "2"})


def test_a_running_daemon_does_it_where_it_is_asked_to(inbox_site: Site) -> None:
    site = inbox_site
    file = site.folder / "rows.jsonl"
    file.write_text('{"id": "a", "subject": "s", "body": "b", "name": ""}\n')
    site.insights("migrate")
    wait = ["enrich", "triage", str(file), "--daemon", "--patience", "1"]
    said = site.insights(*wait, code=25).stderr
    assert "1 of 1 accepted records have no outcome yet" in " ".join(said.split())
    daemon = site.start()
    try:
        made = site.insights("enrich", "triage", str(file), "--daemon").stdout
    finally:
        daemon.terminate()
        daemon.communicate(timeout=60)
    assert json.loads(made)["standing"] == "done"
    site.assert_exactly_once({"a"})


def test_what_cannot_be_sent_is_said(inbox_site: Site) -> None:
    site = inbox_site
    site.insights("migrate")
    assert "cannot be read" in site.insights("enrich", "triage", "no.csv", code=46).stderr
    (site.folder / "a.csv").write_text("id,subject,text,name\n1,a,b,c\n")
    said = site.insights("enrich", "triage", str(site.folder / "a.csv"), code=46)
    assert "line 1 (body): the column 'body' is missing" in " ".join(said.stderr.split())
    assert "line 1, column 3 (text): there is no such field" in " ".join(said.stderr.split())
    assert site.query("SELECT count(*) FROM store.inbox") == [(0,)]
