"""Files dropped in a folder: each good record one outcome, each file one result, whatever fails."""

import csv
import io
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.site import Site

MAIL = "anna.muster@example.com"
KILLS = 4


@pytest.fixture
def dropped(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path, dropped: Path) -> Site:
    stream = 'key = ["id"]\n[stream.ticket.redact]\ncolumns = ["name"]'
    made = Site(tmp_path, store_url, "", stand_in, source="inbox", stream=stream, sink=False)
    made.extra = door(dropped, 'complete = "renamed"')
    made.write().insights("migrate")
    return made


def door(folder: Path, more: str) -> str:
    return f'[door.exports]\nfolder = "{folder}"\npipeline = "triage"\nevery = "100ms"\n{more}\n'


def text(*rows: tuple[object, ...]) -> str:
    made = io.StringIO()
    csv.writer(made).writerows([("id", "subject", "body", "name"), *rows])
    return made.getvalue()


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


def until(is_so: Callable[[], bool], seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def put(folder: Path, name: str, content: str) -> None:
    made = folder / f".{name}"
    made.write_text(content)
    made.rename(folder / name)


def test_good_records_get_outcomes_bad_ones_a_report(site: Site, dropped: Path) -> None:
    put(dropped, "a.csv", text((1, "s", f"write {MAIL}", "Muster"), (2, "s", "b", "")))
    put(dropped, "b.csv", text((3, "s", "b", ""), ("", "s", "b", ""), (4, "s"), (5, "s", "b", "")))
    put(dropped, "c.csv", "id,other\n6,x\n")
    put(dropped, "notes.txt", "no export")
    (dropped / "link.csv").symlink_to(site.config)
    site.run_once()
    out, failed = dropped / "out", dropped / "failed"
    assert [one["id"] for one in rows(out / "a.csv")] == ["1", "2"]
    assert [one["id"] for one in rows(out / "b.csv")] == ["3", "5"]
    assert {p.name for p in out.iterdir()} == {"a.csv", "b.csv"}
    assert {p.name for p in (dropped / "done").iterdir()} == {"a.csv"}
    report = [(one["line"], one["column"]) for one in rows(failed / "b.csv.report.csv")]
    assert report == [("3", "1"), ("4", "3")]
    assert "'subject' is missing" in (failed / "c.csv.report.csv").read_text()
    assert {p.name for p in dropped.iterdir() if p.is_file()} == {"notes.txt", "link.csv"}
    site.assert_exactly_once({"1", "2", "3", "5"})

    first = rows(out / "a.csv")
    put(dropped, "a.csv", text((1, "s", f"write {MAIL}", "Muster"), (2, "s", "b", "")))
    (out / "a.csv").unlink()  # the bot took it
    assert site.run_once()["insights"] == 0
    assert rows(out / "a.csv") == first
    put(dropped, "a.csv", text((1, "s", "other", "")))  # and this result it did not take
    site.run_once()
    assert len(list(out.glob("a*.csv"))) == 2
    assert rows(out / "a.csv") == first
    assert len(list((dropped / "done").glob("a*.csv"))) == 3

    status = json.loads(site.insights("status", "--json").stdout)["doors"]
    assert [(one["waiting"], one["failed"], one["troubles"]) for one in status] == [(0, 2, [])]
    kept = str(site.query("SELECT b::text FROM store.inbox b")) + "".join(
        path.read_text(errors="replace")
        for path in site.folder.rglob("*")
        if path.is_file() and path != site.model and path.parent not in (dropped / "done", failed)
    )
    assert MAIL not in kept
    assert "Muster" not in kept


def test_the_robot_of_the_page_works(site: Site, dropped: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "doors.md").read_text().partition("### A robot")[2]
    script = page.partition("```bash\n")[2].partition("```")[0]
    shown = list(csv.DictReader(io.StringIO(page.partition("```text\n")[2].partition("```")[0])))
    site.stream = 'key = ["id"]'
    site.write()
    done = script.replace("/srv/exports", str(dropped))
    subprocess.run(["bash", "-euc", done], check=True, timeout=30)
    site.run_once()
    made = rows(dropped / "out" / "export.csv")
    assert list(made[0]) == list(shown[0])
    assert [(one["id"], one["standing"]) for one in made] == [("7", "done")]


def test_a_file_is_taken_when_it_is_complete(site: Site, dropped: Path) -> None:
    site.extra = door(dropped, 'complete = "marker"\nmarker = ".ok"\nformat = "jsonl"\n'
                      'pattern = "*.json"') + door(
        dropped / "calm", 'complete = "still"\nstill = "3s"'
    ).replace("exports", "calm")  # fmt: skip
    (dropped / "calm").mkdir()
    site.write()
    line = json.dumps({"id": 1, "subject": "s", "body": "b", "name": None})
    (dropped / "a.json").write_text(line + "\n")
    growing = dropped / "calm" / "b.csv"
    growing.write_text("id,subject,body,name\n")
    daemon = site.start()
    try:
        for number in range(8):  # it grows for longer than it has to stand still
            with growing.open("a") as file:
                file.write(f"{number},s,b,n\n")
            time.sleep(0.5)
        assert not (dropped / "calm" / "out" / "b.csv").exists()
        assert not (dropped / "out" / "a.json").exists()
        (dropped / "a.json.ok").touch()
        until((dropped / "done" / "a.json").exists)
        until((dropped / "calm" / "done" / "b.csv").exists)
        until(lambda: not (dropped / "a.json.ok").exists())
    finally:
        daemon.terminate()
        daemon.communicate(timeout=60)
    assert json.loads((dropped / "out" / "a.json").read_text())["id"] == 1
    assert len(rows(dropped / "calm" / "out" / "b.csv")) == 8


def test_what_cannot_be_written_is_told_and_tried_again(site: Site, dropped: Path) -> None:
    (dropped / "out").symlink_to("/dev/full")  # no folder, whoever asks: root may write any other
    put(dropped, "a.csv", text((1, "s", "b", "")))
    daemon = site.start()
    try:
        until(lambda: "door exports fails" in site.insights("status").stdout)
        assert (dropped / "a.csv").exists()
        said = " ".join(site.insights("doctor", code=31).stdout.split())
        assert "error door exports" in said
        (dropped / "out").unlink()
        until((dropped / "done" / "a.csv").exists)
    finally:
        daemon.terminate()
        daemon.communicate(timeout=60)
    assert [one["id"] for one in rows(dropped / "out" / "a.csv")] == ["1"]
    site.assert_exactly_once({"1"})


def test_a_kill_at_any_point_loses_and_doubles_nothing(site: Site, dropped: Path) -> None:
    put(dropped, "a.csv", text((1, "s", "b", ""), (1, "s", "newer", ""), ("", "", "", "x")))
    for failpoint in ("file-batch-accepted", "file-result-written", "file-moved"):
        assert site.killed(failpoint)
    site.run_once()
    assert [one["id"] for one in rows(dropped / "out" / "a.csv")] == ["1", "1"]
    assert {p.name for p in (dropped / "out").iterdir()} == {"a.csv"}
    assert {p.name for p in (dropped / "failed").iterdir()} == {"a.csv", "a.csv.report.csv"}
    assert site.query("SELECT count(*) FROM store.inbox") == [(2,)]


def test_some_hundred_of_records_under_random_kills(site: Site, dropped: Path) -> None:
    chance = random.Random(7)
    wanted: dict[str, list[str]] = {}

    def progress() -> object:
        counts = "(SELECT count(*) FROM store.inbox), (SELECT count(*) FROM store.insight)"
        return site.query(f"SELECT {counts}"), sorted((dropped / "done").glob("*"))

    for number in range(8):
        keys = [str(30 * number + n) for n in range(30)]
        wanted[f"{number}.csv"] = keys
        put(dropped, f"{number}.csv", text(*((key, "s", f"b{key}", "") for key in keys)))
    for _ in range(KILLS):
        before, daemon = progress(), site.start()
        until(lambda: progress() != before, 150)  # noqa: B023 - asked before it changes
        time.sleep(chance.uniform(0, 1))
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.communicate()
    daemon = site.start()
    try:
        until(lambda: len(list((dropped / "done").glob("*.csv"))) == len(wanted), 200)
    finally:
        daemon.terminate()
        daemon.communicate(timeout=60)
    assert {p.name for p in (dropped / "out").iterdir()} == set(wanted)
    for name, keys in wanted.items():
        found = rows(dropped / "out" / name)
        assert [one["id"] for one in found] == keys
        assert {one["standing"] for one in found} == {"done"}
    assert site.query("SELECT count(*) FROM store.inbox") == [(240,)]
    site.assert_exactly_once({key for keys in wanted.values() for key in keys})
