"""A reader that hangs, a right that is revoked: nobody is charged, and nobody else waits."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

import msgspec
import psycopg
import pytest

from insights import errors
from insights.enriching.recipe import Recipe
from insights.model import GenerateRequest, Generation, ModelInfo, Sampling
from insights.pipeline import Pipeline
from insights.polling.courtesy import Courtesy
from insights.polling.sweeper import Sweeper
from insights.sources.client import SourceClient
from insights.steps.prompt import Template
from insights.store.deployments import Deployments
from insights.store.insights import InsightStore
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.postgres import Store
from insights.store.work import WorkQueue
from tests.helpdesk import Helpdesk
from tests.legacy import HASH_KEY, stream
from tests.site import Site

pytestmark = pytest.mark.faults

ROWS = 40
SECRET = "only-in-tests"


class Instant:
    """A generator that answers at once."""

    def info(self) -> ModelInfo:
        raise NotImplementedError

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        future: Future[Generation] = Future()
        text = msgspec.json.encode({"echo": request.row["body"]}).decode()
        future.set_result(Generation(text=text, finish="stop", model="instant"))
        return future


class Sources:
    """Two legacy databases with a stream, a reader child and a recipe each."""

    def __init__(self, store: Store, folder: Path, stack: ExitStack) -> None:
        leases = Leases(store, "daemon", ttl_s=60)
        self.readers: dict[str, SourceClient] = {}
        self.recipes: dict[int, Recipe] = {}
        for name in ("hung", "healthy"):
            legacy = Helpdesk(folder / f"{name}.sqlite", ROWS, sink=False)
            spec = stream(name=name, source=name, key=("ticket_id",), inputs=("body",))
            registered = Deployments(store).register(
                name, "0" * 64, {}, stream=name, columns=spec.inputs
            )
            version = registered.version_id
            reader = SourceClient(name, legacy.odbc, hash_key=HASH_KEY, timeout_s=20)
            stack.callback(reader.close)
            ledger = Ledger(store, name, holder="daemon")
            Sweeper(spec, reader, ledger, leases, Courtesy(), 3600).run_once()
            self.readers[name] = reader
            self.recipes[version] = Recipe(
                name=name,
                stream=spec,
                source=reader,
                generator=Instant(),
                template=Template("{{ row.body }}"),
                output_schema={"type": "object", "properties": {"echo": {"type": "string"}}},
                abstain=(),
                sampling=Sampling(),
                cut=(),
                retriever=None,
                query_columns=(),
                deadline_s=60,
                version_id=version,
            )
        work = WorkQueue(store, "daemon", list(self.recipes), ttl_s=60, max_attempts=5)
        insights = InsightStore(store, "daemon")
        self.pipeline = Pipeline(self.recipes, work, insights, batch=8, in_flight=16)

    def drive(self, until: Callable[[], bool], seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, "it never came to that"
            self.pipeline.advance()
            self.pipeline.settle(0.02)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url).open()
    yield store
    store.close()


def _counted(store: Store, stream_name: str) -> dict[str, int]:
    with store.connection() as connection:
        rows = connection.execute(
            "SELECT w.state, count(*) FROM store.work w JOIN store.stream s USING (stream_id)"
            " WHERE s.name = %s GROUP BY 1",
            (stream_name,),
        ).fetchall()
    return dict(rows)


def test_a_reader_that_hangs_and_is_killed_three_times_holds_no_other_source(
    store: Store, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        sources = Sources(store, tmp_path, stack)
        pid = sources.readers["hung"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        sources.drive(lambda: _counted(store, "healthy") == {"done": ROWS})
        assert "done" not in _counted(store, "hung")
        killed = {pid}
        os.kill(pid, signal.SIGKILL)  # as its deadline does
        while len(killed) < 3:
            sources.drive(lambda: sources.readers["hung"].pid not in {None, *killed})
            pid = sources.readers["hung"].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        assert "dead" not in _counted(store, "hung")
        with store.connection() as connection:
            connection.execute("UPDATE store.work SET not_before = now()")
        sources.drive(lambda: _counted(store, "hung") == {"done": ROWS})
        with store.connection() as connection:
            found = connection.execute("SELECT DISTINCT attempts FROM store.work").fetchall()
        assert found == [(1,)]


def test_a_right_that_is_revoked_under_a_running_daemon(
    site: Site, store_url: str, tmp_path: Path
) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    site.environment["INSIGHTS_STORE__URL"] = re.sub("//[^@]+@", f"//clerk:{SECRET}@", store_url)
    with psycopg.connect(store_url, autocommit=True) as owner:
        owner.execute(
            f"CREATE ROLE clerk LOGIN PASSWORD '{SECRET}';"
            "GRANT USAGE ON SCHEMA store, insights TO clerk;"
            "GRANT ALL ON ALL TABLES IN SCHEMA store, insights, public TO clerk;"
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA store TO clerk;"
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA store TO clerk"
        )
        daemon = site.start()
        try:
            _until(lambda: site.query("SELECT count(*) = 40 FROM store.insight"))
            owner.execute("REVOKE INSERT ON store.insight FROM clerk")
            legacy.add(range(41, 81))  # rows that nothing can be written of, however fast it is
            _until(lambda: site.query("SELECT count(*) >= 8 FROM store.work WHERE state='claimed'"))
            why = "SELECT strpos(stopped_reason, 'permission denied') > 0 FROM store.deployment"
            _until(lambda: site.query(why))  # as `insights status` shows it
            time.sleep(8.0)  # longer than two leases
            dead = site.query("SELECT count(*) FROM store.work WHERE state = 'dead'")
            owner.execute("GRANT INSERT ON store.insight TO clerk")
            _until(lambda: site.query("SELECT count(*) = 80 FROM store.insight"))
            _until(lambda: site.query("SELECT stopped_reason IS NULL FROM store.deployment"))
        finally:
            daemon.send_signal(signal.SIGTERM)
            _, log = daemon.communicate(timeout=60)
            owner.execute("DROP OWNED BY clerk; DROP ROLE clerk")
    assert (daemon.returncode, dead) == (0, [(0,)]), log
    lines = [json.loads(line) for line in log.splitlines()]
    stopped = [line for line in lines if line["event"] == "stopped" and line.get("part") == "store"]
    assert len(stopped) == 1, log
    assert "permission denied for table insight" in stopped[0]["reason"]
    assert site.query("SELECT max(attempts) FROM store.work") == [(1,)]
    del site.environment["INSIGHTS_STORE__URL"]
    site.run_once()
    site.assert_exactly_once(legacy.keys())


def test_one_pass_ends_with_the_reason_where_a_template_renders_no_row(site: Site) -> None:
    site.prompt = "{{ row.subject.words.first }}"
    site.write()
    ended = site.insights("run", "--once", code=errors.SettingsError.exit_code)
    assert "prompt.j2" in ended.stderr + ended.stdout
    assert site.query("SELECT state, max(attempts), count(*) FROM store.work GROUP BY 1") == [
        ("pending", 0, 40)
    ]


def _until(holds: Callable[[], list[tuple[bool]]], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds()[0][0]:
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)
