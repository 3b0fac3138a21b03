"""What each door measures, on real processes: requests, messages, files, and outcomes untold."""

import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from tests.answering import answering
from tests.hooks import Hook
from tests.integration.test_serve import Served
from tests.servers import brokers, free_port
from tests.servers.process import scratch
from tests.site import Site

WITHIN_S = 120.0
OF_DAEMONS = {
    "insights_replies_waiting",
    "insights_replies_failing",
    "insights_replies_given_up",
    "insights_replies_late_seconds",
    "insights_folder_waiting_files",
    "insights_folder_oldest_seconds",
}


@pytest.fixture
def broker() -> Iterator[brokers.Redis]:
    if brokers.REDIS is None:
        pytest.skip("needs redis-server")
    server = brokers.Redis(scratch()).start()
    yield server
    server.remove()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path, broker: brokers.Redis, hook: Hook) -> Site:
    made = Site(tmp_path, store_url, "", stand_in, source="inbox", stream='key = ["id"]')
    made.sink = False
    (tmp_path / "exports").mkdir()
    made.extra = f"""
[serve]
listen = "127.0.0.1:0"
[webhook.desk]
url = "{hook.url}"
secret = "${{desk_webhook}}"
pipeline = "triage"
[queue.erp]
url = "{broker.url}"
pipeline = "triage"
queue = "requests"
replies = "out"
[door.exports]
folder = "exports"
pipeline = "triage"
complete = "renamed"
every = "0.2s"
"""
    made.environment |= {
        "INSIGHTS_CREDENTIAL_DOOR_TOKENS": f"erp submit:triage,read {'t' * 40}",
        "INSIGHTS_CREDENTIAL_DESK_WEBHOOK": f"whsec_{'A' * 44}",
    }
    made.write().insights("migrate")
    made.run_once()
    return made


def scraped(at: str) -> dict[tuple[str, ...], float]:
    """Return samples by their name and the values of their labels."""
    with urllib.request.urlopen(f"http://{at}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = text_string_to_metric_families(text)
    return {(s.name, *s.labels.values()): s.value for one in found for s in one.samples}


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


@contextmanager
def door(site: Site, command: str, at: str, **env: str) -> Iterator[None]:
    log = site.folder / f"{command}.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            site.command(command), env=site.env(**env), stdout=out, stderr=out
        )

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://{at}/readyz", timeout=5) as answer:
                return int(answer.status) == 200
        except OSError:
            return False

    try:
        until(ready)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)


def test_requests_and_tries_of_a_webhook_are_counted(site: Site, hook: Hook) -> None:
    at, port = f"127.0.0.1:{free_port()}", free_port()
    env = {"INSIGHTS_HEALTH__SERVE": at, "INSIGHTS_SERVE__LISTEN": f"127.0.0.1:{port}"}
    hook.status = 503
    with door(site, "serve", at, **env):
        asked = Served.__new__(Served)
        asked._at = f"127.0.0.1:{port}"
        row = {"id": 1, "subject": "printer", "body": "It does not print."}
        assert asked.send(row)[0] == 202
        assert asked.send(row)[0] == 202
        assert asked.send({"id": 2})[0] == 422
        assert asked.ask("GET", "/v1/nowhere")[0] == 404
        assert asked.ask("GET", "/v1/pipelines")[0] == 200
        site.run_once()
        until(lambda: scraped(at).get(("insights_webhook_posts_total", "failed", "desk")))
        hook.status = 204
        until(lambda: scraped(at).get(("insights_webhook_posts_total", "taken", "desk")))
        found = scraped(at)
    count = "insights_http_request_seconds_count"
    assert found[count, "submit", "202"] == 2
    assert found[count, "submit", "422"] == 1
    assert found[count, "none", "404"] == 1
    assert found[count, "pipelines", "200"] == 1
    accepted = "insights_accepted_rows_total"
    assert (found[accepted, "triage", "new"], found[accepted, "triage", "known"]) == (1, 1)
    assert (found[("insights_live",)], found[("insights_ready",)]) == (1, 1)


def test_messages_and_replies_are_counted(site: Site, broker: brokers.Redis) -> None:
    link = redis.Redis.from_url(broker.url)
    body = json.dumps({"id": 1, "subject": "printer", "body": "It does not print."})
    link.xgroup_create("requests", "insights", id="0", mkstream=True)
    link.xadd("requests", {"body": body, "message_id": "m1"})
    # it was given to this consumer before, which was killed
    host = subprocess.run(["hostname"], check=True, capture_output=True, text=True).stdout.strip()
    link.xreadgroup("insights", f"{host}-erp", {"requests": ">"})
    link.xadd("requests", {"body": "{not json", "message_id": "m2"})
    at = f"127.0.0.1:{free_port()}"
    with door(site, "listen", at, INSIGHTS_HEALTH__QUEUES=at):
        until(lambda: scraped(at).get(("insights_queue_messages_total", "erp", "refused")))
        until(lambda: scraped(at).get(("insights_queue_messages_total", "erp", "accepted")))
        site.run_once()
        until(lambda: scraped(at).get(("insights_queue_replies_total", "erp", "sent")))
        found = scraped(at)
    assert found["insights_queue_messages_total", "erp", "accepted"] == 1
    assert found["insights_queue_messages_total", "erp", "refused"] == 1
    assert found["insights_queue_redelivered_messages_total", "erp"] == 1
    assert found["insights_queue_replies_total", "erp", "sent"] == 1


def test_a_daemon_tells_of_files_and_of_outcomes_that_nobody_was_told(site: Site) -> None:
    folder = site.folder / "exports"
    (folder / ".part").write_text("id,subject,body\n1,Printer,It does not print.\n2,Mouse\n")
    (folder / ".part").rename(folder / "a.csv")
    with answering(site) as daemon:
        daemon.until((folder / "failed" / "a.csv").exists)
        site.query(
            "INSERT INTO store.reply (request_id, door, message, address, not_before)"
            " SELECT request_id, 'desk', 'm', 'out', now() - interval '1 hour' FROM store.inbox"
            " RETURNING 1"
        )
        site.query("UPDATE store.work SET finished_at = now() - interval '1 hour' RETURNING 1")
        late = ("insights_replies_late_seconds", "desk")
        daemon.until(lambda: scraped(daemon.address).get(late, 0) > 3_000)
        found = scraped(daemon.address)
        assert found["insights_replies_waiting", "desk"] == 1
        assert {name for name, *_ in found} >= OF_DAEMONS
        assert found["insights_folder_records_total", "exports", "accepted"] == 1
        assert found["insights_folder_records_total", "exports", "refused"] == 1
        assert found["insights_folder_files_total", "exports", "failed"] == 1
        assert daemon.checks()["door exports"]["status"] == "ok"
        (folder / "out").rename(folder / "gone")
        (folder / "out").write_text("no folder")
        daemon.until(lambda: daemon.checks()["door exports"]["status"] == "failed")
        (folder / "out").unlink()
        daemon.until(lambda: daemon.checks()["door exports"]["status"] == "ok")
