"""`insights status`: where every known row stands, and what sinks still have to be told."""

import typer

from insights.app import open_store
from insights.cli.output import Json, emit_json, emit_table, stdout
from insights.store.insights import Registry


def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Show streams, sinks and cost. The outcome columns of a stream sum to its known rows."""
    with open_store(ctx.obj) as store:
        registry = Registry(store)
        streams, sinks = registry.rows("completeness"), registry.rows("sinks")
        usage = registry.rows("usage_today")[0]
    if as_json:
        emit_json({"streams": streams, "sinks": sinks, "last_day": usage})
        return
    outcomes = ("ok", "abstained", "withheld", "pending", "dead", "missing", "gone", "skipped")
    emit_table(
        "Streams",
        [
            {"stream": s["stream"], "rows": s["rows_known"]}
            | {outcome: s[outcome] for outcome in outcomes}
            | {"lag_s": s["lag_s"], "last_poll": s["last_poll_at"]}
            for s in streams
        ],
        "No stream has been polled yet: `insights run`.",
    )
    emit_table("Sinks", sinks, "No sink.")
    stdout.print(
        f"Last day: {usage['insights']:,} generations, {usage['prompt_tokens']:,} prompt tokens "
        f"({usage['reused_tokens']:,} reused), {usage['output_tokens']:,} output tokens."
    )
    for stream in streams:
        if stream["stopped_reason"]:
            stdout.print(f"[bold red]{stream['stream']} stopped:[/] {stream['stopped_reason']}")
        if stream["paused"]:
            stdout.print(f"[bold yellow]{stream['stream']} is paused[/] (store.stream.paused)")
