"""From an output schema to a Lark grammar for llguidance, with quotes and citations.

Parts without quotes stay JSON Schema (`%json`); llguidance would ignore `x-quote` there, so every
object and array on the way to a quote field is written out as rules. Output is compact, properties
in the schema's order. `docs/inference.md` shows one.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from insights import errors
from insights.inference import quotes
from insights.inference.schema import has_quotes, word_bounds
from insights.model import Json
from insights.steps.schema import (
    CITED,
    KIND,
    QUOTE,
    UNIT,
    alternatives,
    choice,
    closed,
    generable,
    nullable,
)

_ABSTAIN = '"abstain":'
_MAX_FREE_ORDER = 6  # more passages than this are cited in ascending order: the grammar stays small


class Grammar:
    """The Lark text for one request; `lark` is its result.

    `impossible` says why no output can be made for this row, so that it can only abstain; it is
    empty where one can.

    Args:
        schema: An output schema in normal form.
        abstain: Reasons that may be given instead.
        row: Texts by column, as in the prompt.
        passages: Texts by number, as in the prompt.
        written: The output so far, JSON text that begins with `{` and ends with the value of
            `cited_passages`: then the grammar continues exactly that.
        cited: The passages that the output has cited, once it has.
        headings: The passages' titles by number, for quotes from under some of them only.

    Raises:
        errors.RowError: If neither an output nor an abstention is possible, as with a required
            quote from an empty text.
    """

    def __init__(
        self,
        schema: Json,
        abstain: Sequence[str] = (),
        row: Mapping[str, str] | None = None,
        passages: Mapping[int, str] | None = None,
        *,
        written: str = "",
        cited: Sequence[int] | None = None,
        headings: Mapping[int, str] | None = None,
    ) -> None:
        self._headings = headings or {}
        self._row = row or {}
        self._passages = passages or {}
        self._cited = cited
        schema = generable(closed(schema))
        self._definitions = {key: schema[key] for key in ("$defs",) if key in schema}
        self._names = count()
        self._rules: list[str] = []
        starts = []
        self.impossible = ""
        try:
            if written:
                starts.append(self._rest_of(schema, written))
            elif has_quotes(schema) or CITED in schema["properties"]:
                starts.append(self._object(schema))
            elif branches := alternatives(schema):  # the properties beside them only list them
                starts.append(self._json({choice(schema): list(branches)}))
            else:
                starts.append(self._json(schema))
        except _ImpossibleError as exc:
            if not abstain:
                raise errors.RowError(
                    f"no output is possible: {exc}",
                    fix='let the pipeline abstain, or make the field optional (or "null")',
                ) from exc
            self.impossible = str(exc)
        if abstain and not written:
            reasons = " | ".join(_literal(json.dumps(r, ensure_ascii=False)) for r in abstain)
            starts.append(f'"{{" {_literal(_ABSTAIN)} ({reasons}) "}}"')
        self.lark = "\n".join([f"start: {' | '.join(starts)}", *self._rules])

    def _value(self, part: Any, *, top: str = "") -> str:  # noqa: ANN401 - JSON Schema
        if isinstance(part, bool):
            raise _ImpossibleError("it cannot be there")
        if top == CITED:
            return self._citations(part)
        if QUOTE in part:
            return self._quote(part)
        if not has_quotes(part):
            return self._json(part)
        try:
            rule = self._object(part) if "properties" in part else self._array(part)
        except _ImpossibleError:
            if nullable(part):
                return '"null"'
            raise
        return f'({rule} | "null")' if nullable(part) else rule

    def _json(self, part: Json) -> str:
        whole = {**self._definitions, **part, "x-guidance": {"whitespace_flexible": False}}
        return self._rule(f"%json {json.dumps(whole, ensure_ascii=False)}", "j")

    def _object(self, part: Json) -> str:
        """Return a rule for an object: properties in order, optional ones left out or not."""
        return self._rule(
            f'"{{" {self._members(part, list(part["properties"]), first=True)} "}}"', "o"
        )

    def _members(self, part: Json, names: list[str], *, first: bool) -> str:
        """Return a rule for the rest of an object: from the last property backwards."""
        required = set(part.get("required", ()))
        top = CITED in part["properties"]
        opening = following = '""'
        for name in reversed(names):
            key = _literal(json.dumps(name, ensure_ascii=False) + ":")
            try:
                value = self._value(part["properties"][name], top=name if top else "")
            except _ImpossibleError:
                if name in required:
                    raise
                continue
            skipping_first = "" if name in required else f" | {opening}"
            skipping = "" if name in required else f" | {following}"
            opening = self._rule(f"{key} {value} {following}{skipping_first}", "f")
            following = self._rule(f'"," {key} {value} {following}{skipping}', "m")
        return opening if first else following

    def _array(self, part: Json) -> str:
        item = self._value(part["items"])
        low, high = int(part.get("minItems", 0)), part.get("maxItems")
        more = f"{{{max(low - 1, 0)},{int(high) - 1 if high is not None else ''}}}"
        rest = self._rule(f'"," {item}', "c")
        filled = f"{item} {rest}{more}" if high != 0 else ""
        choices = " | ".join(p for p in ('""' if low == 0 else "", filled) if p)
        return self._rule(f'"[" ({choices}) "]"', "a")

    def _quote(self, part: Json) -> str:
        texts = [text for text in self._sources(part).values() if quotes.is_quotable(text)]
        null = '"null"' if nullable(part) else ""
        if not texts:
            if null:
                return null
            raise _ImpossibleError(f"{part[QUOTE]} holds nothing to quote")
        bounds = word_bounds(part)
        if part.get(UNIT) != "sentence":
            fitting = [text for text in texts if quotes.fits(text, bounds)]
            if not fitting:
                if null:
                    return null
                raise _ImpossibleError(_unfit(part[QUOTE], texts, bounds))
            texts = fitting
        name = f"QUOTE{next(self._names)}"
        if part.get(UNIT) == "sentence":
            whole = quotes.quotable_sentences(part, texts)
            if not whole:
                if null:
                    return null
                kind = "of that kind" if KIND in part else "of that length"
                raise _ImpossibleError(f"{part[QUOTE]} holds no sentence {kind}")
            choices = (_literal(quotes.escaped(sentence)) for sentence in whole)
            self._rules.append(f"{name}: {' | '.join(choices)}")
        else:
            self._rules.extend(quotes.terminals(name, texts, bounds))
        rule = self._rule(f'"\\"" {name} "\\""', "q")
        return f"({rule} | {null})" if null else rule

    def _sources(self, part: Json) -> dict[str, str]:
        source = part[QUOTE]
        if source != "passages":
            return {source: self._row.get(source.removeprefix("row."), "")}
        numbers = self._passages if self._cited is None else self._cited
        shown = quotes.under(part, self._headings, (n for n in numbers if n in self._passages))
        return {f"passage.{n}": self._passages[n] for n in shown}

    def _citations(self, part: Json) -> str:
        """Return a rule for a list of passage numbers that were in the prompt, none twice."""
        low = int(part.get("minItems", 0))
        high = min(int(part.get("maxItems", len(self._passages))), len(self._passages))
        if low > len(self._passages):
            raise _ImpossibleError(
                f"{CITED} needs {low} passages, {len(self._passages)} were found"
            )
        numbers = tuple(sorted(self._passages))
        ascending = len(numbers) > _MAX_FREE_ORDER
        known: dict[tuple[int, ...], str] = {}

        def after(used: tuple[int, ...]) -> str:
            if used in known:
                return known[used]
            comma = '"," ' if used else ""
            free = [
                n for n in numbers if n not in used and not (ascending and used and n < used[-1])
            ]
            choices = [
                f'{comma}"{n}" {after(tuple(sorted((*used, n))))}'
                for n in (free if len(used) < high else ())
            ]
            if len(used) >= low:
                choices.append('""')
            if not choices:
                return '""'
            known[used] = self._rule(" | ".join(choices), "n")
            return known[used]

        return self._rule(f'"[" {after(())} "]"', "l")

    def _rest_of(self, schema: Json, written: str) -> str:
        """Return a start that continues `written`, which ends after the value of `CITED`."""
        names = list(schema["properties"])
        rest = names[names.index(CITED) + 1 :]
        return f'{_literal(written)} {self._members(schema, rest, first=False)} "}}"'

    def _rule(self, body: str, prefix: str) -> str:
        name = f"{prefix}{next(self._names)}"
        self._rules.append(f"{name}: {body}")
        return name


class _ImpossibleError(Exception):
    """A part that cannot be generated for this row."""


def _unfit(source: str, texts: Sequence[str], bounds: tuple[int, int]) -> str:
    low, high = bounds
    if all(quotes.counted(text) < low for text in texts):
        return f"{source} holds fewer than {low} words"
    return f"{source} cannot be cut into {low} to {high} whole words"


def _literal(text: str) -> str:
    """Return a Lark string literal."""
    return json.dumps(text, ensure_ascii=False)
