"""`make demo`: a legacy helpdesk whose tickets get insights, from nothing, in one command.

The first run builds the helpdesk's database and works off all of it; each further run changes a
few tickets first, and shows that exactly those were processed. Everything is under `.demo/`.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from demo.data.database import Change, build_database, change_database
from demo.failing import ended, reason

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
DATABASE = FOLDER / "helpdesk.sqlite"
LOG = FOLDER / "demo.log"  # of the command that ran last
FINISHED = FOLDER / "finished"  # the last run came to its end
CONFIG = ROOT / "demo" / "config" / "insights.toml"
SINK = "ai_insight_triage"
VIEW = "ticket_with_insight"
SHOWN = 12

console = Console()


def main() -> int:
    """Run the demo; the exit code is the first failing command's."""
    options = _options()
    os.chdir(ROOT)  # the connection string in demo/config names the database from here
    if options.reset:
        shutil.rmtree(FOLDER, ignore_errors=True)
        console.print("Removed .demo/.")
        return 0
    began = time.monotonic()
    change = _database(change=not options.no_change)
    before = _told()
    for title, command in (
        ("The store: PostgreSQL with pgvector, embedded", ["migrate"]),
        ("The knowledge: 40 articles, embedded and indexed", ["knowledge", "sync"]),
    ):
        _step(title)
        _insights(*command)
    _make_sink()
    _step("The daemon: poll, read, redact, retrieve, generate, validate, write, publish")
    console.print(_insights("run", "--once").strip(), highlight=False)
    FINISHED.touch()
    told = _told()
    _show(told, before, change)
    seconds = time.monotonic() - began
    console.print(f"\n[bold]Done in {seconds:.0f} s.[/] Where to look next:")
    for look, what in (
        (
            f"sqlite3 .demo/helpdesk.sqlite 'SELECT * FROM {VIEW} LIMIT 5'",
            "what the application sees",
        ),
        ("insights -c demo/config/insights.toml try 1007", "one ticket, step by step"),
        ("insights -c demo/config/insights.toml status", "where every row stands"),
        ("insights -c demo/config/insights.toml knowledge search 'printer'", "the knowledge"),
        ("make demo", "again: some tickets change, and only those are processed"),
    ):
        console.print(f"  [cyan]{look}[/]\n      {what}", highlight=False, soft_wrap=True)
    console.print(
        "Commands are in .venv/bin (`source .venv/bin/activate`). make demo-reset removes all."
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--reset", action="store_true", help="remove .demo/ and end")
    parser.add_argument(
        "--no-change", action="store_true", help="run again on the database as it is"
    )
    return parser.parse_args()


def _database(*, change: bool) -> Change | None:
    """Build the helpdesk, or change it if the last run came to its end."""
    if not DATABASE.exists():
        _step("The legacy application: a helpdesk's SQLite database with 300 tickets")
        partial = build_database(DATABASE.with_suffix(".new"))
        partial.rename(DATABASE)  # a run killed here begins anew
        return None
    if not change or not FINISHED.exists():
        _step("The legacy application's database, as it is")
        return None
    FINISHED.unlink()
    made = change_database(DATABASE)
    _step(
        f"A day goes by: tickets {_list(made.added)} are new, {_list(made.edited)} edited, "
        f"{_list(made.deleted)} deleted"
    )
    return made


def _make_sink() -> None:
    """Play the DBA: run the DDL that `insights sink ddl` prints."""
    with closing(sqlite3.connect(DATABASE)) as database:
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (SINK,)).fetchone():
            return
    _step(f"The DBA: makes table {SINK} and view {VIEW} by the DDL the daemon prints")
    ddl = _insights("sink", "ddl", "helpdesk")
    with closing(sqlite3.connect(DATABASE)) as database:
        database.executescript(ddl)


def _insights(*arguments: str) -> str:
    """Run the product's own command line, as an operator would; return what it printed.

    What it logs goes to a file, so that a failure's reason is not the last of a hundred lines.
    """
    FOLDER.mkdir(exist_ok=True)
    with LOG.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "insights", "--config", str(CONFIG), *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "INSIGHTS_LOG__LEVEL": "warning"},
        )
        try:
            output = _wait(process)
        except BaseException:
            process.terminate()  # it hands its rows back
            process.wait()
            raise
    if process.returncode:
        said = output + LOG.read_text("utf-8")
        console.print(
            f"[bold red]make demo failed[/] at `insights {' '.join(arguments)}` "
            f"({ended(process.returncode)}):",
            highlight=False,
        )
        for line in reason(said).splitlines():
            console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
        console.print(f"  The whole log is in {LOG.relative_to(ROOT)}.", highlight=False)
        sys.exit(abs(process.returncode))
    return output


def _wait(process: subprocess.Popen[str]) -> str:
    """Wait for a command, showing on a terminal how many tickets carry an insight."""
    while True:
        try:
            output, _ = process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            if console.is_terminal:
                console.print(f"  {len(_told())} tickets carry an insight", end="\r")
            continue
        return output


def _told() -> dict[int, tuple[int, str]]:
    """Return revision and status by ticket, as the sink table has them."""
    with closing(sqlite3.connect(DATABASE)) as database:
        try:
            rows = database.execute(f"SELECT ticket_id, revision, status FROM {SINK}").fetchall()
        except sqlite3.OperationalError:
            return {}
    return {ticket: (revision, status) for ticket, revision, status in rows}


def _show(
    told: dict[int, tuple[int, str]], before: dict[int, tuple[int, str]], change: Change | None
) -> None:
    touched = sorted(ticket for ticket, state in told.items() if before.get(ticket) != state)
    with closing(sqlite3.connect(DATABASE)) as database:
        database.row_factory = sqlite3.Row
        shown = touched[:SHOWN]
        marks = ",".join("?" * len(shown))
        rows = database.execute(
            f"SELECT * FROM {VIEW} WHERE ticket_id IN ({marks}) ORDER BY ticket_id", shown
        ).fetchall()
        total = database.execute("SELECT count(*) FROM ticket").fetchone()[0]
        with_insight = database.execute(
            f"SELECT count(*) FROM {VIEW} WHERE ai_status IN ('ok', 'abstained', 'withheld')"
        ).fetchone()[0]
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
    console.print(f"{with_insight} of {total} tickets carry an insight.")
    if change is not None:
        expected = sorted({*change.added, *change.edited, *change.deleted})
        gone = [ticket for ticket in change.deleted if told.get(ticket, (0, ""))[1] == "tombstoned"]
        exact = touched == expected and gone == list(change.deleted)
        console.print(
            f"Processed: tickets {_list(touched)}"
            + (", exactly those that changed; " if exact else f", expected {_list(expected)}; ")
            + f"tombstoned: {_list(gone) or 'none'}."
        )
        if not exact:
            sys.exit(1)
    elif before:
        console.print(f"Processed: {_list(touched) or 'nothing, for nothing had changed'}.")


def _list(tickets: tuple[int, ...] | list[int]) -> str:
    return ", ".join(str(ticket) for ticket in tickets)


def _step(title: str) -> None:
    console.print(f"[bold green]▶[/] {title}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
