"""Outcomes are posted to webhooks: signed, at least once, to nobody but whom the settings name."""

import base64
import hashlib
import hmac
import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from insights import errors
from insights.site.settings import OutcomeWebhookSettings, Settings
from insights.web import lines
from insights.web.webhooks import OutcomeHook
from tests.hooks import Hook
from tests.integration.test_serve import EXTRA, TOKEN, served
from tests.site import Site

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
ROW = {"id": 1, "subject": "printer", "body": "Call anna.muster@example.com"}


@pytest.fixture
def hook() -> Iterator[Hook]:
    started = Hook()
    yield started
    started.close()


@pytest.fixture
def slow() -> Iterator[Hook]:
    started = Hook()
    started.hangs.clear()
    yield started
    started.close()


def until(holds: Callable[[], object], what: object) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def verified(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 120
    told: dict[str, Any] = json.loads(body)
    assert told["data"]["id"] == headers["webhook-id"]
    return told


@pytest.fixture
def telling(tmp_path: Path, store_url: str, stand_in: Path, hook: Hook, slow: Hook) -> Site:
    """An installation whose HTTP door has two webhooks, one of which hangs."""
    site = Site(tmp_path, store_url, "", stand_in, source="inbox", stream='key = ["id"]')
    site.sink = False
    site.extra = f"""{EXTRA}
[webhook.desk]
url = "{hook.url}"
secret = "${{hook}}"
pipeline = "triage"
[webhook.slow]
url = "{slow.url}"
secret = "${{other}}"
timeout = "1s"
"""
    site.environment["INSIGHTS_CREDENTIAL_DOOR_TOKENS"] = f"erp submit:triage,read {TOKEN}"
    site.environment["INSIGHTS_CREDENTIAL_HOOK"] = SECRET
    site.environment["INSIGHTS_CREDENTIAL_OTHER"] = SECRET
    site.write().insights("migrate")
    site.run_once()
    return site


def test_an_outcome_is_told_again_under_its_name_after_a_kill_and_one_that_hangs_stops_nobody(
    telling: Site, hook: Hook, slow: Hook
) -> None:
    failing = "SELECT count(*) FROM store.reply WHERE attempts > 0 AND sent_at IS NULL"
    with served(telling, INSIGHTS_FAILPOINT="after-reply") as door:
        status, told = door.send(ROW)
        assert status == 202
        telling.run_once()
        assert door.process.wait(60) == -signal.SIGKILL  # told, and not noted
    (first,) = [one["id"] for one in told["requests"]]
    assert [verified(*one)["data"]["id"] for one in hook.taken] == [first]
    # The killed process had it in hand for a minute.
    telling.query("UPDATE store.reply SET not_before = now() RETURNING 1")
    with served(telling) as door:
        rows = [{**ROW, "id": n} for n in range(2, 6)]
        assert door.send(rows, **{"Insights-Webhook": "slow"})[0] == 202
        status, told = door.send({**ROW, "id": 42})
        assert status == 202
        assert door.send({**ROW, "id": 42})[1]["requests"][0]["id"] == told["requests"][0]["id"]
        last = told["requests"][0]["id"]
        telling.run_once()
        until(lambda: len(hook.taken) >= 3, hook.taken)
        until(lambda: len(slow.taken) >= 4, slow.taken)
        until(lambda: telling.query(failing) == [(4,)], "")
        found = json.loads(telling.insights("status", "--json").stdout)["replies"]
        slowly = next(one for one in found if one["door"] == "webhook slow")
        assert (slowly["waiting"], slowly["failing"]) == (4, 4)
        assert "takes no outcome" in slowly["reason"]
        slow.hangs.set()  # it answers from now on: each is told, under its name
        telling.query("UPDATE store.reply SET not_before = now() RETURNING 1")
        until(lambda: telling.query(failing) == [(0,)], "")
        assert len({headers["webhook-id"] for headers, _ in slow.taken}) == 4
        door.process.send_signal(signal.SIGTERM)
        assert door.process.wait(30) == 0
    names = [verified(*one)["data"]["id"] for one in hook.taken]
    assert sorted(names) == sorted([first, first, last])
    assert {verified(*one)["type"] for one in (*hook.taken, *slow.taken)} == {"request.done"}
    said = str([hook.taken, slow.taken]) + (telling.folder / "serve.log").read_text()
    assert "anna" not in said
    assert SECRET not in said
    open_ = "SELECT count(*) FROM store.reply WHERE door = 'webhook desk' AND sent_at IS NULL"
    assert telling.query(open_) == [(0,)]


def test_doctor_says_which_webhook_is_reached_and_what_its_key_lacks(
    telling: Site, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"INSIGHTS_CREDENTIAL_OTHER": "short"}
    found = json.loads(telling.insights("doctor", "--json", code=78, env=wrong).stdout)
    said = {(one["place"], one["level"]): one["what"] for one in found}
    assert said["webhook desk", "ok"] == "127.0.0.1 can be reached"
    assert "no key of at least" in str(said["webhook slow", "error"])
    assert hook.taken == []
    assert hook.asked == []
    with pytest.raises(errors.SettingsError, match="no key of at least"):
        hooked(monkeypatch, hook.url, key="whsec_" + "!" * 40)
    with pytest.raises(errors.SettingsError, match="no key of at least"):
        hooked(monkeypatch, hook.url, key="whsec_" + base64.b64encode(bytes(23)).decode())


def hooked(
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    key: str = SECRET,
    **more: Any,  # noqa: ANN401
) -> OutcomeHook:
    monkeypatch.setenv("INSIGHTS_CREDENTIAL_HOOK", key)
    section = OutcomeWebhookSettings(url=url, secret="${hook}", timeout=1.0, **more)
    return OutcomeHook(Settings(webhook={"desk": section}), "desk")


def test_a_server_that_hangs_or_drips_is_left_in_time(
    slow: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    with pytest.raises(errors.ReceiverUnavailable, match=r"127.0.0.1 takes no outcome"):
        hooked(monkeypatch, slow.url).post("", "1", b"{}")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes, and never says a word of TLS
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(errors.ReceiverUnavailable):
            hooked(monkeypatch, url).post("", "1", b"{}")
        with pytest.raises(errors.ReceiverUnavailable):
            hooked(monkeypatch, url).reach()
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, errors.RequestRefused),
        (400, errors.RequestRefused),
        (429, errors.ReceiverUnavailable),
        (503, errors.ReceiverUnavailable),
    ],
)
def test_what_is_not_taken_is_told_by_its_status_and_nobody_is_followed(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, status: int, error: type[Exception]
) -> None:
    hook.status = status
    with pytest.raises(error, match=f"answered {status}"):
        hooked(monkeypatch, hook.url).post("", "1", b"{}")
    assert len(hook.taken) == 1
    assert hook.asked == []


def test_what_is_gone_never_will_be_taken(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hooked(monkeypatch, hook.url).post("", "1", b"{}")
    hook.status = 410
    assert not hooked(monkeypatch, hook.url).post("", "1", b"{}")


def test_an_address_that_the_settings_allow_no_more_is_not_asked(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hooked(monkeypatch, hook.url)
    with pytest.raises(errors.RequestRefused, match="not allowed any more"):
        found.post("http://127.0.0.1:1/", "1", b"{}")
    assert found.post(hook.url.replace("/hook", "/tickets/7"), "1", b"{}")


def named(monkeypatch: pytest.MonkeyPatch, *places: str) -> list[str]:
    """Let every name lead to one place after the other; return which were asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def looked_up(host: str, port: int, *args: Any, **more: Any) -> Any:  # noqa: ANN401
        if host.endswith(".example"):
            place = places[min(len(asked), len(places) - 1)]
            asked.append(host)
            return real(place, port, *args, **more)
        return real(host, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    return asked


def test_a_name_that_leads_to_a_private_address_needs_its_network(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = hook.url.replace("127.0.0.1", "desk.example")
    named(monkeypatch, "127.0.0.1")
    for networks in ((), ("10.0.0.0/8",)):
        found = hooked(monkeypatch, url, insecure=True, networks=networks)
        with pytest.raises(errors.ReceiverUnavailable, match="no public address"):
            found.post("", "1", b"{}")
        with pytest.raises(errors.ReceiverUnavailable, match="no public address"):
            found.reach()
    assert hook.taken == []
    assert hooked(monkeypatch, url, insecure=True, networks=("127.0.0.0/8",)).post("", "1", b"{}")


def test_the_address_that_was_looked_at_is_the_one_that_is_asked(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = hook.url.replace("127.0.0.1", "desk.example")
    asked = named(monkeypatch, "127.0.0.1", "127.0.0.2")  # another one when it is asked again
    found = hooked(monkeypatch, url, insecure=True, networks=("127.0.0.1/32",))
    assert found.post("", "1", b"{}")
    assert asked == ["desk.example"]
    assert hook.taken[0][0]["host"].startswith("desk.example:")


@pytest.mark.parametrize(
    ("place", "public"),
    [
        ("169.254.169.254", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - as an address that a name may lead to
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("93.184.215.14", True),
        ("2606:4700:4700::1111", True),
    ],
)
def test_which_addresses_a_name_may_lead_to(
    monkeypatch: pytest.MonkeyPatch, place: str, *, public: bool
) -> None:
    found = hooked(monkeypatch, "https://desk.example.com/")
    assert found.allows(lines.address(place)) is public


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"url": "http://desk.example.com/"}, "plain text"),
        ({"url": "https://me:pw@desk.example.com/"}, "holds a user"),
        ({"url": "https://desk.example.com/?token=1"}, "holds a user"),
        ({"url": "desk.example.com"}, "no http or https address"),
        ({"secret": "whsec_AAAA"}, "stands in the settings file"),
        ({"networks": ["10.0.0.1/8"]}, "is no network"),
        ({"timeout": "5min"}, "less than or equal"),
    ],
)
def test_settings_that_would_give_something_away_are_refused(
    section: dict[str, Any], said: str
) -> None:
    good = {"url": "https://desk.example.com/", "secret": "${hook}"}
    OutcomeWebhookSettings.model_validate(good)
    with pytest.raises(ValueError, match=said):
        OutcomeWebhookSettings.model_validate({**good, **section})
