"""The shape that every benchmark reports in: goals measured side by side, as tables or JSON."""

import json as encoder
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Goal:
    """One figure and what it should be.

    Args:
        name: What was measured, and against what.
        measured: The figure of this run; None where it could not be measured here.
        goal: The figure it should reach.
        unit: Its unit, such as `rows/s` or `x`.
        at_least: Whether more is better; otherwise `goal` is an upper bound.
    """

    name: str
    measured: float | None
    goal: float
    unit: str = ""
    at_least: bool = True

    @property
    def holds(self) -> bool | None:
        """Whether the goal is reached; None where nothing was measured."""
        if self.measured is None:
            return None
        return self.measured >= self.goal if self.at_least else self.measured <= self.goal

    def record(self) -> dict[str, str | float | bool | None]:
        """Return the goal as `--json` prints it."""
        return {
            "name": self.name,
            "measured": self.measured,
            "goal": self.goal,
            "unit": self.unit,
            "at_least": self.at_least,
            "holds": self.holds,
        }


def report(
    title: str,
    goals: Sequence[Goal],
    notes: Sequence[str] = (),
    json: bool = False,  # noqa: FBT001, FBT002 - the switch of the same name on the command line
    table: Sequence[Sequence[str]] = (),
) -> None:
    """Print one benchmark's result.

    Args:
        title: The benchmark's name and its load.
        goals: The figures to be judged.
        notes: What a reader must know to judge them.
        json: Print one JSON object instead of tables.
        table: Further figures to read, the first row being the header.
    """
    if json:
        record = {
            "title": title,
            "machine": machine(),
            "goals": [goal.record() for goal in goals],
            "notes": list(notes),
            "table": [list(row) for row in table],
        }
        print(encoder.dumps(record, ensure_ascii=False, indent=2))
        return
    console = Console()
    console.print(f"[bold]{title}[/bold]  ({machine()})")
    if table:
        figures = Table(*table[0])
        for row in table[1:]:
            figures.add_row(*row)
        console.print(figures)
    judged = Table("goal", "measured", "wanted", "holds")
    for goal in goals:
        bound = "≥" if goal.at_least else "≤"
        judged.add_row(
            goal.name,
            "-" if goal.measured is None else f"{_short(goal.measured)} {goal.unit}",
            f"{bound} {_short(goal.goal)} {goal.unit}",
            {True: "[green]yes[/green]", False: "[red]no[/red]", None: "not measured"}[goal.holds],
        )
    console.print(judged)
    for note in notes:
        console.print(f"- {note}", highlight=False)


def machine() -> str:
    """Return what this ran on, in a line: processor, cores, memory."""
    cpu = platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    cores = len([*Path("/sys/devices/system/cpu").glob("cpu[0-9]*")])
    kib = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1])
    return f"{cpu}, {cores} cores, {kib / 2**20:.0f} GiB"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
