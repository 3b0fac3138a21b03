"""How commands print: tables for people on a terminal, JSON for scripts, messages on stderr."""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from insights.ground.environment import config_path

# All controls but tab and line end; the marks that turn or hide what stands beside them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

console = Console(stderr=True)
stdout = Console()

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts")]
Wide = Annotated[bool, typer.Option("--wide", help="Nothing cut or wrapped, however long a line")]


def visible(text: str) -> str:
    """Return a text with its controls written out; line ends and tabs stay.

    What turns or hides the text beside it (bidirectional overrides, zero width) is such a control.
    """
    return _CONTROL.sub(lambda char: f"\\u{ord(char.group()):04x}", text)


def shown(value: object) -> str:
    """Return a text for `print` as it is: no markup is taken from it, and controls are visible."""
    return escape(visible(str(value)))


_settings: list[Path] = []  # the file of this call, for commands that are printed
_COMMAND = re.compile(r"`insights(?= [a-z])")


def remember(path: Path) -> None:
    """Let the commands that are printed name the settings of this call."""
    _settings[:] = [path]


def runnable(text: str) -> str:
    """Return a text whose commands (`insights …`) can be typed as they stand in it."""
    return _COMMAND.sub(lambda _: f"`{typed()}", text)


def typed(*words: str) -> str:
    """Return a command of this program as it can be typed here, with these settings."""
    called = Path(sys.argv[0])
    program = [f"{sys.executable}", "-m", "insights"] if called.suffix == ".py" else [sys.argv[0]]
    path = _settings[0] if _settings else config_path(None)
    named = [] if path.absolute() == config_path(None).absolute() else ["-c", _near(path)]
    return shlex.join([*program, *named, *words])


def next_step(*words: str, then: str = "") -> None:
    """Tell on standard error what comes next, so that it can be copied; scripts do not see it."""
    console.print(
        f"[bold]Next:[/] {shown(typed(*words))}{shown(then)}", soft_wrap=True, highlight=False
    )


def _near(path: Path) -> str:
    """Return a path as short as it can be written here."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def emit_json(value: object) -> None:
    """Print a value as indented JSON on standard output."""
    text = msgspec.json.encode(value, enc_hook=str)
    print(msgspec.json.format(text, indent=2).decode())


def emit_table(
    title: str, rows: Sequence[Mapping[str, Any]], empty: str, *, wide: bool = False
) -> None:
    """Print rows as a table, or `empty` where there is none.

    Only the column with the longest texts wraps, between words: all others stand in one line, which
    a terminal that is too narrow cuts. With `wide`, and into a file or pipe, nothing is cut.
    """
    if not rows:
        stdout.print(empty)
        return
    table = Table(title=shown(title), title_justify="left", header_style="bold")
    cells = [[_cell(value) for value in row.values()] for row in rows]
    lengths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    whole = wide or not stdout.is_terminal
    for column, length in zip(rows[0], lengths, strict=True):
        wraps = length == max(lengths) and not whole
        table.add_column(column.replace("_", " "), no_wrap=not wraps, overflow="ellipsis")
    for line in cells:
        table.add_row(*line)
    if whole:
        room = sum(lengths) + sum(map(len, rows[0])) + 3 * len(lengths) + 1
        Console(file=stdout.file, force_terminal=stdout.is_terminal, width=room).print(table)
    else:
        stdout.print(table)


def emit_line(text: str, *, wide: bool = False) -> None:
    """Print one line, cut at a terminal's edge unless `wide`; into a file or pipe it is whole."""
    if wide or not stdout.is_terminal:
        stdout.print(text, soft_wrap=True)
    else:
        stdout.print(text, no_wrap=True, overflow="ellipsis")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return shown(value)
