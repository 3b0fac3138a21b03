"""`insights serve` as a process: what it accepted has one outcome, whatever is killed."""

import http.client
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.site import Site

TOKEN = "t" * 40
EXTRA = '[serve]\nlisten = "127.0.0.1:0"\n'
ROW = {"id": 1, "subject": "printer", "body": "Call anna.muster@example.com"}


@pytest.fixture
def serving(tmp_path: Path, store_url: str, stand_in: Path) -> Site:
    """An installation whose rows come in over HTTP, its pipeline's version live."""
    site = Site(tmp_path, store_url, "", stand_in, source="inbox", stream='key = ["id"]')
    site.sink, site.extra = False, EXTRA
    site.environment["INSIGHTS_CREDENTIAL_DOOR_TOKENS"] = f"erp submit:triage,read {TOKEN}"
    site.write().insights("migrate")
    site.run_once()
    return site


class Served:
    """The door's process."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self._log = log
        self._at = ""

    def wait(self) -> None:
        until = time.monotonic() + 60
        while not self._at:
            for line in self._log.read_text().splitlines():
                if line.startswith("{"):
                    self._at = json.loads(line).get("at", self._at)
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < until, self._log.read_text()
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:  # noqa: ANN401
        link = http.client.HTTPConnection(self._at, timeout=60)
        given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
        link.request(method, path, None if body is None else json.dumps(body), given)
        found = link.getresponse()
        text = found.read().decode()
        link.close()
        return found.status, json.loads(text) if text.startswith("{") else text

    def send(self, body: Any, **headers: str) -> tuple[int, Any]:  # noqa: ANN401
        return self.ask("POST", "/v1/pipelines/triage/requests", body, **headers)


@contextmanager
def served(site: Site, **env: str) -> Iterator[Served]:
    log = site.folder / "serve.log"
    with log.open("w") as err:
        process = subprocess.Popen(
            site.command("serve"), env=site.env(**env), stderr=err, stdout=err, text=True
        )
        found = Served(process, log)
        try:
            found.wait()
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def test_what_was_accepted_over_http_has_one_outcome_whatever_is_killed(serving: Site) -> None:
    with served(serving, INSIGHTS_FAILPOINT="after-accept-commit") as door:
        with pytest.raises((http.client.HTTPException, OSError)):
            door.send(ROW)  # killed between accepting and answering
        assert door.process.wait(30) == -signal.SIGKILL
    with served(serving) as door:
        status, told = door.send([ROW, {**ROW, "id": 2}])
        assert status == 202
        assert [one["is_new"] for one in told["requests"]] == [False, True]
        first, second = (one["href"] for one in told["requests"])
        status, problem = door.send({"id": 1})
        assert (status, problem["pointer"]) == (422, "/")
        daemon = serving.start(INSIGHTS_FAILPOINT="before-write")
        status, found = door.send([ROW, {**ROW, "id": 2}], Prefer="wait=1")
        assert (status, len(found["requests"])) == (202, 2)
        said = daemon.communicate(timeout=120)[1]
        assert daemon.returncode == -signal.SIGKILL, said
        again = serving.start()
        events = door.ask("GET", f"{first}/events")[1]
        assert events.splitlines()[-3] == "event: done", events
        status, found = door.send([ROW, {**ROW, "id": 2}], Prefer="wait=60")
        assert status == 200
        assert [one["standing"] for one in found["requests"]] == ["done", "done"]
        assert door.ask("DELETE", second)[0] == 409
        again.send_signal(signal.SIGTERM)
        said = again.communicate(timeout=60)[1]
        assert again.returncode == 0, said
        door.process.send_signal(signal.SIGTERM)
        assert door.process.wait(30) == 0
    serving.assert_exactly_once({"1", "2"})
    kept = serving.query("SELECT b::text FROM store.inbox b")
    said = (serving.folder / "serve.log").read_text()
    assert "anna" not in str(kept) + said
    assert len(kept) == 2


def test_it_says_what_is_missing_before_it_answers(serving: Site) -> None:
    env = {"INSIGHTS_CREDENTIAL_DOOR_TOKENS": ""}
    assert "door_tokens" in serving.insights("serve", code=78, env=env).stderr
    env = {"INSIGHTS_SERVE__LISTEN": ""}
    assert "the HTTP door is off" in serving.insights("serve", code=78, env=env).stderr


def test_doctor_and_status_look_at_the_doors(serving: Site) -> None:
    found = json.loads(serving.insights("doctor", "--json").stdout)
    said = {(one["place"], one["level"]): one["what"] for one in found}
    assert said["stream ticket", "ok"] == "takes id, body, subject"
    assert said["serve", "ok"] == "1 clients have tokens"
    assert "write a file" in said["doors", "ok"] or "write a file" in said["doors", "note"]
    status = serving.insights("status").stdout
    assert "its rows come in through doors" in status
    assert "polled" not in status
    wrong = {"INSIGHTS_CREDENTIAL_DOOR_TOKENS": "erp read short"}
    found = json.loads(serving.insights("doctor", "--json", code=78, env=wrong).stdout)
    assert any(one["place"] == "serve" and one["level"] == "error" for one in found)
