"""Labelled rows: what people decided, from a file or from a column of the legacy database.

A label says one property of the output. Rows without one, and labels that the schema does not
allow, are counted and left out.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from insights import errors
from insights.enriching.recipe import Recipe
from insights.model import Json, StreamSpec
from insights.steps.labels import decided
from insights.steps.schema import columns

_PAGES = 20  # of the stream that a sample is spread over
_SPARE = 4  # so many keys are looked at for each labelled row that is wanted
_AT_ONCE = 500  # rows a statement


class Labelled(msgspec.Struct, frozen=True):
    """What people decided, by row key; `left_out` counts labels by why they cannot be used."""

    source: str
    truth: dict[str, Json]
    left_out: dict[str, int]


class Column(msgspec.Struct, frozen=True):
    """Where the labels of a property stand: a column of the stream's rows, or of another table."""

    property: str
    column: str
    table: str | None = None


def column(text: str, schema: Json) -> Column:
    """Return what `[PROPERTY=][TABLE.]COLUMN` names; the property is called as the column is.

    Raises:
        errors.SettingsError: If the output has no such property.
    """
    name, given, rest = text.rpartition("=")
    table, _, at = rest.rpartition(".")
    wanted = name if given else at
    if wanted not in columns(schema):
        raise errors.SettingsError(
            f"the output has no property {wanted!r}",
            where="--labels",
            fix=f"write PROPERTY={rest}; properties: {', '.join(columns(schema))}",
        )
    return Column(wanted, at, table or None)


def from_file(path: Path, key: Sequence[str], schema: Json) -> Labelled:
    """Return the labels of a CSV file: the key's columns (or one called `key`), and properties.

    Other columns are ignored. The delimiter is the one of `, ; tab |` that the header has most.

    Raises:
        errors.SettingsError: If it cannot be read, or lacks the key or every property.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise errors.SettingsError(
            "the labels cannot be read as UTF-8", where=str(path), fix="name a CSV file"
        ) from exc
    header = text.partition("\n")[0]
    delimiter = max(",;\t|", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = reader.fieldnames or []
    by = list(key) if set(key) <= set(names) else ["key"]
    said = [name for name in columns(schema) if name in names]
    if not set(by) <= set(names) or not said:
        raise errors.SettingsError(
            f"the header is {header!r}",
            where=str(path),
            fix=f"name the key ({', '.join(key)}) and one of {', '.join(columns(schema))} in it",
        )
    rows = (
        (_key([row[name] or "" for name in by]), {name: row[name] or "" for name in said})
        for row in reader
    )
    try:
        return _made(path.name, rows, schema)
    except csv.Error as exc:
        raise errors.SettingsError(
            f"what follows line {reader.line_num} is no CSV: {exc}",
            where=str(path),
            fix="quote its cells",
        ) from None


def from_columns(recipe: Recipe, wanted: Sequence[Column], rows: int) -> Labelled:
    """Return the labels of up to so many rows, spread over the first pages of the stream.

    Args:
        recipe: Whose stream and schema it is.
        wanted: The columns; those of another table are found there by the stream's key.
        rows: How many labelled rows are wanted.

    Raises:
        errors.InsightsError: If the database refuses, as for a column that is not there.
    """
    found: dict[str, dict[str, str]] = {}
    streams: dict[str | None, StreamSpec] = {}
    for table in dict.fromkeys(one.table for one in wanted):
        inputs = tuple(sorted({one.column for one in wanted if one.table == table}))
        spec = msgspec.structs.replace(recipe.stream, inputs=inputs, extra=(), attachment=None)
        if table is not None:
            spec = msgspec.structs.replace(
                spec, table=table, query=None, where=None, cursor=None, pending=None
            )
        streams[table] = spec
    keys = _spread(list(_keys(recipe)), rows * _SPARE)
    for start in range(0, len(keys), _AT_ONCE):
        if len(found) >= rows:
            break
        for table, spec in streams.items():
            for row in recipe.source.fetch(spec, keys[start : start + _AT_ONCE]):
                texts = found.setdefault(row.key, {})
                for one in wanted:
                    if one.table == table and (text := row.values.get(one.column)):
                        texts[one.property] = text
        found = {key: texts for key, texts in found.items() if len(texts) == len(wanted)}
    told = ", ".join(f"{one.table}.{one.column}" if one.table else one.column for one in wanted)
    return _made(told, iter(list(found.items())[:rows]), recipe.output_schema)


def _keys(recipe: Recipe) -> Iterator[str]:
    """Yield the keys of the first pages of a stream, in their order; one with a backslash not."""
    source: Any = recipe.source
    after = None
    for _ in range(_PAGES):
        page = source.page(recipe.stream, after, by="key")
        lines = page.block.decode().splitlines()
        yield from (key for line in lines if "\\" not in (key := line.split("\t")[0]))
        if page.complete or page.last is None:
            return
        after = page.last


def _spread(keys: Sequence[str], most: int) -> list[str]:
    """Return up to so many keys, each part of the whole in any beginning of them."""
    if not keys:
        return []
    step = max(1, -(-len(keys) // max(1, most)))
    some = keys[::step]
    stride = max(1, round(len(some) ** 0.5))
    return [key for start in range(stride) for key in some[start::stride]]


def _key(parts: Sequence[str]) -> str:
    """Return a row's key; "" where a part has no value."""
    if not all(part.strip() for part in parts):
        return ""
    return parts[0] if len(parts) == 1 else msgspec.json.encode(list(parts)).decode()


def _made(source: str, rows: Iterator[tuple[str, Mapping[str, str]]], schema: Json) -> Labelled:
    truth: dict[str, Json] = {}
    left_out: dict[str, int] = {}
    for key, texts in rows:
        said = {name: text for name, text in texts.items() if text.strip()}
        output = decided(schema, said)
        why = (
            "it has no key" if not key.strip()
            else "it has no label" if not said
            else "the schema does not allow its label" if output is None
            else "its key has two labels" if key in truth
            else None
        )  # fmt: skip
        if why is not None:
            left_out[why] = left_out.get(why, 0) + 1
        elif output is not None:
            truth[key] = output
    return Labelled(source, truth, left_out)
