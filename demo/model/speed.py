"""Times the demo's whole pipeline, in a folder of its own so that `.demo/` stays as it is."""

import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from demo.data import build_database, tickets

ROOT = Path(__file__).resolve().parents[2]
_CONFIG = ROOT / "demo" / "config" / "insights.toml"


def rows_a_second(model: Path) -> float:
    """Return the demo's tickets by the seconds that `insights run --once` takes for them.

    Its start, with store, embedder and model, and its end are in them.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = build_database(folder / ".demo" / "helpdesk.sqlite")
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "INSIGHTS_STATE_DIR": str(folder / "state"),
            "INSIGHTS_MODEL__HELPDESK__PATH": str(model.resolve()),
            "INSIGHTS_MODEL__HELPDESK__SHA256": hashlib.sha256(model.read_bytes()).hexdigest(),
            "INSIGHTS_LOG__LEVEL": "warning",
        }

        def insights(*arguments: str) -> str:
            return subprocess.run(
                [sys.executable, "-m", "insights", "--config", str(_CONFIG), *arguments],
                cwd=folder,
                env=environment,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout

        insights("migrate")
        insights("knowledge", "sync")
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(insights("sink", "ddl", "helpdesk"))
        began = time.monotonic()
        insights("run", "--once")
        return len(tickets()) / (time.monotonic() - began)
