"""`insights enrich`: a file's records through the inbox, their outcomes into a file."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from insights import errors
from insights.cli.output import console, shown
from insights.doors import results
from insights.doors.checking import fields_of
from insights.doors.layouts import Form, Layout, Refused, Unreadable
from insights.doors.records import FORMS, read
from insights.doors.sending import Sending
from insights.ground import logs
from insights.service.daemon import Progress as At
from insights.site.files import load
from insights.site.settings import Settings
from insights.wiring import doors, files
from insights.wiring.app import App, check_store, open_app
from insights.wiring.daemon import only

_LOOK_S = 0.5
_TOLD = 10


def enrich(
    ctx: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="Whose outcomes are asked for")],
    file: Annotated[
        Path, typer.Argument(help="CSV, JSON Lines, XML, fixed width; - is standard input")
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where outcomes go [default: standard output]"),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="csv, jsonl, xml [default: by the file's name]")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between cells of CSV [default: found in the header]")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Such as cp1252 [default: found, UTF-8 if it can be]")
    ] = None,
    record: Annotated[
        str, typer.Option(help="Path to the records of XML, such as tickets/ticket")
    ] = "",
    like: Annotated[
        str | None, typer.Option(help="Read it as files of this [door.NAME], of fixed width, too")
    ] = None,
    daemon: Annotated[
        bool, typer.Option("--daemon", help="Wait for a running daemon; load no model here")
    ] = False,
    patience: Annotated[
        float, typer.Option(help="Seconds to wait when there is no new outcome", min=1)
    ] = 600.0,
) -> None:
    """Send a file's records to a pipeline of the inbox, and write their outcomes in its format.

    The rows are worked off here, as `insights run --once` does it, for this pipeline alone; daemons
    that run take their share. With --daemon they are left to those. A bad record is reported with
    its line and column, and costs no other; it makes the exit code 46. Run again, a command that
    was interrupted goes on, and what is done is not done again.
    """
    settings = load(ctx.obj)
    logs.configure(settings.log.format, "warning")
    if like is not None:
        layout = _like(settings, like, form, delimiter, encoding, record)
    else:
        layout = _layout(file, form, delimiter, encoding, record)
    data = _data(file)
    parts = () if str(file) == "-" else (bytes(file.resolve()), _mtime(file), data)
    with open_app(settings, begin=True) as app:
        check_store(app)
        app.register(app.definition(pipeline))
        door = doors.doors(app, "insights enrich")
        sending = files.sending(app, door, pipeline, "insights enrich", parts)
        stream = door.entrances[pipeline].stream
        layout = files.checked_layout(app, pipeline, layout, stream)
        try:
            layout, records = read(data, layout, fields_of(stream))
            sending.send(records)
        except Unreadable as exc:
            sending.refused += exc.refused
        output = files.output(app, pipeline)
        _finish(app, pipeline, sending, here=not daemon, patience=patience)
        _write(out, results.outcomes(sending, layout, stream.key, output))
        sending.delivered()
    _tell(sending, out)


def _data(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as exc:
        raise errors.RequestRefused(
            f"the file cannot be read: {exc.strerror}", where=str(file)
        ) from None


def _mtime(file: Path) -> bytes:
    return b"%d" % file.stat().st_mtime_ns


def _like(settings: Settings, door: str, *said: str | None) -> Layout:
    if any(said):
        raise typer.BadParameter("--like says how the file is written: nothing else does")
    if door not in settings.door:
        raise typer.BadParameter(f"there is no [door.{door}]: {', '.join(settings.door) or 'none'}")
    return files.layout_of(settings.door[door])


def _layout(
    file: Path, form: str | None, delimiter: str | None, encoding: str | None, record: str
) -> Layout:
    known: dict[str, Form] = {name: name for name in FORMS.values()}
    found = known.get(form) if form is not None else FORMS.get(file.suffix.lower())
    if found is None:
        raise typer.BadParameter(f"say --format: {', '.join(known)}; or --like a door")
    if (found == "xml") != bool(record):
        raise typer.BadParameter("--record is the path to the records of XML, and it needs one")
    if delimiter is not None and len(delimiter) != 1:
        raise typer.BadParameter("--delimiter is one character")
    if encoding is not None:
        try:
            "".encode(encoding)
        except LookupError:
            raise typer.BadParameter(f"there is no encoding {encoding!r}") from None
    return Layout(form=found, delimiter=delimiter, encoding=encoding, record=record)


def _finish(app: App, pipeline: str, sending: Sending, *, here: bool, patience: float) -> None:
    """Let the rows be worked off, and wait for the outcomes of all.

    Raises:
        errors.Overloaded: If nothing came for a while; what was accepted stays so.
    """
    if sending.look():
        return
    total = len({one.request for one in sending.accepted})
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("enrich", total=total, completed=len(sending.answers))
        if here:
            _work_off(app, pipeline, sending, progress)
        last, moved = len(sending.answers), time.monotonic()
        while not sending.look():
            done = len(sending.answers)
            progress.update(task, completed=done)
            if done > last:
                last, moved = done, time.monotonic()
            if time.monotonic() - moved > patience:
                raise errors.Overloaded(
                    f"{total - done:,} of {total:,} accepted records have no outcome yet",
                    where=f"pipeline {pipeline}",
                    fix="`insights status` says why; the same command again goes on from here",
                )
            time.sleep(_LOOK_S)


def _work_off(app: App, pipeline: str, sending: Sending, progress: Progress) -> None:
    daemon = only(app, pipeline)
    if app.refused:
        raise next(iter(app.refused.values()))
    task = progress.task_ids[0]

    def report(_: At) -> None:
        sending.look()
        progress.update(task, completed=len(sending.answers))

    if not daemon.run_once(report):
        raise errors.Overloaded(
            "stopped: the rest waits",
            where=f"pipeline {pipeline}",
            fix="the same command again goes on from here",
        )


def _write(out: Path | None, data: bytes) -> None:
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        results.write(out, data)
    except OSError as exc:
        raise errors.SettingsError(
            f"the outcomes cannot be written: {exc.strerror}",
            where=str(out),
            fix="the same command again writes them: nothing is done twice",
        ) from None


def _tell(sending: Sending, out: Path | None) -> None:
    """Say what became of the records; end with an exit code of its own if some were refused."""
    counts: dict[str, int] = {}
    for one in sending.accepted:
        standing = sending.answers[one.request].standing
        counts[standing] = counts.get(standing, 0) + 1
    told = ", ".join(f"{count:,} {standing}" for standing, count in counts.items())
    console.print(f"Outcomes: {told or 'none'}.", highlight=False)
    if not sending.refused:
        return
    report = None
    if out is not None:
        report = out.with_name(f"{out.name}.report.csv")
        _write(report, results.report(sending.refused))
    for bad in sending.refused[:_TOLD]:
        console.print(f"  {shown(_place(bad))}: {shown(bad.what)}", soft_wrap=True, highlight=False)
    where = "" if report is None else f"; all are in {report}"
    console.print(f"{len(sending.refused):,} records were refused{shown(where)}.", highlight=False)
    raise typer.Exit(errors.RequestRefused.exit_code)


def _place(one: Refused) -> str:
    column = "" if one.column is None else f", column {one.column}"
    return f"line {one.line}{column}{f' ({one.field})' if one.field else ''}"
