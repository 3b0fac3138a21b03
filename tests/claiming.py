"""Daemons that only claim and write, in processes of their own that may be killed: for budgets.

    python -m tests.claiming URL HOLDER VERSION,VERSION

Each claims what it is given, holds it for some milliseconds and writes it, until it is killed.
"""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from insights.governance.budget import Costs
from insights.model import Claim, Generation, Insight, Share, Verdict
from insights.store.insights import InsightStore
from insights.store.postgres import Store
from insights.store.work import WorkQueue

LEASE_S = 1.0
TOKENS = 100  # of each row


def fill(url: str, rows: int, pipelines: int = 1) -> None:
    """Make work of `rows` rows for each of some pipelines that follow one stream."""
    with psycopg.connect(url, autocommit=True) as link:
        link.execute("INSERT INTO store.stream (name, columns) VALUES ('s', '{body}')")
        link.execute(
            "INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version, cursor)"
            " SELECT 1, n, md5(n::text)::uuid, 1, n FROM generate_series(1, %s) n",
            (rows,),
        )
        for number in range(1, pipelines + 1):
            link.execute("INSERT INTO store.pipeline (name) VALUES (%s)", (f"p{number}",))
            link.execute(
                "INSERT INTO store.pipeline_version (pipeline_id, sha256, definition)"
                " SELECT %s, encode(sha256(convert_to(said, 'UTF8')), 'hex'), said::jsonb"
                " FROM (SELECT %s) d (said)",
                (number, f'{{"name":"p{number}"}}'),
            )
            link.execute(
                "INSERT INTO store.deployment (pipeline_version_id, pipeline_id, stream_id,"
                " columns, stage, changed_by) VALUES (%s, %s, 1, '{body}', 'full', 'test')",
                (number, number),
            )
            link.execute(
                "INSERT INTO store.work (row_id, stream_id, input_hash, pipeline_version_id)"
                " SELECT n, 1, md5(n::text)::uuid, %s FROM generate_series(1, %s) n",
                (number, rows),
            )


def finished(claim: Claim, *, tokens: int = TOKENS, route: str = "local") -> Insight:
    """Return what a claim became."""
    made = Generation(
        text="{}", finish="stop", model="m", route=route, prompt_tokens=tokens, compute_ms=10.0
    )
    verdict = Verdict(status="ok", output={"a": 1}, reason=None)
    return Insight(claim=claim, verdict=verdict, generation=made, source_cursor=None)


def queue(store: Store, holder: str, versions: list[int]) -> WorkQueue:
    """Return a queue whose leases end soon."""
    return WorkQueue(store, holder, versions, ttl_s=LEASE_S, max_attempts=5)


@contextmanager
def daemons(url: str, count: int, versions: str = "1") -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start claiming processes; kill those that are left."""
    started = [start(url, number, versions) for number in range(count)]
    try:
        yield started
    finally:
        for one in started:
            one.kill()
        for one in started:
            one.wait()


def start(url: str, number: int, versions: str = "1") -> subprocess.Popen[bytes]:
    """Start one."""
    name = f"d{number}-{random.random()}"
    return subprocess.Popen([sys.executable, "-m", "tests.claiming", url, name, versions])


class Outcome:
    """What a run under a budget has come to."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url) as link:
            row = link.execute(
                "SELECT (SELECT count(*) FROM store.insight), (SELECT max(used) FROM store.budget),"
                " (SELECT count(*) FROM store.work WHERE state = 'claimed')"
            ).fetchone()
        assert row is not None
        self.written, self.used, self.claimed = int(row[0]), float(row[1]), int(row[2])


def run(url: str, budget: int, *, count: int, kills: int, patience_s: float) -> Outcome:
    """Let daemons work under a budget of rows while some are killed, until it is used up.

    Ends when nothing is in hand any more and the budget is used, or after `patience_s` without
    progress; looks twice more then, for what comes late.
    """
    with daemons(url, count) as running:
        left, seen, moved = kills, -1, time.monotonic()
        while time.monotonic() - moved < patience_s:
            now = Outcome(url)
            if now.written != seen:
                seen, moved = now.written, time.monotonic()
            if left and seen > budget * (kills - left) / (kills + 1):
                victim = random.randrange(len(running))
                running[victim].send_signal(signal.SIGKILL)
                running[victim].wait()
                running[victim] = start(url, count + kills - left)
                left -= 1
            if now.used >= budget and not now.claimed:
                time.sleep(2 * LEASE_S)
                break
            time.sleep(0.02)
    return Outcome(url)


def main() -> None:
    """Claim and write until killed."""
    url, holder, versions = sys.argv[1:]
    numbers = [int(one) for one in versions.split(",")]
    store = Store(url, connections=2).open()
    work = queue(store, holder, numbers)
    written = InsightStore(store, holder, Costs({}, {}))
    expired = 0.0
    while True:
        if time.monotonic() - expired > LEASE_S / 2:
            work.expire()
            expired = time.monotonic()
        shares = [Share(pipeline_version_id=n, rows=random.randint(1, 16)) for n in numbers]
        claims = work.claim(shares)
        time.sleep(random.uniform(0.001, 0.05))
        if claims:
            written.write([finished(claim) for claim in claims])


if __name__ == "__main__":
    main()
