"""The units of the doors as systemd runs them: ready, closed, and stopped in time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_booted import booted  # noqa: F401 - the fixture, on the site below
from tests.servers.systemd import Systemd
from tests.site import Site


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path) -> Site:
    made = Site(tmp_path, store_url, "", stand_in, source="inbox", stream='key = ["id"]')
    made.extra = (
        '[serve]\nlisten = "127.0.0.1:0"\n[queue.desk]\nurl = "amqp://127.0.0.1:9/"\n'
        'pipeline = "triage"\nqueue = "in"\nreplies = "out"\ndead = "dead"\n'
    )
    made.sink = False
    made.write().insights("migrate")
    (tmp_path / "legacy.sqlite").touch()
    return made


@pytest.mark.parametrize(
    ("verb", "said"), [("serve", "requests are taken"), ("listen", "queues are listened to")]
)
def test_a_door_is_begun_when_it_is_ready_closed_and_stopped_in_time(
    booted: Callable[..., Systemd],  # noqa: F811 - the fixture
    verb: str,
    said: str,
) -> None:
    unit = f"insights-{verb}@erp.service"
    with booted("erp", unit=f"insights-{verb}") as systemd:
        systemd.until(lambda: systemd.property(unit, "ActiveState") == "active")
        assert said in systemd.said
        status = systemd.inside("cat", f"/proc/{systemd.property(unit, 'MainPID')}/status")
        held = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(held["Uid"].split()[0]) != 0
        assert int(held["CapBnd"], 16) == 0
        assert (held["NoNewPrivs"], held["Seccomp"]) == ("1", "2")
        systemd.inside("systemctl", "stop", unit)
        assert systemd.property(unit, "Result") == "success"
