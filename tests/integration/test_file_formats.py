"""XML and fixed width through folder and command line, as docs/doors.md has them; OData."""

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from xml.etree import ElementTree as ET  # reads what the product wrote

import pytest

from tests.integration.test_serve import TOKEN, served
from tests.site import Site

PAGE = (Path(__file__).parents[2] / "docs" / "doors.md").read_text(encoding="utf-8")


def block(title: str, language: str) -> str:
    section = PAGE.partition(f"\n### {title}\n")[2].partition("\n### ")[0]
    return section.partition(f"```{language}\n")[2].partition("```")[0]


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path) -> Site:
    (tmp_path / "drop").mkdir()
    made = Site(tmp_path, store_url, "", stand_in, source="inbox", stream='key = ["id"]')
    made.sink = False
    return made


def drop(site: Site, settings: str) -> Path:
    folder = site.folder / "drop"
    site.extra = settings.replace("/srv/exports", str(folder))
    site.write().insights("migrate")
    return folder


def test_the_soap_message_of_the_page_is_unwrapped(site: Site) -> None:
    folder = drop(site, block("A SOAP message", "toml"))
    script = block("A SOAP message", "bash").replace("/srv/exports", str(folder))
    subprocess.run(["bash", "-euc", script], check=True, timeout=30)
    (folder / "bad.xml").write_text(
        "<Body><Ticket nr='8'><Title>a</Title><Text>R&D</Text></Ticket>\n"
        "<Ticket nr='9'><Title>a</Title>\n<Text>b</Text></Ticket>\n"
        "<Ticket nr=''><Title>a</Title><Text>b</Text></Ticket></Body>"
    )
    (folder / "bomb.xml").write_text('<!DOCTYPE a [<!ENTITY x "y">]><Body><Ticket/></Body>')
    site.run_once()
    found = {
        one.findtext("id"): one
        for path in (folder / "out").glob("*.xml")
        for one in ET.parse(path).getroot()  # noqa: S314
    }
    assert set(found) == {"7", "9"}
    assert {one.findtext("standing") for one in found.values()} == {"done"}
    assert [one.tag for one in found["7"]][:3] == ["id", "standing", "status"]
    assert (folder / "done" / "message.xml").exists()
    report = (folder / "failed" / "bad.xml.report.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in report[1:]] == [["1", "47", ""], ["4", "1", "id"]]
    assert "DOCTYPE" in (folder / "failed" / "bomb.xml.report.csv").read_text()
    site.assert_exactly_once({"7", "9"})
    again = site.folder / "again.xml"
    again.write_text("<a><t><id>7</id><subject>s</subject><body>b</body></t></a>")
    made = site.insights("enrich", "triage", str(again), "--record", "a/t").stdout
    assert ET.fromstring(made).findtext("outcome/standing") == "done"  # noqa: S314


def test_the_fixed_width_export_of_the_page_gets_its_own_width(site: Site) -> None:
    folder = drop(site, block("Lines of fixed width", "toml"))
    text = f"{'7':8}{'Drucker':20}{'Er druckt nicht.':40}\n8\n{'9':8}{'Maus':20}Ärger\n"
    (folder / "a.txt").write_text(text, "cp1252")
    site.run_once()
    made = (folder / "out" / "a.txt").read_text("cp1252").splitlines()
    assert [(one[:8].strip(), one[8:18].strip(), len(one)) for one in made] == [
        ("7", "done", 38),
        ("9", "done", 38),
    ]
    report = (folder / "failed" / "a.txt.report.csv").read_text().splitlines()
    assert report[1].split(",")[:3] == ["2", "2", "body"]
    file = site.folder / "b.txt"
    file.write_bytes((folder / "failed" / "a.txt").read_bytes().replace(b"8\n", b""))
    said = site.insights("enrich", "triage", str(file), "--like", "exports")
    assert said.stdout.splitlines() == made
    assert site.insights("enrich", "triage", str(file), "--like", "no", code=2).stdout == ""


def test_columns_that_are_not_the_pipelines_are_told_before_anything(site: Site) -> None:
    settings = block("Lines of fixed width", "toml")
    drop(site, settings.replace('name = "body"', 'name = "text"'))
    said = _flat(site.insights("run", "--once", code=78))
    assert "nothing says where 'body' is" in said
    drop(site, settings.replace('name = "category"', 'name = "kind"'))
    assert "an outcome has no 'kind'" in _flat(site.insights("run", "--once", code=78))


def _flat(done: "subprocess.CompletedProcess[str]") -> str:
    return " ".join((done.stdout + done.stderr).split())


class _OData(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(block("OData", "json").encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def odata() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _OData) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_odata_answer_of_the_page_is_sent_with_curl(site: Site, odata: str) -> None:
    for tool in ("curl", "jq"):
        if subprocess.run(["which", tool], capture_output=True, check=False).returncode:
            pytest.skip(f"needs {tool}")
    site.extra = '[serve]\nlisten = "127.0.0.1:0"\n'
    site.environment["INSIGHTS_CREDENTIAL_DOOR_TOKENS"] = f"sap submit:triage,read {TOKEN}"
    site.write().insights("migrate")
    site.run_once()
    with served(site) as door:
        script = block("OData", "bash").replace("127.0.0.1:9189", door._at)
        script = script.replace("https://sap.example.com", odata)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env={"PATH": "/usr/bin:/bin", "TOKEN": TOKEN},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.stdout.count('"is_new":true') == 2, done.stdout
    assert site.run_once()["insights"] == 2
    site.assert_exactly_once({"7", "8"})
