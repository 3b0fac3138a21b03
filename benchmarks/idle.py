"""A daemon that has nothing to do: what it costs, how soon it is ready, how soon it is gone.

`python -m benchmarks.idle [--json] [--seconds 60] [--rounds 5]`

Ten streams over ODBC, each polled every five seconds, health asked and metrics scraped every 15
seconds, a store with fsync; all work is done before the clock starts. Processor time is that of the
processes themselves, to the nanosecond; the start is measured without the role that loads models.
"""

import argparse
import http.client
import shutil
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from demo import standin
from demo.report import Goal, report
from tests import servers
from tests.helpdesk import Helpdesk
from tests.site import Site

STREAMS = 10
ROWS = 20
SCRAPED_S = 15.0
NS = 1e9


def _site(folder: Path, store: servers.Postgres) -> Site:
    """Return an installation with ten streams, each with a pipeline."""
    store.execute("CREATE DATABASE idle")
    legacy = Helpdesk(folder / "legacy.sqlite", ROWS)
    model = folder / "model.gguf"
    standin.build(model)
    site = Site(folder, store.url("idle"), legacy.odbc, model, sink=False)
    text = '[stream.more{n}]\nsource = "legacy"\ntable = "ticket"\nkey = ["ticket_id"]\n'
    text += 'cursor = "updated_at"\n'
    site.extra = "".join(text.format(n=n) for n in range(1, STREAMS))
    site.write()
    pipelines = folder / "pipelines"
    triage = (pipelines / "triage.toml").read_text()
    for n in range(1, STREAMS):
        made = triage.replace('stream = "ticket"', f'stream = "more{n}"')
        (pipelines / f"more{n}.toml").write_text(made)
    site.insights("migrate")
    return site


def _port(pid: int) -> int:
    """Return where the daemon answers."""
    for one in psutil.Process(pid).net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN:
            return int(one.laddr.port)
    raise LookupError("it does not listen yet")


def _get(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    finally:
        connection.close()


@contextmanager
def _running(site: Site, *options: str) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """Yield a daemon that says it runs, and the seconds until it did (systemd's READY=1)."""
    path = site.folder / "notify"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(60)
        began = time.perf_counter()
        with (site.folder / "log").open("ab") as log:
            daemon = subprocess.Popen(
                site.command("run", *options),
                env=site.env(NOTIFY_SOCKET=str(path)),
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
            )
        try:
            _await(told, site)
            yield daemon, time.perf_counter() - began
        finally:
            daemon.kill()
            daemon.wait()


def _await(told: socket.socket, site: Site) -> None:
    try:
        while b"READY=1" not in told.recv(4096):
            pass
    except TimeoutError:
        said = (site.folder / "log").read_text(encoding="utf-8")
        raise RuntimeError(f"the daemon does not run: {said[-2000:]}") from None


def _cpu_s(pid: int) -> float:
    """Return the processor seconds of a process's threads so far."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) / NS for task in tasks)


def _idle(site: Site, seconds: float) -> dict[str, float]:
    """Return what a daemon costs that has done its work: shares of a core, and megabytes."""
    with _running(site) as (daemon, _):
        port = _port(daemon.pid)
        while True:
            with psycopg.connect(site.store_url) as link:
                found = link.execute("SELECT count(*) FROM store.insight").fetchone()
            if found == (STREAMS * ROWS,):
                break
            time.sleep(1)
        time.sleep(15)  # until what follows a first load is over
        family = psutil.Process(daemon.pid)
        children = family.children(recursive=True)
        before, began = {one.pid: _cpu_s(one.pid) for one in (family, *children)}, time.monotonic()
        while time.monotonic() - began < seconds:
            _get(port, "/readyz")
            _get(port, "/metrics")
            time.sleep(min(SCRAPED_S, seconds))
        wall = time.monotonic() - began
        spent = {pid: _cpu_s(pid) - cpu for pid, cpu in before.items()}
        return {
            "supervisor": spent[daemon.pid] / wall * 100,
            "all": sum(spent.values()) / wall * 100,
            "mb": family.memory_info().rss / 1e6,
        }


def _ends(site: Site, *options: str) -> tuple[float, float]:
    """Return the seconds from start to ready, and from SIGTERM to the end."""
    with _running(site, *options) as (daemon, ready_s):
        time.sleep(3)
        began = time.perf_counter()
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        return ready_s, time.perf_counter() - began


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = servers.scratch()
    try:
        with servers.running(servers.Postgres(folder / "store", durable=True).create()) as store:
            site = _site(folder, store)
            cost = _idle(site, options.seconds)
            roles = ("--roles", "poll,knowledge,publish")
            begins = [_ends(site, *roles) for _ in range(options.rounds)]
            whole = [_ends(site) for _ in range(options.rounds)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ready_s = statistics.median(ready for ready, _ in begins)
    gone_s = statistics.median(gone for _, gone in whole)
    goals = [
        Goal(
            "supervisor, ten streams every 5 s",
            cost["supervisor"],
            1,
            "% of a core",
            at_least=False,
        ),
        Goal("supervisor, resident", cost["mb"], 120, "MB", at_least=False),
        Goal("start to ready, no model to load", ready_s, 3, "s", at_least=False),
        Goal("SIGTERM to the end, idle, with a model", gone_s, 1, "s", at_least=False),
    ]
    notes = [
        f"with its children: {cost['all']:.2f} % of a core",
        "starts: " + ", ".join(f"{ready:.2f}" for ready, _ in begins) + " s",
        "ends: " + ", ".join(f"{gone:.2f}" for _, gone in whole) + " s",
    ]
    report("A daemon that has nothing to do", goals, notes, options.json)


if __name__ == "__main__":
    main()
