"""Polls and sweeps of a MariaDB replica over ODBC, beside plain pyodbc and dlt.

    python -m benchmarks.poll [--json] [--quick] [--rows 1000000] [--many 10000000] [--only PART]

`--quick` takes a tenth of both tables; `--only load` measures the first load and its peers alone,
`--only changes` polls with few changes of the two polled tables.
The product runs in a process of its own (`_poll.py`), so that its memory is the supervisor's; all
servers are durable (fsync), as in production.
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import psycopg

from benchmarks._poll_tables import KNOWN, POLLED, TABLES
from demo.report import Goal, report
from insights.store import migrate
from tests import servers

ROWS = 1_000_000
MANY = 10_000_000
FEW = 100_000
CHANGED = 100
ROUNDS = 15
IDLE = 20
DATABASE = "bench"
PAGE = {"key": ["id"], "source": "erp", "overlap_s": 1.0}
LOADED: dict[str, Any] = {
    **PAGE,
    "name": "loaded",
    "table": "work_order",
    "cursor": "updated_at",
    "inputs": ["title", "description"],
}
ALIKE = {**LOADED, "name": "alike", "cursor": "imported_at"}
DIRTY = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'"
# What the reader ran: a ROLLBACK ends its transaction and asks nothing; preparing is no query.
LOG = """
SELECT argument FROM mysql.general_log
WHERE user_host LIKE 'reader%' AND command_type IN ('Query', 'Execute') AND argument <> 'ROLLBACK'
ORDER BY event_time
"""


class Bench:
    """The servers, their tables, and the product in its process."""

    def __init__(self, folder: Path, rows: int, many: int) -> None:
        self.folder, self.rows = folder, rows
        self.polled = {"few": FEW * many // MANY, "many": many}
        self.pair = servers.MariaDbPair(folder / "mariadb", durable=True)
        self.store = servers.Postgres(folder / "store", durable=True)

    def prepare(self, *, polled: bool) -> float:
        """Fill the tables, on both MariaDB servers at once; return the seconds it took."""
        began = time.perf_counter()
        for name in (DATABASE, "peer"):
            self.store.create_database(name)
        migrate.upgrade(self.store.url(DATABASE))
        self.pair.primary.execute(f"CREATE DATABASE {DATABASE}")
        self.pair.primary.script(
            "CREATE TABLE elsewhere (n int);\nINSERT INTO elsewhere VALUES (0)", DATABASE
        )
        self.pair.wait()
        filling = [
            threading.Thread(target=self._fill, args=(server, polled))
            for server in (self.pair.primary, self.pair.replica)
        ]
        for thread in filling:
            thread.start()
        if polled:
            self._know()
        for thread in filling:
            thread.join()
        self._settle()
        return time.perf_counter() - began

    def start(self) -> Self:
        """Start the product."""
        self._product = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._poll"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        streams = [LOADED, ALIKE]
        streams += [
            {**PAGE, "name": name, "table": name, "cursor": "updated_at", "inputs": ["body"]}
            for name in self.polled
        ]
        given = {
            "store": self.store.url(DATABASE),
            "odbc": self.pair.replica.read_only(DATABASE),
            "streams": streams,
        }
        assert self._product.stdin is not None
        self._product.stdin.write(json.dumps(given) + "\n")
        return self

    def tell(self, *words: str) -> dict[str, Any]:
        """Let the product do something and return what it says."""
        assert self._product.stdin is not None
        assert self._product.stdout is not None
        self._product.stdin.write(json.dumps(words) + "\n")
        self._product.stdin.flush()
        answer: dict[str, Any] = json.loads(self._product.stdout.readline())
        return answer

    def stop(self) -> None:
        """Let the product end."""
        assert self._product.stdin is not None
        self._product.stdin.close()
        self._product.wait(30)

    def peer(self, *words: str) -> float:
        """Run what we are measured against and return its rows a second."""
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks._poll_peers", *words],
            stdout=subprocess.PIPE,
            check=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        assert found["rows"] == self.rows, found
        return float(found["rows"] / found["seconds"])

    def dlt(self) -> dict[str, float]:
        """Load the table with dlt, by each backend; return the rows a second."""
        user, password = servers.MariaDb.reader
        at = f"{user}:{password}@127.0.0.1:{self.pair.replica.port}/{DATABASE}"
        ends = (f"mysql+pymysql://{at}", self.store.url("peer"), str(self.folder / "dlt"))
        return {backend: self.peer("dlt", *ends, backend) for backend in ("sqlalchemy", "pyarrow")}

    def changed_polls(self) -> dict[str, list[float]]:
        """Change some rows of each table and poll it, in turns; return the seconds of each poll."""
        spent: dict[str, list[float]] = {name: [] for name in self.polled}
        chosen = random.Random(1)  # noqa: S311 - which rows change
        for number in range(ROUNDS + 1):
            for name, rows in self.polled.items():
                ids = chosen.sample(range(1, rows + 1), CHANGED)
                self.pair.primary.execute(
                    f"UPDATE {name} SET body = md5(rand()), updated_at = now(6)"
                    f" WHERE id IN ({', '.join(map(str, ids))})",
                    database=DATABASE,
                )
                self.pair.wait()
                found = self.tell("poll", name)
                assert number == 0 or found["changed"] == CHANGED, found
                if number:  # the first poll looks at the table's shape
                    spent[name].append(found["wall_s"])
        return spent

    def idle_polls(self, name: str) -> tuple[float, float, list[str]]:
        """Poll a stream without changes while another table changes.

        Returns:
            Milliseconds of our own processor time and of wall time a poll, both medians, and the
            statements of the last poll.
        """
        for _ in range(20):  # until what was loaded has left the overlap
            time.sleep(0.3)
            self._elsewhere()
            if self.tell("poll", name)["outcome"] == "unchanged" and self._settled(name):
                break
        cpu, wall = [], []
        log: list[str] = []
        replica = self.pair.replica
        replica.script("SET GLOBAL log_output = 'TABLE';\nSET GLOBAL general_log = 1")
        for _ in range(IDLE):
            self._elsewhere()
            replica.script("SET sql_log_bin = 0;\nTRUNCATE mysql.general_log")
            found = self.tell("poll", name)
            assert found["outcome"] == "unchanged", found
            cpu.append(sum(found["cpu_s"].values()) * 1e3)
            wall.append(found["wall_s"] * 1e3)
            log = [_text(row[0]) for row in replica.execute(LOG)]
        replica.execute("SET GLOBAL general_log = 0")
        return statistics.median(cpu), statistics.median(wall), log

    def _elsewhere(self) -> None:
        self.pair.primary.execute("UPDATE elsewhere SET n = n + 1", database=DATABASE)
        self.pair.wait()

    def _settled(self, name: str) -> bool:
        found = self.store.execute(
            f"SELECT passes = '[]' FROM store.stream WHERE name = '{name}'", database=DATABASE
        )
        return bool(found[0][0])

    def _fill(self, server: servers.MariaDb, polled: bool) -> None:  # noqa: FBT001 - of a thread
        parts = [TABLES.replace("{rows}", str(self.rows))]
        if polled:
            parts += [POLLED.format(table=name, rows=rows) for name, rows in self.polled.items()]
        server.script("SET sql_log_bin = 0;\n" + "".join(parts), DATABASE)

    def _settle(self) -> None:
        """Let the servers finish what filling left them to do, or it is measured with the rest."""
        with psycopg.connect(self.store.url(DATABASE), autocommit=True) as link:
            link.execute("VACUUM ANALYZE")
            link.execute("CHECKPOINT")
        for server in (self.pair.primary, self.pair.replica):
            server.execute("SET GLOBAL innodb_max_dirty_pages_pct = 0")
            while int(server.execute(DIRTY)[0][1]):
                time.sleep(0.5)
            server.execute("SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT")

    def _know(self) -> None:
        with psycopg.connect(self.store.url(DATABASE), autocommit=True) as link:
            for name, rows in self.polled.items():
                link.execute(KNOWN.format(table=name, rows=rows))


def loaded(bench: Bench) -> tuple[float, dict[str, Any]]:
    """Return how many rows a second plain fetchmany gets, and the product's first load."""
    odbc = bench.pair.replica.read_only(DATABASE)
    plain = max(bench.peer("fetchmany", odbc) for _ in range(2))
    bench.start()
    load = bench.tell("poll", "loaded")
    assert load["new"] == bench.rows, load
    return plain, load


def load_alone(bench: Bench, options: argparse.Namespace) -> None:
    """Measure the first load and its peers, and nothing else."""
    bench.prepare(polled=False)
    plain, load = loaded(bench)
    bench.stop()
    dlt = bench.dlt()
    rate = bench.rows / load["wall_s"]
    goals = _load_goals(rate, plain, dlt)
    table = [_HEAD, ["plain fetchmany", f"{plain:,.0f}", "", ""], _row(bench, "load", load)]
    table += [[f"dlt ({backend})", f"{speed:,.0f}", "", ""] for backend, speed in dlt.items()]
    report(f"First load: {bench.rows:,} rows of a MariaDB replica", goals, [], options.json, table)


def changes_alone(bench: Bench, options: argparse.Namespace) -> None:
    """Measure polls with few changes, and nothing else."""
    filled_s = bench.prepare(polled=True)
    bench.start()
    spent = bench.changed_polls()
    bench.stop()
    notes = [f"filling took {filled_s:.0f} s"]
    for name, seconds in spent.items():
        told = ", ".join(f"{each * 1e3:.1f}" for each in sorted(seconds))
        notes.append(f"{bench.polled[name]:,} rows: {told} ms")
    goals = [_changes_goal(bench, spent)]
    report("Polls with few changes of a MariaDB replica", goals, notes, options.json)


def _changes_goal(bench: Bench, spent: Mapping[str, Sequence[float]]) -> Goal:
    many, few = (statistics.median(spent[name]) for name in ("many", "few"))
    rows = f"{bench.polled['many']:,} rows against {bench.polled['few']:,}"
    return Goal(f"poll with {CHANGED} changes, {rows}", many / few, 1.2, "x", at_least=False)


def _load_goals(rate: float, plain: float, dlt: dict[str, float]) -> list[Goal]:
    return [
        Goal("first load, against plain fetchmany", rate / plain, 0.5, "x"),
        *(
            Goal(f"first load, against dlt ({backend})", rate / speed, goal, "x")
            for (backend, speed), goal in zip(dlt.items(), (5, 2), strict=True)
        ),
    ]


_HEAD = ["what", "rows/s", "reader CPU, µs a row", "supervisor CPU, µs a row"]


def _row(bench: Bench, what: str, found: dict[str, Any]) -> list[str]:
    spent = (found["cpu_s"][who] / bench.rows * 1e6 for who in ("reader", "supervisor"))
    return [what, f"{bench.rows / found['wall_s']:,.0f}", *(f"{each:.1f}" for each in spent)]


def measured(bench: Bench, options: argparse.Namespace) -> None:
    """Measure everything, in an order that leaves each figure alone on the machine."""
    filled_s = bench.prepare(polled=True)
    plain, load = loaded(bench)
    after_load = bench.tell("cost")
    sweep = bench.tell("sweep", "loaded")
    assert sweep["rows"] == bench.rows, sweep
    assert not sweep["rescued"], sweep
    dlt = bench.dlt()
    spent = bench.changed_polls()
    idle = {"loaded": bench.idle_polls("loaded")}
    bench.tell("poll", "alike")
    idle["alike"] = bench.idle_polls("alike")
    peak = bench.tell("cost")
    bench.stop()
    goals = [
        *_load_goals(bench.rows / load["wall_s"], plain, dlt),
        _changes_goal(bench, spent),
        *(
            goal
            for name, (cpu, _wall, log) in idle.items()
            for goal in (
                Goal(f"poll without changes ({name})", len(log), 2, "queries", at_least=False),
                Goal(f"poll without changes ({name})", cpu, 5, "ms of CPU", at_least=False),
            )
        ),
        Goal("sweep of unchanged rows", bench.rows / sweep["wall_s"], 100_000, "rows/s"),
        Goal("reader, peak resident", peak["reader"], 200, "MB", at_least=False),
        Goal("supervisor, peak resident", peak["supervisor"], 120, "MB", at_least=False),
    ]
    table = [
        _HEAD,
        ["plain fetchmany", f"{plain:,.0f}", "", ""],
        *(_row(bench, what, found) for what, found in (("load", load), ("sweep", sweep))),
        *([f"dlt ({backend})", f"{speed:,.0f}", "", ""] for backend, speed in dlt.items()),
    ]
    notes = [
        f"filling the tables, and the store for the two polled ones, took {filled_s:.0f} s",
        *(
            f"median poll of {name}: {statistics.median(seconds) * 1e3:.1f} ms"
            for name, seconds in spent.items()
        ),
        *(f"poll without changes of {name}: {wall:.1f} ms" for name, (_, wall, _) in idle.items()),
        "statements of such a poll: " + " | ".join(idle["alike"][2]),
        "alike: all rows share the cursor's value; the server counts them, which is its own time",
        "the reader's login has SELECT alone: with SLAVE MONITOR it also asks for the lag",
        f"peaks after the load: {after_load}, at the end: {peak} (MB)",
        "dlt: an incremental cursor, pymysql, rows appended; its backend is sqlalchemy by default",
    ]
    title = f"Polling: {bench.rows:,} and {bench.polled['many']:,} rows of a MariaDB replica"
    report(title, goals, notes, options.json, table)


_ALONE = {"load": load_alone, "changes": changes_alone}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.poll", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a tenth of both tables")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows that are loaded and swept")
    parser.add_argument("--many", type=int, default=MANY, help="rows of the long polled table")
    parser.add_argument("--only", choices=_ALONE, help="this part alone")
    options = parser.parse_args()
    if find_spec("pyarrow") is None or find_spec("dlt") is None:
        parser.error("dlt or pyarrow is not installed: run .ci/setup.sh bench")
    share = 10 if options.quick else 1
    folder = servers.scratch()
    try:
        bench = Bench(folder, options.rows // share, options.many // share)
        bench.store.create()
        with servers.running(bench.pair), servers.running(bench.store):
            _ALONE.get(options.only, measured)(bench, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _text(value: object) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return " ".join(text.split())


if __name__ == "__main__":
    main()
