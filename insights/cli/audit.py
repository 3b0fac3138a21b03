"""`insights audit`: whether the record of what was done is as it was written, and a copy of it."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from insights import errors
from insights.cli import telling
from insights.cli.output import Json, emit_json, shown, stdout, visible
from insights.governance import anchors
from insights.site.files import load
from insights.wiring.commands import trail

app = typer.Typer(
    help="The audit: what was done, by whom, in chains that show every change to them.",
    no_args_is_help=True,
)


@app.command("verify")
def verify(
    ctx: typer.Context,
    anchor: Annotated[
        list[Path] | None,
        typer.Option(
            "--anchors",
            help="A file with ends that were kept: audit.anchor_file, a log, what the journal "
            "printed; may be given again [default: audit.anchor_file]",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every chain of events from its beginning, and what guards them; name what is wrong."""
    settings = load(ctx.obj)
    named = settings.audit.anchor_file
    if anchor is None and named is not None and settings.resolve(named).exists():
        anchor = [settings.resolve(named)]
    lines = [line for file in anchor or () for line in anchors.read(file)]
    with trail(settings) as opened:
        verdict = opened.verify(lines)
    if as_json:
        emit_json(verdict)
    else:
        for one in verdict.findings:
            stdout.print(f"[bold]{shown(one.where)}[/]: {shown(one.what)}", soft_wrap=True)
        told = f"{verdict.events:,} events in {verdict.chains:,} chains"
        against = f"compared with {verdict.anchors:,} anchors"
        if not verdict.anchors:
            against = "compared with no anchor: a store written anew as a whole would not show"
        stdout.print(f"{told} checked, {against}.", soft_wrap=True)
    if verdict.findings:
        raise errors.AuditBroken(
            f"the audit is not as it was written: {len(verdict.findings)} findings",
            where="audit verify",
            fix="keep the store as it is, and compare it with a backup and the anchors",
        )


@app.command("show")
def show(ctx: typer.Context, insight: int, as_json: Json = False) -> None:
    """Tell the whole story of one insight: from what it was made, by what, and what came after."""
    with trail(ctx.obj) as opened:
        story = opened.show(insight)
    if story is None:
        raise errors.RowError(
            f"there is no insight {insight}",
            where="audit show",
            fix="the view insights.history has their numbers",
        )
    if as_json:
        emit_json({**msgspec.to_builtins(story), "changed": story.changed})
        return
    for line in telling.words(story):
        stdout.print(shown(line), soft_wrap=True, highlight=False)


@app.command("settings")
def settings(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the last first")] = 20,
    as_json: Json = False,
) -> None:
    """Show when daemons began with other settings than before, under whom, and which."""
    with trail(ctx.obj) as opened:
        found = opened.settings(limit)
    if as_json:
        emit_json(found)
        return
    for one in found:
        at = one["at"].astimezone().strftime("%Y-%m-%d %H:%M:%S")
        told = f"{at}  {one['daemon']}, run by {one['user']} (login {one['login']})"
        for line in (told, *(f"  {change}" for change in one["changed"] or ["the first time"])):
            stdout.print(visible(line), soft_wrap=True, highlight=False, markup=False)


@app.command("export")
def export(ctx: typer.Context, folder: Path, as_json: Json = False) -> None:
    """Write all events with their proofs, and the program that checks them, to a new folder.

    The program needs Python and nothing else: `python3 verify.py audit.jsonl [ANCHORS ...]`.
    """
    try:
        folder.mkdir(mode=0o700)
    except OSError as exc:
        raise errors.SettingsError(
            f"{folder} cannot be made ({exc.strerror})", where="audit export", fix="a new folder"
        ) from exc
    with trail(ctx.obj) as opened:
        with (folder / "audit.jsonl").open("w", encoding="utf-8") as file:
            count = opened.export(file)
        (folder / "verify.py").write_text(opened.verifier, encoding="utf-8")
    if as_json:
        emit_json({"events": count, "folder": str(folder)})
    else:
        stdout.print(f"{count:,} events are in {shown(folder)}; check them there:", soft_wrap=True)
        stdout.print("  python3 verify.py audit.jsonl", markup=False, highlight=False)
