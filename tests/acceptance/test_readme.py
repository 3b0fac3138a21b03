"""What the README says can be typed can be typed; what it says can be set can be set."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from insights.cli import app
from insights.site import files

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(kind: str) -> list[str]:
    text = (ROOT / "README.md").read_text()
    return [match["text"] for match in BLOCK.finditer(text) if match["kind"] == kind]


def _lines(first_word: str) -> list[list[str]]:
    """Return the commands of README's shell blocks that begin with this program."""
    commands = [
        shlex.split(line, comments=True) for block in _blocks("sh") for line in block.splitlines()
    ]
    return [words for words in commands if words and Path(words[0]).name == first_word]


def demo_commands() -> list[list[str]]:
    """Return the commands that README runs on the demo's own settings."""
    return [words for words in _lines("insights") if "demo/config/insights.toml" in words]


def _inline() -> list[list[str]]:
    """Return the commands in the running text of README and docs, `insights …`, each once."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = [
        command for page in pages for command in re.findall(r"`(insights [^`]+)`", page.read_text())
    ]
    return [shlex.split(command) for command in dict.fromkeys(found)]


def test_running_text_names_commands_too() -> None:
    named = {" ".join(words) for words in _inline()}
    assert {"insights --version", "insights --install-completion", "insights migrate"} <= named


@pytest.mark.parametrize("words", [*_lines("insights"), *_inline()], ids=" ".join)
def test_each_command_and_option_exists(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            options = {name: option for option in command.params for name in option.opts}
            assert word in options, f"{command.name} has no {word}"
            if not options[word].is_flag and rest:
                rest.pop(0)
        elif hasattr(command, "commands"):
            first = word.partition("|")[0]
            assert first in command.commands, f"there is no command {word}"
            command = command.commands[first]
    alone = len(words) > 1 and words[-1].startswith("-")  # `--version` and its like
    assert alone or not hasattr(command, "commands"), f"{command.name} alone does nothing"


@pytest.mark.parametrize("words", _lines("make"), ids=" ".join)
def test_each_target_exists(words: list[str]) -> None:
    subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)


def _settings() -> dict[str, str]:
    """Return README's settings by the file name that stands in their first line."""
    named = (block.split("\n", 1) for block in _blocks("toml"))
    return {first.removeprefix("# "): text for first, text in named}


def test_the_settings_explained_are_the_demos_own() -> None:
    shown = {name: text for name, text in _settings().items() if name.startswith("demo/")}
    assert len(shown) == 2
    for name, text in shown.items():
        assert _without_model(text) == _without_model((ROOT / name).read_text())


def _without_model(text: str) -> list[str]:
    """Return the paragraphs but for the model's: `make demo-model` writes that one."""
    return [part.strip() for part in text.split("\n\n") if "[model." not in part]


def test_the_settings_for_each_engine_are_settings(tmp_path: Path) -> None:
    (tmp_path / "insights.toml").write_text(_settings()["insights.toml"])
    found = files.load(tmp_path / "insights.toml")
    assert set(found.source) == {"sqlserver", "oracle", "mysql", "postgresql"}
