"""The path of a row without its model: MariaDB rows over ODBC, poll to write, a null generator.

    python -m benchmarks.pipeline [--json] [--rows 20000]

The daemon's own wiring runs in a process of its own (`_pipeline.py`), so that its memory is the
supervisor's; the servers are durable (fsync), as in production. A quarter of the rows runs first:
what differs in peak memory between the two runs is what grows with the table. Each part is printed
as it ends, with the load. With passages, every row is given three and answered with a text.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from demo.report import Goal, report
from insights.store import migrate
from tests import servers

ROWS = 20_000
SETTINGS = """
    state_dir = "state"
    [log]
    level = "error"
    [store]
    url = "{store}"
    [source.erp]
    odbc = "{odbc}"
    [stream.orders]
    source = "erp"
    table = "work_order"
    key = ["id"]
    cursor = "updated_at"
    [model.null]
    url = "http://localhost"
"""
# What governance is taken away from, and what of it is added to what the product does anyway.
GOVERNED = """
    [stream.orders.redact]
    columns = ["title"]
    [budget.day]
    unit = "rows"
    hard = 1e9
    [budget.tokens]
    unit = "tokens"
    hard = 1e9
"""
BARE = """
    [stream.orders.redact]
    kinds = []
"""
PAIRS = 3  # governed and bare in turn: what else runs on the machine meets both
PIPELINE = """
    stream = "orders"
    model = "null"
    prompt = "prompt.j2"
    schema = "schema.json"
"""
SCHEMA = {
    "type": "object",
    "properties": {"category": {"enum": ["a", "b"]}},
    "required": ["category"],
    "additionalProperties": False,
}
PROMPT = "Which category?\n{{ row.title }}\n{{ row.description }}\n"
# A part with passages: three a row, and an answer with a text of one of them.
PASSAGES = "    # passages\n"
SHOWING = (
    PROMPT + "{% for passage in passages %}{{ passage.number }}: {{ passage.text }}\n{% endfor %}"
)
TELLING: dict[str, Any] = {
    **SCHEMA,
    "properties": {"category": {"enum": ["a", "b"]}, "cause": {"type": "string", "maxLength": 400}},
    "required": ["category", "cause"],
}
TABLE = """
CREATE TABLE work_order (
    id int PRIMARY KEY,
    updated_at timestamp(6) NOT NULL DEFAULT current_timestamp(6),
    title varchar(120) NOT NULL,
    description varchar(600) NOT NULL,
    INDEX (updated_at)
);
INSERT INTO work_order (id, updated_at, title, description)
SELECT seq, '2026-01-01' + INTERVAL seq SECOND, concat('Work order ', seq),
       concat('Order ', seq, ': ', repeat('the pump stops under load and ', 9), md5(seq))
FROM seq_1_to_{rows};
"""


@contextmanager
def prepared(
    folder: Path, pair: servers.MariaDbPair, store: servers.Postgres, rows: int, more: str = ""
) -> Iterator[str]:
    """Make a table of `rows` rows, a migrated store and the settings for both."""
    name = f"bench_{folder.name}"
    pair.primary.execute(f"CREATE DATABASE {name}")
    pair.primary.script(TABLE.replace("{rows}", str(rows)), database=name)
    pair.wait()
    store.create_database(name)
    migrate.upgrade(store.url(name))
    (folder / "pipelines").mkdir(parents=True)
    text = SETTINGS.format(
        store=store.url(name).replace(store.password, "${store_password}"),
        odbc=pair.replica.read_only(name).replace(servers.MariaDb.reader[1], "${erp_password}"),
    )
    (folder / "insights.toml").write_text(textwrap.dedent(text + more))
    (folder / "pipelines" / "category.toml").write_text(textwrap.dedent(PIPELINE))
    shows = more is PASSAGES
    (folder / "pipelines" / "prompt.j2").write_text(SHOWING if shows else PROMPT)
    (folder / "pipelines" / "schema.json").write_text(json.dumps(TELLING if shows else SCHEMA))
    yield store.url(name)


def environment(store: servers.Postgres) -> dict[str, str]:
    """Return what the measured process is given: the credentials of these settings."""
    return {
        "PATH": "/usr/bin:/bin",
        "INSIGHTS_CREDENTIAL_HASH_KEY": "benchmark",
        "INSIGHTS_CREDENTIAL_STORE_PASSWORD": store.password,
        "INSIGHTS_CREDENTIAL_ERP_PASSWORD": servers.MariaDb.reader[1],
    }


def run(
    folder: Path,
    pair: servers.MariaDbPair,
    store: servers.Postgres,
    rows: int,
    more: str = "",
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return what a run cost, and the store's bytes per row by table."""
    with prepared(folder, pair, store, rows, more) as url:
        before = _spent(store)
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "benchmarks._pipeline",
                str(folder),
                *(["bare"] * (more is BARE)),
                *(["passages"] * (more is PASSAGES)),
            ],
            env=environment(store),
            stdout=subprocess.PIPE,
            check=True,
        )
        of_store = _spent(store) - before
        with psycopg.connect(url, autocommit=True) as link:
            written = link.execute("SELECT count(*) FROM store.insight").fetchone()
            assert written == (rows,), written
            sizes = link.execute(
                "SELECT relname, pg_total_relation_size(oid) / %s::float8 FROM pg_class"
                " WHERE relnamespace = 'store'::regnamespace AND relkind = 'r'"
                " ORDER BY 2 DESC",
                (rows,),
            ).fetchall()
    result: dict[str, Any] = json.loads(done.stdout)
    result["store_cpu_s"] = of_store
    spent = {**result["cpu_s"], "store": of_store}
    print(
        f"{folder.name}: {rate(result, rows):,.0f} rows/s; µs of processor time a row: "
        + ", ".join(f"{part} {1e6 * seconds / rows:.0f}" for part, seconds in spent.items())
        + f"; load {os.getloadavg()[0]:.1f}",
        file=sys.stderr,
        flush=True,
    )
    return result, dict(sizes)


def rate(cost: dict[str, Any], rows: int) -> float:
    """Return rows a second from poll to write."""
    return float(rows / (cost["wall_s"] - cost["stages_s"]["sweep"]))


def _spent(store: servers.Postgres) -> float:
    """Return the processor seconds of the store's server, backends that ended included."""
    server = psutil.Process(int((store.data / "postmaster.pid").read_text("utf-8").split()[0]))
    spent = float(sum(server.cpu_times()[:4]))
    for backend in server.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended: its parent has its time
            spent += sum(backend.cpu_times()[:2])
    return spent


def governed(
    folder: Path, pair: servers.MariaDbPair, store: servers.Postgres, rows: int
) -> dict[str, list[dict[str, float]]]:
    """Return microseconds a row of each part, with redaction, audit and budgets, and without.

    Processor time, and both in turn: what else runs on the machine delays both and adds to neither.
    """
    found: dict[str, list[dict[str, float]]] = {GOVERNED: [], BARE: []}
    for turn in range(PAIRS):
        for more, costs in found.items():
            name = f"{'bare' if more is BARE else 'governed'}{turn}"
            cost, _ = run(folder / name, pair, store, rows, more)
            parts = {**cost["cpu_s"], "store": cost["store_cpu_s"]}
            costs.append({part: 1e6 * spent / rows for part, spent in parts.items()})
    return {"governed": found[GOVERNED], "bare": found[BARE]}


def median(costs: list[dict[str, float]]) -> float:
    """Return the median of all that a row costs, in microseconds."""
    return statistics.median(sum(cost.values()) for cost in costs)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    folder = servers.scratch()
    try:
        with (
            servers.running(servers.MariaDbPair(folder / "mariadb", durable=True)) as pair,
            servers.running(servers.Postgres(folder / "store", durable=True).create()) as store,
        ):
            few, _ = run(folder / "few", pair, store, options.rows // 4)
            many, sizes = run(folder / "many", pair, store, options.rows)
            shown, _ = run(folder / "passages", pair, store, options.rows // 2, PASSAGES)
            guarded = governed(folder, pair, store, options.rows // 2)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    processes = many["processes"]
    grown = max(
        cost["peak_mb"] - few["processes"][name]["peak_mb"] for name, cost in processes.items()
    )
    goals = [
        Goal("poll to write, null generator", rate(many, options.rows), 4_000, "rows/s"),
        Goal("the same with three passages", rate(shown, options.rows // 2), 2_000, "rows/s"),
        Goal(
            "supervisor, peak resident",
            processes["supervisor"]["peak_mb"],
            120,
            "MB",
            at_least=False,
        ),
        Goal(
            "redaction, audit and budgets, against none",
            median(guarded["governed"]) / median(guarded["bare"]),
            1.1,
            "x",
            at_least=False,
        ),
        Goal("pyodbc, torch, llama_cpp in it", len(many["heavy"]), 0, "modules", at_least=False),
        Goal("peak memory of any process, 4x the rows", grown, 10, "MB more", at_least=False),
    ]
    table = [["stage", "seconds", "rows/s"]]
    table += [
        [stage, f"{seconds:.2f}", f"{options.rows / seconds:,.0f}" if seconds else "-"]
        for stage, seconds in many["stages_s"].items()
    ]
    notes = [
        *(
            f"{name}: {cost['peak_mb']:.0f} MB peak, {cost['cpu_s']:.1f} s of processor time"
            for name, cost in processes.items()
        ),
        f"the store's bytes per row: {sum(sizes.values()):,.0f}, of which "
        + ", ".join(f"{k} {v:,.0f}" for k, v in sizes.items() if v > 1),
        *(
            f"{how}, µs of processor time a row: "
            + "; ".join(
                ", ".join(f"{part} {cost:.0f}" for part, cost in one.items()) for one in costs
            )
            for how, costs in guarded.items()
        ),
        "stages overlap: two threads, and a child process that reads",
        "the sweep after the first poll is shown, and not part of poll to write",
    ]
    title = f"Pipeline: {options.rows:,} MariaDB rows over ODBC, poll to write"
    report(title, goals, notes, options.json, table)


if __name__ == "__main__":
    main()
