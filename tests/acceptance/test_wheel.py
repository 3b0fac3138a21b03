"""The wheel that an operator installs holds all that the program needs, SQL and migrations too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder / "dist", tree],
        check=True,
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def _run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from insights.__main__ import main; main()", *arguments],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_templates_of_init_are_in_it(installed: Path) -> None:
    folder = Path("insights") / "cli" / "templates"
    ours = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
    assert {path.name for path in (installed / folder).iterdir() if path.is_file()} == ours
    assert "workorder.json" in ours


def test_the_templates_of_the_status_page_are_in_it(installed: Path) -> None:
    folder = Path("insights") / "web" / "templates"
    ours = {path.name for path in (ROOT / folder).iterdir()}
    assert {path.name for path in (installed / folder).iterdir()} == ours
    assert {"page.css", "numbers.html.j2"} <= ours


def test_the_command_starts(installed: Path) -> None:
    done = _run(installed, "--help")
    assert done.returncode == 0, done.stderr
    assert "migrate" in done.stdout


def test_the_units_are_in_it(installed: Path) -> None:
    ours = {path.name for path in (ROOT / "systemd").iterdir()}
    assert {path.name for path in (installed / "insights" / "systemd").iterdir()} == ours


def test_a_dba_gets_the_schema_from_it(installed: Path) -> None:
    (installed.parent / "insights.toml").write_text('state_dir = "state"\n')
    done = _run(installed, "--config", "insights.toml", "migrate", "--sql")
    assert done.returncode == 0, done.stderr
    assert "CREATE TABLE store.ledger" in done.stdout


def test_every_file_of_the_program_is_in_it(installed: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "insights", "sql", "migrations"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, tracked):
        inside = name if name.startswith("insights/") else f"insights/{name}"
        assert (installed / inside).is_file(), name


def test_every_statement_is_found(installed: Path) -> None:
    names = [path.stem for path in (ROOT / "sql" / "store").glob("*.sql")]
    code = (
        "from insights.store.queries import folder, load; "
        f"[load(n) for n in {names}]; print(folder())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(installed))
