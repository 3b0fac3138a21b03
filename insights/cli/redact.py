"""`insights redact`: what a stream's redaction finds, before a model sees any of it."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from insights import errors
from insights.cli.output import Json, emit_json, emit_table
from insights.model import Row, StreamSpec
from insights.site import definitions
from insights.wiring.app import App, open_app

app = typer.Typer(help="Redaction: what becomes a placeholder.", no_args_is_help=True)

_MASKED = re.compile(r"<([A-Z][A-Z0-9_]*)_\d+:([^<>]*)>")
_SAMPLES = 3  # masked values shown for each kind
_MOST_ROWS = 900  # that one statement asks for by key


class Found(msgspec.Struct, frozen=True):
    """What was found of one kind in one column."""

    kind: str
    column: str
    found: int
    rows: int
    examples: tuple[str, ...]


@app.callback()
def root() -> None:
    """Keep `test` a command of its own."""


@app.command("test")
def try_(
    ctx: typer.Context,
    stream: Annotated[str, typer.Argument(help="The stream")],
    keys: Annotated[list[str] | None, typer.Option("--key", help="These rows; repeatable")] = None,
    rows: Annotated[int, typer.Option(help="Rows looked at, the first by key", min=1)] = 100,
    as_json: Json = False,
) -> None:
    """Show what would be found in real rows, by kind and column, values masked.

    The rows are read from the replica; values are masked in the process that reads them, names that
    a model finds in this one. Nothing is written but an audit event
    for each row that is read.
    """
    with open_app(ctx.obj) as opened:
        spec = _spec(opened, stream)
        if spec.of_inbox:
            raise errors.SettingsError(
                "rows of the inbox are kept redacted: there is nothing to show",
                where=f"stream.{stream}",
                fix="`insights redact text` shows what would be found in a text",
            )
        spec = msgspec.structs.replace(
            spec,
            page_rows=min(rows, _MOST_ROWS),
            redaction=msgspec.structs.replace(spec.redaction, masked=True),
            names=spec.names and msgspec.structs.replace(spec.names, masked=True),
        )
        source = opened.source(spec.source)
        wanted = keys
        if not wanted:
            page = source.page(spec, None, by="key")
            lines = page.block.decode().splitlines()
            wanted = [key for line in lines if "\\" not in (key := line.split("\t")[0])]
        fetched = source.fetch(spec, wanted)
        opened.readings("insights redact test").rows(stream, [row.key for row in fetched])
        found = summary(fetched)
    if as_json:
        emit_json({"rows": len(wanted), "found": found})
    else:
        shown = [
            {**msgspec.structs.asdict(one), "examples": "  ".join(one.examples)} for one in found
        ]
        emit_table(f"Found in {len(wanted)} rows of {stream}", shown, "Nothing was found.")


def summary(rows: Sequence[Row]) -> list[Found]:
    """Return what masked rows hold, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    hit: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        for column, value in row.values.items():
            seen = set()
            for kind, masked in _MASKED.findall(value or ""):
                place = (kind.lower(), column)
                counts[place] += 1
                seen.add(place)
                some = examples.setdefault(place, {})
                if len(some) < _SAMPLES:
                    some[masked] = None
            hit.update(seen)
    return [
        Found(kind, column, found, hit[kind, column], tuple(examples[kind, column]))
        for (kind, column), found in counts.most_common()
    ]


def _spec(opened: App, name: str) -> StreamSpec:
    """Return a stream with every column that pipelines and collections read of it, but files."""
    settings = opened.settings
    if name not in settings.stream:
        raise errors.SettingsError(
            f"there is no stream {name!r}",
            where="redact test",
            fix="streams: " + (", ".join(settings.stream) or "none"),
        )
    specs = [made.stream for made in opened.definitions.values() if made.stream.name == name]
    specs += [
        definitions.knowledge_stream(settings, collection)
        for collection, found in settings.collection.items()
        if found.stream == name
    ]
    if not specs:
        raise errors.SettingsError(
            "no pipeline and no collection reads this stream, so it has no columns",
            where=f"stream.{name}",
            fix="write a pipeline first; `insights init` writes one",
        )
    inputs = {column for spec in specs for column in spec.inputs}
    inputs -= {spec.attachment for spec in specs if spec.attachment}
    extra = {column for spec in specs for column in spec.extra} - inputs
    return msgspec.structs.replace(
        specs[0], inputs=tuple(sorted(inputs)), extra=tuple(sorted(extra)), attachment=None
    )
