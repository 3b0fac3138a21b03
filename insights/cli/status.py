"""`insights status`: where every known row stands, and what sinks still have to be told."""

import datetime as dt
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import typer

from insights import errors
from insights.cli.output import Json, emit_json, shown, stdout
from insights.site.files import load
from insights.site.settings import Settings
from insights.store.reports import (
    OUTCOMES,
    BudgetReport,
    DaemonReport,
    ForgottenReport,
    PlanReport,
    ReplyReport,
    Reports,
    SinkReport,
    StreamReport,
    VersionReport,
)
from insights.wiring.commands import of_inbox, reports
from insights.wiring.files import standings

_PLANNED: tuple[Literal["tokens", "seconds", "money"], ...] = ("tokens", "seconds", "money")

Watch = Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C")]
Exact = Annotated[bool, typer.Option("--exact", help="Count all rows, however long it takes")]
Every = Annotated[float, typer.Option(help="With --watch: seconds between two looks", min=0.2)]


def status(
    ctx: typer.Context,
    as_json: Json = False,
    watch: Watch = False,
    every: Every = 2.0,
    exact: Exact = False,
) -> None:
    """Show streams, pipelines, sinks and cost. The outcomes of a stream sum to its known rows.

    With --watch a terminal shows it anew in its place; into a pipe it comes one after another, with
    --json as a line each. A store that does not answer is said, and asked again.

    Where a count takes more than a second, the last one of a daemon is shown, and how old it is.
    """
    settings, doors = load(ctx.obj), of_inbox(ctx.obj)
    if not watch:
        with reports(ctx.obj) as opened:
            if as_json:
                emit_json({**told(opened, exact=exact), "doors": standings(settings)})
            else:
                _show(opened, doors, exact=exact)
                _show_doors(settings)
        return
    while True:
        now = dt.datetime.now().astimezone()
        with stdout.capture() as seen:
            try:
                with reports(ctx.obj) as opened:
                    if as_json:
                        found = told(opened, exact=exact)
                        _line({"at": now, **found, "doors": standings(settings)})
                    else:
                        _show(opened, doors, exact=exact)
                        _show_doors(settings)
            except errors.Transient as exc:
                if as_json:
                    _line({"at": now, "error": exc.what, "where": exc.where})
                else:
                    stdout.print(f"[bold red]{shown(exc.where)}[/] {shown(exc.what)}")
        if stdout.is_terminal and not as_json:
            sys.stdout.write("\x1b[H\x1b[J")  # to the top, and nothing below
        head = "" if as_json else f"{now:%H:%M:%S}, every {every:g} s; Ctrl-C ends it\n"
        sys.stdout.write(head + seen.get())
        sys.stdout.flush()
        time.sleep(every)


def _line(value: object) -> None:
    stdout.out(msgspec.json.encode(value).decode(), highlight=False)


def _show(opened: Reports, doors: frozenset[str], *, exact: bool) -> None:
    streams, versions = opened.streams(exact=exact), opened.versions()
    sinks, usage, daemons = opened.sinks(exact=exact), opened.usage(), opened.daemons()
    former_rows = opened.former_key_rows()
    if not streams:
        stdout.print("No stream has been polled yet: `insights run`.")
    for stream in streams:
        _show_stream(stream, polled=stream.stream not in doors)
    for version in versions:
        _show_version(version)
    for sink in sinks:
        _show_sink(sink)
    _show_replies(opened.replies())
    for daemon in daemons:
        _show_daemon(daemon)
    for one in opened.budgets():
        _show_budget(one)
    for plan in opened.plans():
        _show_plan(plan)
    _show_forgotten(opened.forgotten())
    if former_rows:
        stdout.print(f"{former_rows:,} rows are still known by hash_key_former: keep it.")
    elif former_rows is not None:
        stdout.print("No row needs hash_key_former any more: it may be removed.")
    stdout.print(
        f"Last day: {usage.insights:,} generations, {usage.prompt_tokens:,} prompt tokens "
        f"({usage.reused_tokens:,} reused), {usage.output_tokens:,} output tokens."
        + (f" {usage.escalated:,} went on to a larger model." if usage.escalated else "")
    )


def told(opened: Reports, *, exact: bool = False) -> dict[str, Any]:
    """Return all that `status` tells, for scripts."""
    return {
        "streams": opened.streams(exact=exact),
        "pipelines": opened.versions(),
        "sinks": opened.sinks(exact=exact),
        "replies": opened.replies(),
        "daemons": [{**msgspec.to_builtins(d), "lost": d.lost} for d in opened.daemons()],
        "budgets": opened.budgets(),
        "plans": [
            {**msgspec.to_builtins(p), "off": {what: p.off(what) for what in _PLANNED}}
            for p in opened.plans()
        ],
        "forgotten": opened.forgotten(),
        "last_day": opened.usage(),
        "former_key_rows": opened.former_key_rows() or 0,
    }


def _show_polls(stream: StreamReport) -> None:
    stdout.print(
        f"  polled {_ago(stream.last_poll_at)}, complete through "
        f"{_ago(stream.complete_through)}, replica lag {_seconds(stream.lag_s)}, "
        f"{stream.missed_rows:,} rows rescued by sweeps",
        highlight=False,
    )
    stdout.print(
        f"  swept {_ago(stream.last_sweep_at)}, overlap {_seconds(stream.overlap_s)}, "
        f"{stream.open_gaps:,} open gaps, rows found within "
        f"{_seconds(stream.lateness_p50_s)} (p50), {_seconds(stream.lateness_p99_s)} (p99)",
        highlight=False,
    )


def _show_stream(stream: StreamReport, *, polled: bool) -> None:
    counts = {name: getattr(stream, name) for name in OUTCOMES}
    outcomes = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    whose = f" for {stream.pipeline}" if stream.pipeline else ""
    stdout.print(
        f"[bold]stream {stream.stream}[/] {stream.rows_known:,} rows{whose}: {outcomes or '-'}"
    )
    if stream.counted != "now":
        when = "not yet" if stream.counted_at is None else _ago(stream.counted_at)
        stdout.print(f"  counted {when}; `insights status --exact` counts now", highlight=False)
    if polled:
        _show_polls(stream)
    else:
        stdout.print("  its rows come in through doors")
    if stream.stopped_reason:
        stdout.print(f"  [bold red]stopped:[/] {shown(stream.stopped_reason)}")
    elif stream.last_error:
        stdout.print(f"  [bold yellow]not polled:[/] {shown(stream.last_error)}")
    if stream.paused:
        stdout.print("  [bold yellow]paused[/] (`insights resume` lets it go on)")


def _show_version(version: VersionReport) -> None:
    served = ", ".join(version.served_by or ())
    stdout.print(
        f"[bold]pipeline {version.pipeline}[/] of stream {version.stream}, version "
        f"{version.sha256[:12]} ({version.says}): {version.pending:,} wait; "
        + (f"served by {served}" if served else "no daemon that runs now serves it"),
        highlight=False,
    )
    if said := version.said_right + version.said_wrong:
        stdout.print(
            f"  of {said:,} insights people said: {version.said_right:,} right, "
            f"{version.said_wrong:,} wrong",
            highlight=False,
        )
    if version.held_reason:
        what = "withdrawn" if version.stage == "shadow" else "held"
        stdout.print(f"  [bold yellow]{what}:[/] {shown(version.held_reason)}", soft_wrap=True)
    elif version.nearest:
        stdout.print(f"  guards hold; the nearest: {shown(version.nearest)}", soft_wrap=True)
    if version.stopped_reason:
        stdout.print(f"  [bold red]stopped:[/] {shown(version.stopped_reason)}")
    elif version.stranded:
        stdout.print(
            "  [yellow]Its work waits:[/] start a daemon with its files, or make another version "
            f"live: insights promote {version.pipeline}",
            highlight=False,
        )


def _show_sink(sink: SinkReport) -> None:
    stdout.print(
        f"[bold]sink {sink.sink}[/] {sink.rows:,} rows told, "
        f"{sink.undelivered:,} to be told, {sink.refused:,} refused, "
        f"{sink.tombstoned:,} tombstoned; last published {_ago(sink.last_published_at)}"
    )
    if sink.stopped_reason:
        stdout.print(f"  [bold red]stopped:[/] {shown(sink.stopped_reason)}")


def _show_doors(settings: Settings) -> None:
    for one in standings(settings):
        since = "" if one.oldest_s is None else f", the oldest for {_seconds(one.oldest_s)}"
        stdout.print(
            f"[bold]door {one.name}[/] {shown(one.folder)}: {one.waiting:,} files wait{since}; "
            f"{one.outcomes:,} in out, {one.failed:,} in failed",
            highlight=False,
            soft_wrap=True,
        )
        for trouble in one.troubles:
            stdout.print(f"  [bold yellow]{shown(trouble)}[/]", highlight=False, soft_wrap=True)


def _show_replies(replies: Sequence[ReplyReport]) -> None:
    for one in replies:
        stdout.print(
            f"[bold]replies {shown(one.door)}[/] {one.waiting:,} wait, {one.failing:,} of them "
            f"were tried, {one.given_up:,} given up",
            highlight=False,
        )
        if one.reason:
            stdout.print(f"  [bold yellow]{shown(one.reason)}[/]", highlight=False, soft_wrap=True)


def _show_daemon(daemon: DaemonReport) -> None:
    lost = " [bold red](hangs, is cut off or was killed)[/]" if daemon.lost else ""
    stdout.print(
        f"[bold]daemon {shown(daemon.holder)}[/] {daemon.version} runs {', '.join(daemon.roles)} "
        f"since {_ago(daemon.started_at)}, last heard of {_seconds(daemon.silent_s)} ago{lost}",
        highlight=False,
    )
    for model, threads in daemon.threads.items():
        stdout.print(f"  model {shown(model)}: {shown(threads)}", highlight=False)
    for trouble in daemon.troubles:
        stdout.print(
            f"  [bold yellow]{shown(trouble.name)} fails[/] since {_ago(trouble.since)}: "
            f"{shown(trouble.reason)}",
            highlight=False,
        )


def _show_budget(found: BudgetReport) -> None:
    """Print how a budget stands, in a line."""
    colour = {"free": "bold", "slowed": "bold yellow", "stopped": "bold red"}[found.state]
    stdout.print(
        f"[{colour}]budget {shown(found.name)}[/] of {shown(found.concerns)}: {shown(found.says)}",
        highlight=False,
        soft_wrap=True,
    )


def _show_plan(found: PlanReport) -> None:
    """Print a plan, and how right it was."""
    seconds = _seconds(found.seconds)
    said = f"{found.rows:,} rows, {found.tokens:,.0f} tokens, {seconds} of {shown(found.model)}"
    if found.money is not None:
        said += f", {found.money:,.4g} money"
    stdout.print(
        f"[bold]plan for {shown(found.pipeline)}[/] {_ago(found.at)}: {said}",
        highlight=False,
        soft_wrap=True,
    )
    off = ((what, found.off(what)) for what in _PLANNED)
    told = ", ".join(f"{what} {by:+.0%}" for what, by in off if by is not None)
    if told:
        stdout.print(
            f"  {found.done_rows:,} of them took, against the plan: {told}", highlight=False
        )


def _show_forgotten(streams: Sequence[ForgottenReport]) -> None:
    """Print which rows of each stream stay out, and what of a forgetting is not over."""
    for found in streams:
        stdout.print(
            f"[bold]forgotten of stream {shown(found.stream)}[/] {found.rows:,} rows stay out, "
            f"read again and not recorded {found.held_back:,} times",
            highlight=False,
        )
        if found.unfinished:
            waits = ", ".join(found.sinks)
            stdout.print(
                f"  [bold yellow]not over:[/] {found.unfinished:,}, asked for {_ago(found.since)}"
                + (f"; waiting for {shown(waits)}" if waits else ""),
                highlight=False,
            )


def _ago(moment: dt.datetime | None) -> str:
    if moment is None:
        return "never"
    return f"{_seconds((dt.datetime.now(dt.UTC) - moment).total_seconds())} ago"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
