"""`make demo`: a legacy helpdesk whose tickets get insights, from nothing, in one command.

The first run builds the helpdesk's database and works off all of it; each further run changes a
few tickets first, and shows that exactly those were processed. Everything is under `.demo/`.
With `--model smollm2` a general instruct model writes free text about forty of the tickets.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

from rich.console import Console
from rich.markup import escape

from demo.choices import (
    CHOICES,
    COMMAND,
    FOLDER,
    HELPDESK,
    ROOT,
    SMOLLM2,
    Choice,
    limits,
    place_model,
    show_summaries,
    show_triage,
)
from demo.data.database import Change, build_database, change_database, write_labels
from demo.failing import ended, mended, reason

SHOWN = 12
VIEW = "ticket_with_insight"

console = Console()


def main() -> int:
    """Run the demo; the exit code is the first failing command's."""
    options = _options()
    os.chdir(ROOT)  # the connection string in demo/config names the database from here
    if options.reset:
        shutil.rmtree(FOLDER, ignore_errors=True)
        console.print("Removed .demo/.")
        return 0
    try:
        Demo(CHOICES[options.model]).run(change=not options.no_change)
    except (OSError, sqlite3.Error) as error:  # a full disk, a folder that cannot be written
        console.print(f"[bold red]{COMMAND} failed[/]: {escape(mended(error))}", highlight=False)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--reset", action="store_true", help="remove .demo/ and end")
    parser.add_argument(
        "--no-change", action="store_true", help="run again on the database as it is"
    )
    parser.add_argument("--model", choices=CHOICES, default=HELPDESK.name, help="[%(default)s]")
    return parser.parse_args()


class Demo:
    """One run with one model.

    Args:
        choice: The model, with its settings and its folder.
    """

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._database = choice.database
        self._log = choice.folder / "demo.log"  # of the command that ran last
        self._finished = choice.folder / "finished"  # the last run came to its end

    def run(self, *, change: bool) -> None:
        """Build or change the helpdesk, process it, show what came of it."""
        began = time.monotonic()
        if wrong := place_model(self._choice):
            console.print(f"[bold red]{COMMAND} failed[/]: {wrong}", highlight=False)
            sys.exit(1)
        changed = self._prepare(change=change)
        before = self._told()
        steps = [("The store: PostgreSQL with pgvector, embedded", ["migrate"])]
        if self._choice.knowledge:
            steps.append(
                ("The knowledge: 40 articles, embedded and indexed", ["knowledge", "sync"])
            )
        for title, command in steps:
            _step(title)
            self._insights(*command)
        self._make_sink()
        between = "retrieve, generate" if self._choice.knowledge else "generate"
        _step(f"The daemon: poll, read, redact, {between}, validate, write, publish")
        console.print(self._insights("run", "--once").strip(), highlight=False)
        self._finished.touch()
        self._show(self._told(), before, changed)
        self._where_next(time.monotonic() - began)

    def _prepare(self, *, change: bool) -> Change | None:
        """Build the helpdesk, or change it if the last run came to its end."""
        if not self._database.exists() or not self._database.stat().st_size:  # a look made it
            _step("The legacy application: a helpdesk's SQLite database with 300 tickets")
            partial = build_database(self._database.with_suffix(".new"))
            write_labels(self._database.with_name("labels.csv"))
            partial.rename(self._database)  # a run killed here begins anew
            return None
        if not change or not self._finished.exists():
            _step("The legacy application's database, as it is")
            return None
        self._finished.unlink()
        made = change_database(self._database)
        _step(
            f"A day goes by: tickets {_list(made.added)} are new, {_list(made.edited)} edited, "
            f"{_list(made.deleted)} deleted"
        )
        return made

    def _make_sink(self) -> None:
        """Play the DBA: run the DDL that `insights sink ddl` prints."""
        sink = self._choice.sink
        with closing(sqlite3.connect(self._database)) as database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (sink,)).fetchone():
                return
        _step(f"The DBA: makes table {sink} and view {VIEW} by the DDL the daemon prints")
        ddl = self._insights("sink", "ddl", "helpdesk")
        with closing(sqlite3.connect(self._database)) as database:
            database.executescript(ddl)

    def _insights(self, *arguments: str) -> str:
        """Run the product's own command line, as an operator would; return what it printed.

        What it logs goes to a file, so that a failure's reason is not the last of a hundred lines.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "insights", "-c", str(self._choice.config), *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "INSIGHTS_LOG__LEVEL": "warning"},
            )
            try:
                output = self._wait(process)
            except BaseException:
                process.terminate()  # it hands its rows back
                process.wait()
                raise
        if process.returncode:
            said = output + self._log.read_text("utf-8")
            console.print(
                f"[bold red]{COMMAND} failed[/] at `insights {' '.join(arguments)}` "
                f"({ended(process.returncode)}):",
                highlight=False,
            )
            for line in reason(said).splitlines():
                console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
            console.print(f"  The whole log is in {self._log.relative_to(ROOT)}.", highlight=False)
            sys.exit(abs(process.returncode))
        return output

    def _wait(self, process: subprocess.Popen[str]) -> str:
        """Wait for a command, showing on a terminal how many tickets carry an insight."""
        while True:
            try:
                output, _ = process.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                if console.is_terminal:
                    console.print(f"  {len(self._told())} tickets carry an insight", end="\r")
                continue
            return output

    def _told(self) -> dict[int, tuple[int, str]]:
        """Return revision and status by ticket, as the sink table has them."""
        statement = f"SELECT ticket_id, revision, status FROM {self._choice.sink}"
        with closing(sqlite3.connect(self._database)) as database:
            try:
                rows = database.execute(statement).fetchall()
            except sqlite3.OperationalError:
                return {}
        return {ticket: (revision, status) for ticket, revision, status in rows}

    def _show(
        self,
        told: dict[int, tuple[int, str]],
        before: dict[int, tuple[int, str]],
        change: Change | None,
    ) -> None:
        touched = sorted(ticket for ticket, state in told.items() if before.get(ticket) != state)
        with closing(sqlite3.connect(self._database)) as database:
            database.row_factory = sqlite3.Row
            told_of = database.execute(
                f"SELECT * FROM {VIEW} WHERE ai_status IN ('ok', 'abstained', 'withheld') "
                "ORDER BY ticket_id"
            ).fetchall()
            total = database.execute("SELECT count(*) FROM ticket").fetchone()[0]
        shown = [row for row in told_of if row["ticket_id"] in touched[:SHOWN]]
        (show_triage if self._choice is HELPDESK else show_summaries)(console, shown)
        console.print(f"{len(told_of)} of {total} tickets carry an insight.", highlight=False)
        if self._choice is SMOLLM2:
            console.print(f"\n{escape(limits(told_of))}\n", highlight=False)
        if change is not None:
            deleted = list(filter(self._choice.follows, change.deleted))
            followed = filter(self._choice.follows, (*change.added, *change.edited))
            expected = sorted({*followed, *deleted})
            gone = [ticket for ticket in deleted if told.get(ticket, (0, ""))[1] == "tombstoned"]
            exact = touched == expected and gone == deleted
            console.print(
                f"Processed: tickets {_list(touched)}"
                + (", exactly those that changed; " if exact else f", expected {_list(expected)}; ")
                + f"tombstoned: {_list(gone) or 'none'}."
            )
            if not exact:
                sys.exit(1)
        elif before:
            console.print(f"Processed: {_list(touched) or 'nothing, for nothing had changed'}.")

    def _where_next(self, seconds: float) -> None:
        console.print(f"\n[bold]Done in {seconds:.0f} s.[/] Where to look next:")
        database, config = (
            path.relative_to(ROOT) for path in (self._database, self._choice.config)
        )
        looks = [
            (f"sqlite3 {database} 'SELECT * FROM {VIEW} LIMIT 5'", "what the application sees"),
            (f"insights -c {config} try 1007", "one ticket, step by step"),
            (f"insights -c {config} status", "where every row stands"),
        ]
        if self._choice.knowledge:
            looks.append((f"insights -c {config} knowledge search 'printer'", "the knowledge"))
        looks.append(
            (self._choice.again, "again: some tickets change, and only those are processed")
        )
        made = COMMAND == "make demo"
        if self._choice is HELPDESK and made:
            looks.append((SMOLLM2.again, "a general instruct model, which writes"))
        for look, what in looks:
            console.print(f"  [cyan]{look}[/]\n      {what}", highlight=False, soft_wrap=True)
        commands = ".venv" if made else sys.prefix
        console.print(
            f"Commands are in {commands}/bin (`source {commands}/bin/activate`). "
            f"{'make demo-reset' if made else f'rm -r {ROOT}'} removes all.",
            highlight=False,
        )


def _list(tickets: tuple[int, ...] | list[int]) -> str:
    return ", ".join(str(ticket) for ticket in tickets)


def _step(title: str) -> None:
    console.print(f"[bold green]▶[/] {title}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
