"""The page of errors and `--help` say what `errors.py` says; printed commands can be typed."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from insights import errors
from insights.cli import app, exits, output

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_made_of_the_errors_and_each_has_a_cause_and_a_fix() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == exits.page()
    for line in exits.page().splitlines():
        if line.startswith("| ") and line[2].isdigit():
            assert all(len(cell.strip()) > 10 for cell in line.strip("| ").split("|")[1:]), line
    tree = str(errors.__doc__)
    assert all(cls.__name__ in tree for cls in exits.kinds())


def test_each_exit_code_is_one_error_and_stands_in_help() -> None:
    codes = [code for code, _ in exits.codes()]
    assert len(codes) == len(set(codes)) == len(list(exits.kinds()))
    help_ = CliRunner().invoke(app, ["--help"]).output
    assert set(re.findall(r"\d\d", help_.partition("Exit codes")[2])) >= set(map(str, codes))
    version = CliRunner().invoke(app, ["--version"])
    assert re.fullmatch(r"insights \d+\.\d+\.\d+\n", version.output)


def test_a_command_of_a_message_can_be_typed_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["/opt/bin/insights", "doctor"])
    output.remember(tmp_path / "my site" / "insights.toml")
    said = output.runnable("run `insights sink ddl x`; `insights` alone stays")
    assert said == (
        "run `/opt/bin/insights -c 'my site/insights.toml' sink ddl x`; `insights` alone stays"
    )
    output.remember(Path("/etc/insights/insights.toml"))
    monkeypatch.delenv("INSIGHTS_CONFIG", raising=False)
    assert output.typed("migrate") == "/opt/bin/insights migrate"
