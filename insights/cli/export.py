"""`insights export`: what people have decided, for who trains a model on it."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from insights import errors
from insights.cli import labelling, workbench
from insights.cli.output import Json, emit_json, emit_table, shown, stdout
from insights.wiring import exporting
from insights.wiring.app import open_app

app = typer.Typer(help="Hand over what people have decided.", no_args_is_help=True)


@app.command("pairs")
def pairs(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="The file to write, a line of JSON a pair")],
    pipeline: labelling.Pipeline = None,
    as_json: Json = False,
) -> None:
    """Write pairs for fine-tuning: prompts as the model saw them, with answers that are right.

    Takes insights that people said are right, or corrected, of rows whose stream has `consent`.
    Rows are read again from the replica, redacted as ever, and left out where what the model was
    asked would not be the same. The audit is told whose rows they are, who took them, and which
    file.
    """
    with open_app(ctx.obj) as opened:
        name = workbench.chosen(opened, pipeline, where="export pairs")
        made = exporting.pairs(opened, name)
        if not made.pairs:
            why = "; ".join(f"{count:,}: {reason}" for reason, count in made.left_out.items())
            raise errors.SettingsError(
                "there is no pair to export",
                where=f"pipeline {name}",
                fix=why or "nobody has said anything yet: insights.verdict (docs/evaluation.md)",
            )
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in made.pairs)
        sha256 = hashlib.sha256(lines).hexdigest()
        exporting.tell(opened, name, made, sha256)
    labelling.write(out, lines)
    splits = dict(Counter(one.split for one in made.pairs))
    if as_json:
        emit_json(
            {"file": str(out), "sha256": sha256, "pairs": len(made.pairs), "splits": splits,
             "left_out": made.left_out}
        )  # fmt: skip
        return
    table = [{"split": split, "pairs": count} for split, count in splits.items()]
    emit_table(f"Pairs of {name}", table, "None.")
    for why, count in made.left_out.items():
        stdout.print(f"{count:,} left out: {shown(why)}", highlight=False, soft_wrap=True)
    stdout.print(f"wrote {shown(out)}, SHA-256 {sha256}", highlight=False, soft_wrap=True)
