"""`insights status` tells which daemons run, and what keeps each from its work."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from tests.site import Site


def _daemons(site: Site, until: Callable[[list[Any]], object]) -> list[Any]:
    deadline = time.monotonic() + 120
    while True:
        found: list[Any] = json.loads(site.insights("status", "--json").stdout)["daemons"]
        if until(found) or time.monotonic() > deadline:
            return found


def test_a_job_that_fails_in_a_daemon_is_in_status_with_its_reason(
    site: Site, tmp_path: Path
) -> None:
    primary = tmp_path / "primary"
    site.sink_odbc = f"DRIVER={{SQLite3}};DATABASE={primary / 'legacy.sqlite'}"
    running = site.write().start("--roles", "publish")
    try:
        (found,) = _daemons(site, lambda daemons: daemons and daemons[0]["troubles"])
        assert (found["roles"], found["lost"]) == (["publish"], False)
        (trouble,) = found["troubles"]
        assert (trouble["name"], "legacy" in trouble["reason"]) == ("publish legacy", True)
        said = " ".join(site.insights("status").stdout.split())
        assert "publish legacy fails since" in said
        primary.mkdir()
        shutil.copy(tmp_path / "legacy.sqlite", primary)
        (found,) = _daemons(site, lambda daemons: not daemons[0]["troubles"])
        assert found["troubles"] == []
    finally:
        running.terminate()
        running.communicate(timeout=60)
    assert _daemons(site, lambda _: True) == []  # one that ended is no trouble


def test_a_daemon_that_was_killed_is_told_as_lost(site: Site) -> None:
    site.write()
    site.query(
        "INSERT INTO store.daemon (holder, roles, version, heard_at)"
        " VALUES ('erp-2', '{enrich}', '0.1.0', now() - interval '3 minutes') RETURNING 1"
    )
    said = " ".join(site.insights("status").stdout.split())
    assert "daemon erp-2 0.1.0 runs enrich" in said
    assert "(hangs, is cut off or was killed)" in said


def test_a_daemon_tells_its_threads_and_why(site: Site) -> None:
    running = site.write().start(INSIGHTS_MODEL__STAND_IN__THREADS="1")
    try:
        (found,) = _daemons(site, lambda daemons: daemons and daemons[0]["threads"])
        assert found["threads"] == {"stand_in": "1 thread (as the settings say)"}
        said = " ".join(site.insights("status").stdout.split())
        assert "model stand_in: 1 thread (as the settings say)" in said
    finally:
        running.terminate()
        running.communicate(timeout=60)


def test_what_takes_too_long_to_count_is_told_as_counted_last(site: Site) -> None:
    site.write()
    site.run_once()
    running = site.start()
    try:
        deadline = time.monotonic() + 120
        while not site.query("SELECT 1 FROM store.counted") and time.monotonic() < deadline:
            time.sleep(0.2)
        (now,) = json.loads(site.insights("status", "--exact", "--json").stdout)["streams"]
        assert (now["counted"], now["ok"]) == ("now", now["rows_known"])
    finally:
        running.terminate()
        running.communicate(timeout=60)
    with psycopg.connect(site.store_url) as link:
        link.execute("LOCK store.current_insight IN ACCESS EXCLUSIVE MODE")
        (found,) = json.loads(site.insights("status", "--json").stdout)["streams"]
        said = " ".join(site.insights("status").stdout.split())
    assert (found["counted"], found["ok"]) == ("earlier", now["ok"])
    assert "ago; `insights status --exact` counts now" in said
