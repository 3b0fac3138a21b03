"""One installation for end-to-end tests: settings in a folder, and the product's own command line.

Rows are in a legacy database reached over ODBC, the store is the test's own, the model a stand-in
with random weights: what it writes is arbitrary, that it is written exactly once is the point.
"""

import copy
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import ready

PROMPT = "Describe the record.\n{{ row.subject }}\n{{ row.body }}\n"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "category": {"type": "string", "enum": ["question", "problem", "other"]},
        "urgent": {"type": "boolean"},
    },
    "required": ["category", "urgent"],
    "additionalProperties": False,
}


@dataclass
class Site:
    """Settings in `folder`; change the attributes before `write`, or write again."""

    folder: Path
    store_url: str
    odbc: str
    model: Path
    sink_odbc: str = ""
    source: str = "legacy"
    stream: str = 'table = "ticket"\nkey = ["ticket_id"]\ncursor = "updated_at"\noverlap = "0.5s"'
    prompt: str = PROMPT
    schema: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(SCHEMA))
    pipeline: str = ""
    extra: str = ""
    sink: bool = True
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_inbox(
        cls,
        folder: Path,
        store_url: str,
        model: Path,
        monkeypatch: pytest.MonkeyPatch,
        extra: str = "",
        prompt: str = PROMPT,
    ) -> "Site":
        """Write one whose stream is the inbox, and give this process its environment."""
        made = cls(folder, store_url, "", model, source="inbox", stream='key = ["id"]')
        made.sink, made.extra, made.prompt = False, extra, prompt
        made.write()
        for name, value in made.env().items():
            monkeypatch.setenv(name, value)
        return made

    @property
    def config(self) -> Path:
        return self.folder / "insights.toml"

    def write(self) -> "Site":
        (self.folder / "pipelines").mkdir(parents=True, exist_ok=True)
        sha256 = hashlib.sha256(self.model.read_bytes()).hexdigest()
        self.config.write_text(
            f"""
state_dir = "state"
[daemon]
name = "test"
batch = 8
in_flight = 16
lease = "3s"
[source.legacy]
odbc = "{self.odbc}"
[source.primary]
odbc = "{self.sink_odbc or self.odbc}"
[stream.ticket]
source = "{self.source}"
{self.stream}
[model.stand_in]
path = "{self.model}"
sha256 = "{sha256}"
parallel = 4
context = 512
[sink.legacy]
source = "primary"
table = "ai_insight"
{self.extra}
"""
        )
        (self.folder / "pipelines" / "triage.toml").write_text(
            'stream = "ticket"\nmodel = "stand_in"\nprompt = "../prompt.j2"\n'
            'schema = "../schema.json"\n'
            + ('sink = "legacy"\n' if self.sink else "")
            + self.pipeline
            + "\n[sampling]\nmax_tokens = 40\n"
        )
        (self.folder / "prompt.j2").write_text(self.prompt)
        (self.folder / "schema.json").write_text(json.dumps(self.schema))
        return self

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "insights", "-c", str(self.config), *arguments]

    def env(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "INSIGHTS_STORE__URL": self.store_url,
            "INSIGHTS_CREDENTIAL_HASH_KEY": "a key for tests",
            "INSIGHTS_LOG__FORMAT": "json",
            "INSIGHTS_HEALTH__LISTEN": "127.0.0.1:0",  # tests of other checkouts run beside
            **self.environment,
            **more,
        }

    def insights(
        self,
        *arguments: str,
        code: int = 0,
        timeout: float = 120,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end and check its exit code."""
        words = ["-c", str(self.config), *arguments]
        done = ready.run(words, self.env(**(env or {})), timeout)
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def run_once(self, **env: str) -> dict[str, int]:
        """Work everything off; return what changed."""
        counts: dict[str, int] = json.loads(
            self.insights("run", "--once", "--json", env=env).stdout
        )
        return counts

    def killed(self, failpoint: str) -> bool:
        """Run once with a failpoint; tell whether it was reached."""
        words = ["-c", str(self.config), "run", "--once"]
        done = ready.run(words, self.env(INSIGHTS_FAILPOINT=failpoint), timeout=120)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode != 0

    def start(self, *arguments: str, **env: str) -> "subprocess.Popen[str]":
        """Start the daemon."""
        return subprocess.Popen(
            self.command("run", *arguments),
            env=self.env(**env),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the store."""
        with psycopg.connect(self.store_url) as connection:
            return connection.execute(statement, values).fetchall()

    def assert_exactly_once(self, keys: set[str]) -> None:
        """Each row has one insight; nothing is open, dead or lost."""
        found = self.query(
            "SELECT l.row_key, count(i.*) FROM store.ledger l LEFT JOIN store.insight i"
            " ON i.row_id = l.row_id AND i.input_hash = l.input_hash"
            " WHERE l.gone_at IS NULL GROUP BY 1"
        )
        assert dict(found) == dict.fromkeys(keys, 1)
        current = self.query(
            "SELECT count(*) FROM insights.current WHERE NOT stale AND gone_at IS NULL"
        )
        assert current == [(len(keys),)]
        open_work = self.query(
            "SELECT state, count(*) FROM store.work WHERE state NOT IN ('done', 'superseded',"
            " 'cancelled') GROUP BY 1"
        )
        assert open_work == []
        columns = "ok + abstained + withheld + pending + dead + missing + gone + skipped"
        assert (
            self.query(f"SELECT 1 FROM insights.completeness WHERE rows_known <> {columns}") == []
        )
