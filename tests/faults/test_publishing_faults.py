"""Publishers that are killed, paused or cut off: nothing is lost, doubled or shown backwards."""

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from insights import errors
from tests import servers
from tests.published import World

pytestmark = pytest.mark.faults


@pytest.fixture
def world(store_url: str, tmp_path: Path) -> Iterator[World]:
    made = World(store_url, tmp_path)
    made.make_sink()
    yield made
    made.close()


def watch_for_backwards(world: World) -> None:
    """Let the legacy database itself record every write that takes a row back."""
    world.legacy("CREATE TABLE backwards (ticket_id INTEGER)")
    world.legacy(
        "CREATE TRIGGER watch AFTER UPDATE ON ai_insight_triage"
        " WHEN NEW.revision <= OLD.revision"
        " BEGIN INSERT INTO backwards VALUES (NEW.ticket_id); END"
    )


@pytest.mark.parametrize("failpoint", ["before-publish", "after-publish"])
def test_killed_before_or_after_the_sink_was_written(world: World, failpoint: str) -> None:
    watch_for_backwards(world)
    for ticket in range(1, 6):
        world.insight(ticket, "printing")
    assert world.publish_in_process(failpoint) == -signal.SIGKILL
    shown = world.shown()
    assert len(shown) == (0 if failpoint == "before-publish" else 5)
    assert world.due() == 5
    assert world.publishing().publish().delivered == 5
    assert world.due() == 0
    assert set(world.shown()) == {1, 2, 3, 4, 5}
    if shown:
        assert world.shown() == shown  # the repeat changed nothing
    assert world.legacy("SELECT * FROM backwards") == []


def test_a_publisher_process_killed_while_it_writes(world: World) -> None:
    for ticket in range(1, 6):
        world.insight(ticket, "printing")
    publishing = world.publishing()
    sink = world.sinks[-1]
    sink.check()  # the process runs
    with closing(sqlite3.connect(world.path, isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")  # the legacy application writes, the publisher waits
        pid = sink.pid
        assert pid is not None
        threading.Timer(0.5, os.kill, (pid, signal.SIGKILL)).start()
        with pytest.raises(errors.WorkerDied, match="died of signal 9"):
            publishing.publish()
        lock.execute("ROLLBACK")
    assert world.due() == 5
    world.sql("UPDATE store.outbox SET not_before = now()")
    assert publishing.publish().delivered == 5
    assert len(world.shown()) == 5


def test_a_publisher_paused_past_its_lease(world: World) -> None:
    watch_for_backwards(world)
    world.insight(1, "old")
    world.insight(2, "old")
    first, slow = world.outbox("one", ttl_s=0.3), world.sink()
    slow.check()
    assert first.hold() is not None
    states = first.take(10)
    pid = slow.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    results = []
    late = threading.Thread(target=lambda: results.extend(slow.apply(states)))
    late.start()
    time.sleep(0.5)
    _, revision = world.insight(1, "new")
    world.show(2, "tombstoned")
    assert world.publishing("two").publish().delivered == 2
    shown = world.shown()
    os.kill(pid, signal.SIGCONT)
    late.join(20)
    first.settle(results)
    assert [result.standing for result in results] == [revision, revision + 1]
    assert world.shown() == shown
    assert shown[1] == ("new", "ok", revision)
    assert shown[2][:2] == (None, "tombstoned")
    assert world.due() == 0
    assert world.legacy("SELECT * FROM backwards") == []


def test_racing_publishers_that_stop_at_random(world: World) -> None:
    watch_for_backwards(world)
    rng = random.Random(7)
    stop = threading.Event()

    def run(holder: str) -> None:
        publishing = world.publishing(holder, batch=2, ttl_s=0.1)
        while not stop.is_set():
            try:
                publishing.publish()
            except errors.InsightsError:
                world.sql("UPDATE store.outbox SET not_before = now()")

    threads = [threading.Thread(target=run, args=(holder,)) for holder in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    last = {}
    wakings = []
    for _ in range(60):
        ticket = rng.randint(1, 5)
        last[ticket] = world.insight(ticket, f"c{rng.randint(0, 9)}")[1]
        pid = rng.choice(world.sinks).pid
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
            wakings.append(threading.Timer(rng.uniform(0.05, 0.4), os.kill, (pid, signal.SIGCONT)))
            wakings[-1].start()
        time.sleep(0.05)
    until = time.monotonic() + 30
    while world.due() and time.monotonic() < until:
        time.sleep(0.1)
    stop.set()
    for thread in [*wakings, *threads]:
        thread.join(30)
    assert world.due() == 0
    assert {ticket: row[2] for ticket, row in world.shown().items()} == last
    assert world.legacy("SELECT * FROM backwards") == []


def test_a_sink_that_is_down_for_a_while_drains_afterwards(
    store_url: str, tmp_path: Path, new_store: Callable[[], servers.Postgres]
) -> None:
    server = new_store()
    server.create_database("legacy")
    world = World(store_url, tmp_path, server=server)
    world.make_sink()
    publishing = world.publishing()
    for ticket in range(1, 6):
        world.insight(ticket, "before")
    publishing.publish()
    server.stop()
    newest = {}
    for _ in range(3):  # insights go on; the outbox keeps one state a row
        for ticket in range(1, 5):
            newest[ticket] = world.insight(ticket, "meanwhile")[1]
        with pytest.raises(errors.SinkUnavailable):
            publishing.publish()
    ((reason, rows),) = world.sql(
        "SELECT (SELECT stopped_reason FROM store.sink), count(*) FROM store.outbox"
    )
    assert "does not answer" in reason
    assert rows == 5
    assert world.due() == 4
    server.start()
    assert publishing.publish().delivered == 4
    shown = world.shown()
    assert {ticket: row[2] for ticket, row in shown.items() if ticket < 5} == newest
    assert shown[5][0] == "before"
    assert world.sql("SELECT stopped_reason FROM store.sink") == [(None,)]
    world.close()
