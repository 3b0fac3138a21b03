"""A real daemon, a real fault, a real receiver: one alert that names cause and fix, and its end.

Alerts hold for two seconds here and not for a minute; all else is as shipped.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.answering import Answering, answering
from tests.helpdesk import Helpdesk
from tests.hooks import Hook
from tests.integration.test_receivers import hook as hook  # noqa: PLC0414 - a fixture
from tests.integration.test_remote import Provider
from tests.integration.test_remote import provider as provider  # noqa: PLC0414 - a fixture
from tests.site import Site

pytestmark = pytest.mark.faults

HOLD_S = 2.0
DOCS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
LINES = 20
# What a server without space says to whoever writes (PostgreSQL's appendix A: 53100).
FULL = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END$$;
CREATE TRIGGER no_room BEFORE INSERT ON store.insight EXECUTE FUNCTION no_room();
"""


class Told:
    """What the receiver was told: what fired and what is over, in order."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    def __call__(self) -> list[str]:
        return [
            f"{sign}{one['key']}"
            for body in self._hook.bodies()
            for sign, list_ in (("+", "fired"), ("=", "still"), ("-", "resolved"))
            for one in body[list_]
        ]

    def begin(self, daemon: Answering, rows: int, site: Site) -> None:
        """Wait until all is well: where the machine is slow, a part may be down for two seconds."""
        count = "SELECT count(*) = %s FROM store.insight"
        daemon.until(lambda: site.query(count, rows)[0][0])
        daemon.until(lambda: daemon.status("/readyz") == 200)
        daemon.until(lambda: self._last() <= {"-"})
        self._hook.taken.clear()

    def _last(self) -> set[str]:
        """Return what was told last of each alert: `+` fired, `-` over."""
        return {*{one[1:]: one[0] for one in self()}.values()}

    def alert(self, key: str) -> dict[str, str]:
        fired = [one for body in self._hook.bodies() for one in body["fired"]]
        found: dict[str, str] = next(one for one in fired if one["key"] == key)
        return found


@pytest.fixture
def remote(site: Site, provider: Provider, hook: Hook) -> Site:
    """The site with a model server, a sink's database of its own, and a receiver of alerts."""
    provider.answers = [(200, '{"category":"other","urgent":false}')]
    sink = Helpdesk(site.folder / "sink.sqlite")
    site.sink_odbc = sink.odbc
    site.extra = f'[model.big]\nurl = "{provider.url}"\ntimeout = "5s"\n'
    site.extra += f'[alerts]\nhold = "{HOLD_S:.0f}s"\ndigest = "1s"\n'
    site.extra += f'[alerts.webhook]\nurl = "{hook.url}"\n'
    site.write()
    pipeline = site.folder / "pipelines" / "triage.toml"
    pipeline.write_text(pipeline.read_text().replace('"stand_in"', '"big"'))
    return site


def _child(daemon: Answering, module: str) -> psutil.Process:
    found = psutil.Process(daemon.daemon.pid).children()
    return next(one for one in found if module in " ".join(one.cmdline()))


def _gone(daemon: Answering, file: Path, child: str) -> Callable[[], None]:
    """Take a database away from under its child; return what brings it back."""
    kept = file.with_suffix(".kept")
    file.rename(kept)
    file.mkdir()  # as a share that is not mounted
    _child(daemon, child).kill()

    def back() -> None:
        file.rmdir()
        kept.rename(file)

    return back


def _as_owner(site: Site, statements: str) -> None:
    with psycopg.connect(site.store_url) as owner:
        owner.execute(statements.encode())


def test_each_fault_is_told_once_with_cause_and_fix_and_once_when_it_is_over(
    remote: Site, provider: Provider, hook: Hook
) -> None:
    told, legacy = Told(hook), Helpdesk.of(remote.folder / "legacy.sqlite")
    rows = iter(range(41, 100))

    def changes() -> None:
        legacy.add(range(number := next(rows), number + 1))

    def no_model(_: Answering) -> Callable[[], None]:
        former, provider.answers = provider.answers, [(503, "no memory")]
        changes()
        return lambda: setattr(provider, "answers", former)

    def no_sink(daemon: Answering) -> Callable[[], None]:
        back = _gone(daemon, remote.folder / "sink.sqlite", "sinks.publisher")
        changes()
        return back

    def no_source(daemon: Answering) -> Callable[[], None]:
        return _gone(daemon, remote.folder / "legacy.sqlite", "sources.reader")

    def no_disk(_: Answering) -> Callable[[], None]:
        _as_owner(remote, FULL)
        changes()
        return lambda: _as_owner(remote, "DROP FUNCTION no_room() CASCADE")

    faults = {
        "InsightsModelDown big": no_model,
        "InsightsSourceDown legacy": no_source,
        "InsightsStoreDown": no_disk,
        "InsightsSinkDown legacy": no_sink,  # the last: outboxes are looked at each half minute
    }
    with answering(remote, INSIGHTS_STREAM__TICKET__POLL_EVERY="1s") as daemon:
        told.begin(daemon, 40, remote)
        expected: list[str] = []
        for key, broken in faults.items():
            began = time.monotonic()
            mend = broken(daemon)
            expected.append(f"+{key}")
            daemon.until(lambda: told() == expected, 60)
            assert time.monotonic() - began < 120 * HOLD_S / 60 + 40  # it is noticed, and holds
            time.sleep(HOLD_S)
            assert told() == expected
            found = told.alert(key)
            assert key == found["name"] or key.split()[1] in found["summary"]
            if key == "InsightsStoreDown":
                assert "takes no writes: could not extend file" in daemon.get("/readyz")[1]
                assert "free space on its server" in daemon.get("/readyz")[1]
            assert "Fix: " in found["description"]
            name = found["runbook"].partition("#")[2]
            assert f"\n### {found['name']}\n" in DOCS.read_text("utf-8")
            assert name == found["name"].lower()
            mend()
            if key != [*faults][-1]:
                expected.append(f"-{key}")
                daemon.until(lambda: told() == expected, 90)
        daemon.until(lambda: remote.query("SELECT count(*) = 43 FROM store.insight")[0][0])
        assert told() == expected


def test_a_dead_model_server_that_gives_back_hundreds_of_rows_is_a_few_lines(
    remote: Site, provider: Provider, hook: Hook
) -> None:
    Helpdesk.of(remote.folder / "legacy.sqlite").add(range(41, 401))
    provider.answers = [(503, "no memory")]
    more = {"INSIGHTS_DAEMON__BATCH": "200", "INSIGHTS_DAEMON__IN_FLIGHT": "400"}

    def given_back() -> float:
        found = [
            line.rpartition(" ")[2]
            for line in daemon.get("/metrics")[1].splitlines()
            if line.startswith("insights_given_back_rows_total{")
        ]
        return sum(map(float, found))

    with answering(
        remote, INSIGHTS_MODEL__BIG__PARALLEL="128", INSIGHTS_MODEL__BIG__TIMEOUT="1s", **more
    ) as daemon:
        daemon.until(lambda: given_back() >= 300)
        daemon.until(lambda: any('"event": "down"' in line for line in daemon.log))
    told = [json.loads(line) for line in daemon.log]
    assert len(told) <= LINES, "".join(daemon.log)
    assert {"down", "stopped"} <= {one["event"] for one in told}
    assert [one for body in hook.bodies() for one in body["fired"]]
