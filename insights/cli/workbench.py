"""`insights try --sample`: real rows through a pipeline, side by side; only the audit is told."""

import html
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from insights import errors
from insights.cli.html_table import table
from insights.cli.output import emit_table, shown, stdout
from insights.enriching import escalating
from insights.enriching.recipe import (
    Recipe,
    examples_for,
    lacking,
    passages_for,
    request_for,
)
from insights.enriching.support import final
from insights.model import Bookmark, Example, Generation, Passage, Row, Verdict
from insights.ports import Grounds
from insights.steps.prompt import Template
from insights.wiring.app import App

_Submitted = tuple[
    Row, tuple[Passage, ...], tuple[Example, ...], tuple[str, ...], Future[Generation] | None
]
_LOOKED_THROUGH = 1_000  # rows that a sample is spread over
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_STYLE = """body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}
td,th{border:1px solid #ccc;padding:4px 8px;text-align:left;vertical-align:top}
.withheld,.failed{background:#fdd}.abstained{background:#eee}"""
_SHORT = 60  # characters of an output in the table


class Neighbour(msgspec.Struct, frozen=True):
    """The nearest labelled row, and whether the output says of its labels what people decided."""

    uri: str
    similarity: float
    output: dict[str, Any]
    agrees: bool | None

    @property
    def told(self) -> str:
        """What a table shows."""
        said = ", ".join(str(value) for value in self.output.values())
        return said if self.agrees is None else f"{said} ({'agrees' if self.agrees else 'differs'})"


class Tried(msgspec.Struct, frozen=True):
    """One row's outcome. `support` is the least of its sentences, None where none was scored."""

    key: str
    status: str
    reason: str | None
    output: dict[str, Any] | None
    support: float | None
    confidence: float | None
    neighbour: Neighbour | None
    tokens: int
    seconds: float


class Trial(msgspec.Struct, frozen=True):
    """One prompt over a sample: what each row got, and what it took; `rows` are the table's."""

    prompt: str
    tried: tuple[Tried, ...]
    seconds: float
    rows: int | None

    def whole(self) -> str:
        """Say what the whole table would take, at this pace."""
        tokens = sum(one.tokens for one in self.tried)
        many = max(1, len(self.tried))
        said = f"{len(self.tried)} rows: {tokens:,} tokens, {self.seconds:.0f} s"
        if self.rows is not None:
            hours = self.rows * self.seconds / many / 3600
            said += (
                f"; all {self.rows:,} rows at this pace: {self.rows * tokens // many:,} tokens, "
                f"{hours:.1f} h"
            )
        return said


def chosen(app: App, name: str | None, *, where: str) -> str:
    """Return the pipeline that is meant.

    Raises:
        errors.SettingsError: If there are several and none is named.
    """
    names = list(app.definitions)
    if name is None and len(names) != 1:
        raise errors.SettingsError(
            "there are several pipelines", where=where, fix="name one: " + ", ".join(names)
        )
    return app.definition(name).name if name else names[0]


def keys(recipe: Recipe, count: int) -> list[str]:
    """Return the keys of rows spread over the first thousand.

    Raises:
        errors.RowError: If the stream has no row.
    """
    if recipe.stream.of_inbox:
        raise errors.RowError(
            "its rows come in through doors: there is no table to look through",
            where=f"stream {recipe.stream.name}",
            fix="name the key of a row that was sent of late",
        )
    spec = msgspec.structs.replace(recipe.stream, page_rows=_LOOKED_THROUGH)
    source: Any = recipe.source
    page = source.page(spec, None, by="key")
    found = [line.split("\t")[0] for line in page.block.decode().splitlines()]
    plain = [key for key in found if "\\" not in key]
    if not plain:
        raise errors.RowError("there is no row to try", where=f"stream {recipe.stream.name}")
    step = max(1, len(plain) // count)
    return plain[::step][:count]


def spread(recipe: Recipe, count: int) -> list[str]:
    """Return the keys of rows spread over the table, as even as its keys are.

    Each is one look along the primary key, which must be one whole number. Of other keys, and of a
    stream that leaves rows out, rows of the first thousand stand for all (`keys`).

    Raises:
        errors.RowError: If the stream has no row.
    """
    spec = recipe.stream
    narrowed = any((spec.where, spec.query, spec.pending, spec.before))
    narrowed = narrowed or spec.start != "beginning"
    first = None if spec.of_inbox or narrowed else _behind(recipe, None)
    if first is None:
        return keys(recipe, count)
    step = 1
    while _behind(recipe, first + step) is not None:
        step *= 2
    low, high = first + step // 2, first + step
    while high - low > step // count + 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _behind(recipe, middle) is None else (middle, high)
    found = (_behind(recipe, first - 1 + (high - first) * at // count) for at in range(count))
    return [str(key) for key in dict.fromkeys(found) if key is not None]


def _behind(recipe: Recipe, key: int | None) -> int | None:
    """Return the first key above one, from the beginning for None; None for no whole number."""
    source: Any = recipe.source
    spec = msgspec.structs.replace(recipe.stream, page_rows=1)
    after = None if key is None else Bookmark(key=(str(key),))
    found = source.page(spec, after, by="key").block.decode().partition("\t")[0]
    return int(found) if len(spec.key) == 1 and _WHOLE.fullmatch(found) else None


def with_prompt(recipe: Recipe, file: Path) -> Recipe:
    """Return a recipe with another prompt, which may read other columns.

    Raises:
        errors.SettingsError: If the file cannot be read, or is no prompt.
    """
    try:
        template = Template(file.read_text(encoding="utf-8"), where=str(file))
    except OSError as exc:
        raise errors.SettingsError(
            f"the file cannot be read: {exc.strerror}", where=str(file)
        ) from None
    inputs = tuple(sorted({*recipe.stream.inputs, *template.columns()}))
    stream = msgspec.structs.replace(recipe.stream, inputs=inputs)
    return msgspec.structs.replace(recipe, template=template, stream=stream)


def trial(
    recipe: Recipe, wanted: Sequence[str], grounds: Grounds, *, prompt: str, rows: int | None
) -> Trial:
    """Take rows through a recipe, all at once as the daemon does."""
    began = time.monotonic()
    tried = []
    for row, some, examples, orders, future in _submitted(recipe, wanted):
        try:
            made = None if future is None else future.result()
        except errors.InsightsError as exc:
            tried.append(_failed(row, exc))
            continue
        seconds = 0.0 if made is None else time.monotonic() - began
        verdict = final(recipe, row, some, examples, made, grounds, orders)
        tried.append(_tried(row, verdict, neighbour(verdict, examples), made, seconds))
    return Trial(prompt, tuple(tried), time.monotonic() - began, rows)


def sampled(recipe: Recipe, count: int) -> list[Generation | None]:
    """Return what a sample of rows made, for what it took; None for a row that asks no model."""
    pending = _submitted(recipe, spread(recipe, count))
    return [None if future is None else future.result() for *_, future in pending]


def _submitted(recipe: Recipe, wanted: Sequence[str]) -> list[_Submitted]:
    """Send rows to the generator, all at once."""
    found: list[Row] = list(recipe.source.fetch(recipe.stream, wanted))
    given = zip(found, passages_for(recipe, found), examples_for(recipe, found), strict=True)
    pending: list[_Submitted] = []
    for row, some, examples in given:
        request = request_for(recipe, row, some, examples)
        orders = recipe.guard.found(request)
        asks = lacking(recipe, some, examples) is None and not recipe.guard.refusal(orders)
        future = escalating.asked(recipe, request) if asks else None
        pending.append((row, some, examples, orders, future))
    return pending


def with_keys(made: Trial, shown_key: Callable[[str], str]) -> Trial:
    """Return a trial with its keys as they may be shown: a personal one as its keyed hash."""
    tried = (msgspec.structs.replace(one, key=shown_key(one.key)) for one in made.tried)
    return msgspec.structs.replace(made, tried=tuple(tried))


def _failed(row: Row, exc: errors.InsightsError) -> Tried:
    return Tried(row.key, "failed", exc.what, None, None, None, None, 0, 0.0)


def neighbour(verdict: Verdict, examples: Sequence[Example]) -> Neighbour | None:
    """Return what the nearest labelled row says beside an output; None without one."""
    if not examples:
        return None
    nearest, output = examples[0], verdict.output
    agrees = None
    if output is not None:
        agrees = all(output.get(name) == one for name, one in nearest.output.items())
    return Neighbour(nearest.uri, nearest.similarity, nearest.output, agrees)


def _tried(
    row: Row,
    verdict: Verdict,
    nearest: Neighbour | None,
    made: Generation | None,
    seconds: float,
) -> Tried:
    supports = [one.support for one in verdict.citations if one.support is not None]
    confidence = [] if made is None else list(made.confidence.values())
    return Tried(
        key=row.key,
        status=verdict.status,
        reason=verdict.reason,
        output=verdict.output,
        support=min(supports, default=None),
        confidence=min(confidence, default=None),
        neighbour=nearest,
        tokens=made.tokens if made else 0,
        seconds=seconds,
    )


def show(trials: Sequence[Trial]) -> None:
    """Print one trial as a table; of two only the rows whose outputs differ."""
    if len(trials) == 1:
        emit_table("Tried", [_cells(one) for one in trials[0].tried], "No row.")
    else:
        emit_table("Rows that differ", differing(*trials), "Both prompts give the same outputs.")
    for one in trials:
        label = f"{one.prompt}: " if len(trials) > 1 else ""
        stdout.print(shown(label + one.whole()), soft_wrap=True, highlight=False)


def differing(first: Trial, second: Trial) -> list[dict[str, Any]]:
    """Return the fields in which two trials differ, a row each."""
    return [
        {
            "key": one.key,
            "field": name,
            first.prompt: _short(_fields(one).get(name)),
            second.prompt: _short(_fields(other).get(name)),
        }
        for one, other in zip(first.tried, second.tried, strict=True)
        for name in dict.fromkeys([*_fields(one), *_fields(other)])
        if _fields(one).get(name) != _fields(other).get(name)
    ]


def page(trials: Sequence[Trial], pipeline: str) -> str:
    """Return a report that stands alone: HTML without a script, a link or a font from elsewhere."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{html.escape(pipeline)}</title>",
        f"<style>{_STYLE}</style>",
        f"<h1>{html.escape(pipeline)}</h1>",
    ]
    for one in trials:
        parts.append(f"<h2>{html.escape(one.prompt)}</h2><p>{html.escape(one.whole())}</p>")
        parts.append(table([_cells(row, short=False) for row in one.tried]))
    if len(trials) > 1:
        parts += ["<h2>What differs</h2>", table(differing(trials[0], trials[1]))]
    return "\n".join(parts) + "\n"


def _fields(one: Tried) -> dict[str, Any]:
    return {"status": one.status, **(one.output or {})}


def _cells(one: Tried, *, short: bool = True) -> dict[str, Any]:
    """Return a row of the table: the output's fields in one cell, since pipelines differ."""
    output = one.output or {}
    if short:
        told: dict[str, Any] = {
            "output": "\n".join(f"{name}: {_short(value)}" for name, value in output.items())
            or one.reason
        }
    else:
        told = {**output, "reason": one.reason}
    return {
        "key": one.key,
        "status": one.status,
        **told,
        "support": None if one.support is None else f"{one.support:.2f}",
        "confidence": None if one.confidence is None else f"{one.confidence:.2f}",
        **({} if one.neighbour is None else {"neighbour": one.neighbour.told}),
        "tokens": one.tokens,
        "after_s": f"{one.seconds:.1f}",
    }


def _short(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= _SHORT else text[: _SHORT - 1].rsplit(" ", 1)[0] + " …"
