"""`kill -9` at every stage, on a real installation: nothing lost, nothing doubled."""

import random
import signal
import time
from pathlib import Path

import pytest

from insights import errors
from tests.helpdesk import Helpdesk
from tests.site import Site

pytestmark = pytest.mark.faults

STAGES = [
    "before-page-commit",
    "after-page-commit",
    "after-claim",
    "after-read",
    "after-generate",
    "before-write",
    "after-write",
    "before-publish",
    "after-publish",
]


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_at_any_stage_loses_and_doubles_nothing(
    site: Site, stage: str, tmp_path: Path
) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    assert site.killed(stage), f"{stage} was never reached"
    site.killed(f"{stage}:{random.randint(2, 4)}")
    legacy.add(range(41, 51))
    site.run_once()
    site.assert_exactly_once(legacy.keys())
    assert legacy.shown() == {
        int(key): status
        for key, status in site.query(
            "SELECT row_key, status FROM insights.current WHERE gone_at IS NULL"
        )
    }


MARKED = (
    'table = "ticket"\nkey = ["ticket_id"]\npending = "ai_status = \'pending\'"\n'
    'acknowledge = {source = "primary", column = "ai_status", from = "pending", to = "done"}\n'
)


@pytest.mark.parametrize(
    "stage",
    [
        "before-acknowledge",
        "before-acknowledge-commit",  # this and the next kill the acknowledger
        "after-acknowledge-commit",
        "after-acknowledge",
        "after-acknowledge-settled",
    ],
)
def test_a_kill_around_an_acknowledge_leaves_no_mark_and_doubles_nothing(
    site: Site, stage: str, tmp_path: Path
) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    legacy.execute("ALTER TABLE ticket ADD ai_status VARCHAR(9)")
    legacy.execute("UPDATE ticket SET ai_status = 'pending' WHERE ticket_id <= 10")
    site.stream = MARKED
    site.write()
    child = "commit" in stage
    code = errors.WorkerDied.exit_code if child else -signal.SIGKILL
    site.insights("run", "--once", code=code, env={"INSIGHTS_FAILPOINT": stage})
    told = legacy.execute("SELECT count(*) FROM ticket WHERE ai_status = 'done'")
    assert (told == [(0,)]) == stage.startswith("before")
    legacy.execute("UPDATE ticket SET ai_status = 'pending' WHERE ticket_id = 3")
    site.run_once()
    assert legacy.execute("SELECT ai_status, count(*) FROM ticket GROUP BY 1 ORDER BY 1") == [
        (None, 30),
        ("done", 10),
    ]
    site.assert_exactly_once({str(key) for key in range(1, 11)})
    assert legacy.shown().keys() == set(range(1, 11))
    assert site.query("SELECT state, count(*) FROM insights.request GROUP BY 1") == [
        ("acknowledged", 10)
    ]


def test_nothing_changed_means_no_model_work(site: Site) -> None:
    assert site.run_once()["generations"] == 40
    assert not any(site.run_once().values())


def test_sigterm_drains_without_counting_attempts(site: Site, tmp_path: Path) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    for wait in (0.0, 1.0, 2.5):
        daemon = site.start()
        assert daemon.stderr is not None
        assert any('"running"' in line for line in daemon.stderr)  # handlers are installed
        time.sleep(wait)
        daemon.send_signal(signal.SIGTERM)
        _, log = daemon.communicate(timeout=40)
        assert daemon.returncode == 0, log
        assert site.query("SELECT count(*) FROM store.work WHERE state = 'claimed'") == [(0,)]
        pending = "SELECT coalesce(max(attempts), 0) FROM store.work WHERE state = 'pending'"
        assert site.query(pending) == [(0,)]
        legacy.add(range(len(legacy.keys()) + 1, len(legacy.keys()) + 30))
    site.run_once()
    site.assert_exactly_once(legacy.keys())


def test_two_daemons_that_freeze_at_random_make_each_insight_once(
    site: Site, tmp_path: Path
) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    legacy.add(range(41, 241))
    daemons = [site.start(INSIGHTS_DAEMON__NAME=f"d{n}") for n in range(2)]
    deadline = time.monotonic() + 90
    rng = random.Random(7)
    while time.monotonic() < deadline:
        time.sleep(1.0)
        done = site.query("SELECT count(*) FROM store.insight")[0][0]
        if done == 240:
            break
        frozen = rng.choice(daemons)
        frozen.send_signal(signal.SIGSTOP)
        time.sleep(rng.choice([0.5, 4.0]))  # the longer one outlives its leases
        frozen.send_signal(signal.SIGCONT)
    for daemon in daemons:
        daemon.send_signal(signal.SIGTERM)
    for daemon in daemons:
        _, log = daemon.communicate(timeout=40)
        assert daemon.returncode == 0, log
    site.run_once()
    site.assert_exactly_once(legacy.keys())
    assert site.query("SELECT count(*) FROM store.insight") == [(240,)]
