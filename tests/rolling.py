"""Two versions of a pipeline on one stream, worked through without a model: what rollouts show."""

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from insights.model import Bookmark, Claim, Generation, Insight, Page, Row, Share, Verdict
from insights.publishing.sinks import Publishing
from insights.sinks.client import SinkClient
from insights.store.deployments import Deployments
from insights.store.insights import InsightStore, Registry
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.outbox import SinkOutbox
from insights.store.postgres import Store
from insights.store.rollout import Outcome, Rollout, Step
from insights.store.work import WorkQueue
from tests.published import SPEC


class Rolling:
    """A store with a stream `s`, a sink, and version 1 of the pipeline `p`; others are added.

    Args:
        url: A migrated, empty store.
        keys: Of the rows that there are.
        columns: What version 1 reads of `a` and `b`.

    What a version in `wrong` makes is that of each row.
    """

    def __init__(self, url: str, keys: list[str], columns: tuple[str, ...] = ("a",)) -> None:
        self.url = url
        self.store = Store(url, connections=4).open()
        self.sink_id = Registry(self.store).sink(SPEC.name)
        self.texts = dict.fromkeys(keys, "first")
        self.columns: dict[int, tuple[str, ...]] = {}
        self.wrong: dict[int, Verdict] = {}
        self.rollout = Rollout(self.store, "insights promote", "anna")
        self.add("1", columns)
        self.ledger = Ledger(self.store, "s", holder="test")
        lease = Leases(self.store, "test", ttl_s=600).take("stream s")
        assert lease is not None
        self.lease = lease
        self.poll()

    def add(self, digit: str, columns: tuple[str, ...] = ("a",), *, shadow: bool = False) -> int:
        """Register a version as a daemon does; return its id."""
        version = Deployments(self.store, "test").register(
            "p",
            digit * 64,
            {},
            stream="s",
            columns=columns,
            sink_id=self.sink_id,
            stage="shadow" if shadow else "full",
        )
        self.columns[version.version_id] = columns
        return version.version_id

    def step(self, version: int, step: Step) -> Outcome:
        """Take a step, and hold it against its preview."""
        told = self.rollout.preview(version, step)
        done = self.rollout.change(version, step)
        assert told == done
        return done

    def poll(self, text: str | None = None, *keys: str) -> None:
        """Give some rows another text, and poll all."""
        if text is not None:
            self.texts.update(dict.fromkeys(keys or self.texts, text))
        following = self.ledger.follow(self.lease)
        wide = bool(following.own) or following.changes
        lines = []
        for key, now in self.texts.items():
            line = f"{key}\t{_hash(now, following.columns)}\t1"
            if wide:
                own = ",".join(_hash(now, columns) for columns in following.own)
                former = following.former_columns or following.columns
                line += f"\t{_hash(now, former)}\t{{{own}}}\t{{{own}}}"
            lines.append(line + "\n")
        page = Page(
            len(lines), "".join(lines).encode(), Bookmark(key=("z",)), complete=True, wide=wide
        )
        self.ledger.record(self.lease, following.stream_id, page, read_at=0.0, bookmark=False)

    def claim(self, version: int, rows: int = 5_000, *, expire: bool = True) -> list[Claim]:
        """Claim what waits for a version, and follow rows that have moved on, as the flow does."""
        queue = WorkQueue(self.store, "test", [version], ttl_s=60, max_attempts=3)
        if expire:
            queue.expire()  # re-points what waits for retired versions, too
        held, moved = [], []
        for claim in queue.claim([Share(version, rows)]):
            now = bytes.fromhex(_hash(self.texts[claim.row_key], self.columns[version]))
            if now == claim.input_hash:
                held.append(claim)
            else:
                moved.append((claim, Row(claim.row_key, now, None, {})))
        return held + (queue.move(moved) if moved else [])

    def write(self, claims: Sequence[Claim]) -> None:
        """Write what claims became: the version's number, and the text that it saw."""
        InsightStore(self.store, "test").write([self._made(claim) for claim in claims])

    def work(self, *versions: int) -> int:
        """Do what waits for some versions, one after the other; return how many rows were made."""
        done = 0
        for version in versions:
            while claims := self.claim(version):
                self.write(claims)
                done += len(claims)
        return done

    def shown(self) -> dict[str, str]:
        """Return what the store says is current, by key."""
        found = self.query(
            "SELECT row_key, output ->> 'category' FROM insights.current WHERE pipeline = 'p'"
        )
        return {str(key): str(text) for key, text in found}

    def told(self) -> dict[str, tuple[str, str]]:
        """Return what the sink is to show by key: the text, and whether it is current."""
        found = self.query(
            "SELECT l.row_key, i.output ->> 'category', o.shows FROM store.outbox o"
            " JOIN store.ledger l USING (row_id) JOIN store.insight i USING (insight_id)"
        )
        return {str(key): (str(text), str(shows)) for key, text, shows in found}

    def revisions(self) -> list[tuple[Any, ...]]:
        """Return the outbox, and the counter that only grows."""
        return [
            *self.query("SELECT row_id, revision, insight_id, shows FROM store.outbox ORDER BY 1"),
            *self.query("SELECT last_value FROM store.revision"),
        ]

    def open(self) -> list[tuple[Any, ...]]:
        """Return what is still to be done, by version."""
        return self.query(
            "SELECT pipeline_version_id, count(*) FROM store.work"
            " WHERE state IN ('pending', 'claimed', 'missing') GROUP BY 1 ORDER BY 1"
        )

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the store."""
        with psycopg.connect(self.url, autocommit=True) as link:
            found = link.execute(statement.encode(), values)
            return found.fetchall() if found.description else []

    def close(self) -> None:
        """End the connections."""
        self.store.close()

    def _made(self, claim: Claim) -> Insight:
        text = f"{claim.pipeline_version_id} {self.texts[claim.row_key]}"
        made = Generation(text="{}", finish="stop", model="m", route="local", prompt_tokens=1)
        verdict = Verdict(status="ok", output={"category": text})
        verdict = self.wrong.get(claim.pipeline_version_id, verdict)
        return Insight(claim=claim, verdict=verdict, generation=made, source_cursor=None)


class Screen:
    """A real sink, and what an application reads of it."""

    def __init__(self, rolling: Rolling, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "legacy.sqlite"
        self._run("CREATE TABLE ticket (ticket_id INTEGER PRIMARY KEY)")
        self._client = SinkClient(SPEC, f"DRIVER={{SQLite3}};DATABASE={self.path}", timeout_s=5)
        for statement in self._client.ddl().split(";\n"):
            if "CREATE" in statement:
                self._run(statement)
        outbox = SinkOutbox(rolling.store, Leases(rolling.store, "one", ttl_s=60), SPEC.name)
        self._job = Publishing(SPEC.name, self._client, outbox)

    def bytes(self) -> bytes:
        """Publish whatever is due; return the whole table as it lies there."""
        self._job.publish()
        with closing(sqlite3.connect(self.path)) as link:
            return "\n".join(link.iterdump()).encode()

    def rows(self) -> list[tuple[Any, ...]]:
        """Publish whatever is due; return the columns that two stores can have in common."""
        self._job.publish()
        return self._run(
            "SELECT ticket_id, category, status, pipeline_version, model FROM ai_insight_triage"
            " ORDER BY 1"
        )

    def close(self) -> None:
        """End the publisher."""
        self._client.close()

    def _run(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as link:
            return link.execute(statement).fetchall()


def _hash(text: str, columns: tuple[str, ...]) -> str:
    """Return a row's hash over some columns: only `a` ever changes."""
    values = [text if name == "a" else name for name in columns]
    return hashlib.sha256(repr(values).encode()).hexdigest()[:32]
