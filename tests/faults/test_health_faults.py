"""Health while the store is away: at boot, and in the middle of the work."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import servers
from tests.answering import answering
from tests.helpdesk import Helpdesk
from tests.site import Site

pytestmark = pytest.mark.faults


def test_a_daemon_without_its_store_lives_is_not_ready_and_says_what_it_waits_for(
    tmp_path: Path, new_store: Callable[[], servers.Postgres], stand_in: Path
) -> None:
    server = new_store()
    legacy = Helpdesk(tmp_path / "legacy.sqlite", 10)
    site = Site(tmp_path, server.url("store"), legacy.odbc, stand_in).write()
    site.insights("migrate")
    server.stop()
    with answering(site) as daemon:
        daemon.until(lambda: "does not answer" in daemon.get("/readyz")[1])
        assert daemon.status("/readyz") == 503
        assert daemon.get("/livez") == (200, "ok\n")
        server.start()
        daemon.until(lambda: daemon.status("/readyz") == 200)
        server.stop()
        daemon.until(lambda: daemon.status("/readyz") == 503)
        assert daemon.checks()["store"]["status"] == "failed"
        assert daemon.status("/livez") == 200
        server.start()
        daemon.until(lambda: daemon.status("/readyz") == 200)
