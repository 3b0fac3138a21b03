"""Benchmarks: each can be run; parts are bounded, told as they end, and never left behind."""

import re
import time
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import timers
from benchmarks._parts import Parts
from tests import servers

_MODULE = """
import json, os, subprocess, sys, time
name, raw = sys.argv[2:]
if name == "long":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(json.loads(raw)[0], "w").write(str(child.pid))
    time.sleep(600)
print("chatter")
print(json.dumps({"rows": 3, "took_s": 1.5, "cpu_s": 2.0, "load": 0.5}))
"""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    (tmp_path / "parted.py").write_text(_MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Parts("parted", bound_s=5.0)


@pytest.mark.usefixtures("parts")
def test_a_part_says_what_it_took_as_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    found = Parts("parted").run("short")
    assert found is not None
    assert (found["rows"], found["cpu_s"]) == (3, 2.0)
    said = capsys.readouterr().err
    assert "short: 3 rows in 1.5 s, 2.0 s of processor time" in said


def test_a_part_that_does_not_end_is_ended_with_all_that_it_started(
    parts: Parts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parts.run("long", tmp_path / "pid") is None
    assert "long: ended after 5 s, no figures" in capsys.readouterr().err
    until = time.monotonic() + 60.0
    while time.monotonic() < until and _runs(tmp_path / "pid"):
        time.sleep(0.05)
    assert not _runs(tmp_path / "pid")


@pytest.mark.usefixtures("parts")
def test_all_parts_together_end_in_their_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    together = Parts("parted", total_s=3.0)
    assert together.run("long", tmp_path / "pid") is None
    assert together.run("short") is None
    said = capsys.readouterr().err
    assert "long: ended after 3 s, no figures; --total gives it longer" in said
    assert "short: left out, the time for all parts is over" in said


def _runs(told: Path) -> bool:
    """Return whether the process that a file names runs; a slow machine may have started none."""
    try:
        pid = int(told.read_text())
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, ValueError):
        return False


@pytest.mark.parametrize("name", bench.names())
def test_make_bench_can_run_each_benchmark(name: str) -> None:
    """It asks for JSON, and gives nothing else."""
    arguments = (Path(timers.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    assert 'add_argument("--json"' in arguments
    assert not re.search(r"add_argument\(\s*\"[^-]", arguments)


def test_each_statement_of_the_clock_is_asked_of_a_filled_store(
    store_server: servers.Postgres,
) -> None:
    took = timers.times(store_server, 200, 20)
    assert "work.outstanding" in took
    assert all(each > 0 for each in took.values())
