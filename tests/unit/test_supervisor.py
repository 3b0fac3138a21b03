"""The supervisor must answer signals at all times: what can hang or crash lives in children."""

import subprocess
import sys

import pytest

HEAVY = {
    "pyodbc",
    "arrow_odbc",
    "torch",
    "llama_cpp",
    "llguidance",
    "sentence_transformers",
    "alembic",
    "lxml",
    "mammoth",
    "pypdfium2",
    "python_calamine",
    "oxmsg",
    "pptx",
    "striprtf",
    "yaml",
    "charset_normalizer",
    "cryptography",
    "insights.documents.formats",
}


COMMANDS = "typer.main.get_command(insights.cli.app).commands"


def loaded(code: str) -> set[str]:
    """Return the modules that a fresh process has after it ran some code."""
    said = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(said.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import insights.wiring.app",
        "import insights.service.daemon",
        f"import typer, insights.cli; [*{COMMANDS}.values()]",
    ],
    ids=["wiring", "daemon", "every command"],
)
def test_it_loads_nothing_that_can_hang_or_crash(code: str) -> None:
    assert HEAVY.isdisjoint(loaded(code))


def test_a_command_reads_its_own_module_and_no_other_command_s() -> None:
    commands = {
        name
        for name in loaded(f"import typer, insights.cli; {COMMANDS}['dead']")
        if name.startswith("insights.cli.")
    }
    assert commands == {"insights.cli.dead", "insights.cli.exits", "insights.cli.output"}


def test_a_command_that_redacts_nothing_compiles_no_patterns_of_redaction() -> None:
    found = loaded(f"import typer, insights.cli; {COMMANDS}['dead']")
    assert "insights.governance.redact" in found
    assert "insights.governance.redact.entry" not in found
