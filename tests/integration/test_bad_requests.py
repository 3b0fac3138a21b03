"""Bad input at real doors: a clear answer, or a place for the dead with the reason."""

import csv
import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_folder_door import door, put
from tests.integration.test_queues import Peer, ended, listening, row
from tests.integration.test_queues import peer as peer  # noqa: PLC0414 - fixtures
from tests.integration.test_queues import servers as servers  # noqa: PLC0414
from tests.integration.test_queues import site as queued  # noqa: F401
from tests.integration.test_serve import TOKEN, Served, served
from tests.integration.test_serve import serving as serving  # noqa: PLC0414
from tests.site import Site

DEEP = b"[" * 10_000 + b"]" * 10_000
GOOD = {"id": 77, "subject": "printer", "body": "It does not print."}
BAD = {
    "no valid JSON": b"{",
    "no valid JSON in UTF-8": b'{"id": 1, "subject": "\xff", "body": "b"}',
    "nested too deep": DEEP,
    "nested": b'{"id": 1, "subject": "s", "body": ' + DEEP + b"}",
    "NUL": b'{"id": 1, "subject": "s", "body": "a\\u0000b"}',
    "is missing": b'{"id": 1, "subject": "s"}',
    "there is no field": b'{"id": 1, "subject": "s", "body": "b", "more": 1}',
    "is an object": b'"text"',
    "the key has no value": b'{"id": null, "subject": "s", "body": "b"}',
    "0 rows": b"[]",
}
MUCH = json.dumps({**GOOD, "body": "x" * 10_000_000}).encode()


def until(holds: Callable[[], object], seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def _ask(at: Served, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    link = http.client.HTTPConnection(at._at, timeout=60)
    given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    link.request("POST", path, body, given)
    answer = link.getresponse()
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = json.loads(answer.read())
    link.close()
    return answer.status, told


def test_the_http_door_answers_with_a_problem_and_goes_on(serving: Site) -> None:
    with served(serving) as at:
        path = "/v1/pipelines/triage/requests"
        for said, body in BAD.items():
            status, told = _ask(at, path, body)
            assert status in (400, 422), told
            assert said in told["detail"]
        assert _ask(at, path, MUCH)[0] == 413
        assert _ask(at, "/v1/pipelines/other/requests", json.dumps(GOOD).encode())[0] in (403, 404)
        assert at.send(GOOD)[0] == 202
    assert serving.query("SELECT count(*) FROM store.inbox") == [(1,)]


def test_what_is_no_message_is_dead_with_its_reason_and_one_that_comes_100_times_is_one(
    queued: Site,  # noqa: F811
    peer: Peer,
) -> None:
    for number, body in enumerate([*BAD.values(), MUCH]):
        peer.send(body, message_id=f"bad{number}")
    for _ in range(100):
        peer.send(json.dumps(row(1)).encode(), message_id="m1", correlation_id="c1")
    process = listening(queued)
    try:
        until(lambda: len(peer.taken("dead")) == len(BAD) + 1 and peer.open() == 0)
        # The broker counts a message as gone that is delivered, before the door has accepted it.
        until(lambda: queued.query("SELECT count(*) FROM store.inbox") == [(1,)])
        queued.run_once()
        until(lambda: peer.taken("out"))
    finally:
        ended(process)
    assert queued.query("SELECT count(*) FROM store.inbox") == [(1,)]
    assert queued.query("SELECT count(*) FROM store.reply") == [(1,)]
    assert len(peer.taken("out")) == 1
    reasons = [one["reason"].decode() for one in peer.taken("dead")]
    for said in BAD:
        assert any(said in reason for reason in reasons), said
    assert any("8 MiB" in reason for reason in reasons)


@pytest.fixture
def dropped(tmp_path: Path) -> Path:
    (tmp_path / "exports").mkdir()
    return tmp_path / "exports"


@pytest.fixture
def folder(tmp_path: Path, store_url: str, stand_in: Path, dropped: Path) -> Site:
    made = Site(tmp_path, store_url, "", stand_in, source="inbox", stream='key = ["id"]')
    made.sink = False
    made.extra = door(dropped, 'complete = "renamed"')
    made.write().insights("migrate")
    return made


def _lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_bad_records_are_reported_and_their_neighbours_done(folder: Site, dropped: Path) -> None:
    first = "id,subject,body\n1,s,b\n"
    put(dropped, "header.csv", "id,subject,text\n1,s,b\n")
    put(dropped, "nul.csv", f"{first}2,s,a\0b\n3,s,b\n")
    put(dropped, "much.csv", f"{first}4,s,{'x' * 10_000_000}\n5,s,b\n")
    (dropped / ".bytes").write_bytes(f"{first}6,s,Ä Ö Ü".encode() + b"\xff\n7,s,b\n")
    (dropped / ".bytes").rename(dropped / "bytes.csv")
    folder.run_once()
    out, failed = dropped / "out", dropped / "failed"
    assert "'body' is missing" in (failed / "header.csv.report.csv").read_text()
    for name, good, line in (("nul", "13", "3"), ("much", "15", "3"), ("bytes", "17", "3")):
        assert [one["id"] for one in _lines(out / f"{name}.csv")] == list(good)
        (bad,) = _lines(failed / f"{name}.csv.report.csv")
        assert (bad["line"], bad["field"]) == (line, "body")
    folder.assert_exactly_once({"1", "3", "5", "7"})


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 8 KiB."""
    made = tmp_path / "full"
    made.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", made], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield made
    subprocess.run(["umount", made], check=True)


def test_a_disk_that_is_full_loses_nothing_and_leaves_no_half(
    folder: Site, dropped: Path, full: Path
) -> None:
    (full / "other").write_bytes(b"x" * 8192)
    folder.extra = door(dropped, f'complete = "renamed"\nout = "{full}"')
    folder.write()
    put(dropped, "a.csv", "id,subject,body\n1,s,b\n2,s,b\n")
    daemon = folder.start()
    try:
        until(lambda: "door exports fails" in folder.insights("status").stdout)
        assert (dropped / "a.csv").exists()
        assert {one.name for one in full.iterdir()} == {"other"}
        (full / "other").unlink()
        until((dropped / "done" / "a.csv").exists)
    finally:
        daemon.terminate()
        daemon.communicate(timeout=60)
    assert [one["id"] for one in _lines(full / "a.csv")] == ["1", "2"]
    folder.assert_exactly_once({"1", "2"})
