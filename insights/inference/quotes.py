"""Quotes: texts cut into Unicode words, patterns that only runs of them match, where they stand.

A quote is a literal run of whole words (UAX 29, so that languages without spaces work) of one
source, or a whole sentence of it, as JSON text: the source is escaped before it is cut, and never
inside an escape.
"""

import bisect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import regex

from insights.inference.schema import word_bounds
from insights.model import Json, Span
from insights.steps import content
from insights.steps.schema import HEADING, KIND, QUOTE, UNIT, WORDS

_BOUNDARY = regex.compile(r"(?w)\b", flags=regex.V1 | regex.WORD)
_MARK = regex.compile(r"\p{M}")
# One library says what a letter is, for what is written and for what is asked of it (`content`).
# The interpreter's own tables are of an older Unicode.
_WORD = regex.compile(r"[\p{L}\p{N}]")
_NUMBER = regex.compile(r"\p{N}")
_CLOSING = regex.compile(r"[\p{Pe}\p{Pf}]")
_ALONE = regex.compile(r"[\p{Han}\p{Hiragana}]")  # UAX 29 takes each for a word

# A sentence ends at its mark and what closes behind it, before a blank; and at each end of a line.
# A dot behind a lone letter ("e.g. this", "J. Smith") ends none.
_SENTENCE_END = regex.compile(
    r"""(?<=[.!?…][\p{Pe}\p{Pf}"']*)(?<!(?<!\p{L})\p{L}\.)\s+|(?<=[。\uff01\uff1f][\p{Pe}\p{Pf}]*)|[\r\n]+""",
    regex.V1,
)
_MARKER = regex.compile(r"\s*(?:(?:[#>*+•\u2013-]+|\d{1,3}[.)])\s+)*")  # of headings and lists
_LETTER = regex.compile(r"\p{L}")
_COUNTED = regex.compile(  # what `terminals` counts as words
    r"[\p{Han}\p{Hiragana}]|[[\p{L}\p{N}\p{M}_]--[\p{Han}\p{Hiragana}]]+", regex.V1
)


def words(text: str) -> list[str]:
    """Return the text cut at UAX 29 word boundaries; joined again they are the text."""
    cuts = [match.start() for match in _BOUNDARY.finditer(text)]
    edges = sorted({0, *cuts, len(text)})
    return [text[start:end] for start, end in pairwise(edges)]


def sentences(text: str) -> list[str]:
    """Return the text's sentences, without blanks and list markers around them.

    These are plain rules, not UAX 29's: people begin sentences with small letters.
    """
    parts = (_MARKER.sub("", part, count=1).strip() for part in _SENTENCE_END.split(text))
    return list(dict.fromkeys(part for part in parts if _LETTER.search(part)))


def quotable_sentences(part: Json, texts: Iterable[str]) -> list[str]:
    """Return the sentences that a quote field may be: of the kind and length that it asks for."""
    found = dict.fromkeys(sentence for text in texts for sentence in sentences(text))
    if KIND in part:
        wanted = re.compile(part[KIND])
        found = {sentence: None for sentence in found if wanted.search(sentence)}
    if WORDS in part:
        low, high = word_bounds(part)
        counts = {text: sum(map(is_quotable, words(text))) for text in found}
        found = {text: None for text, count in counts.items() if low <= count <= high}
    least = content.least(found)
    return [text for text in found if content.longest(text) >= least]


def is_quotable(text: str) -> bool:
    """Return whether there is a word to quote."""
    return _WORD.search(text) is not None


def escaped(text: str) -> str:
    """Return the text as it stands between the quotation marks of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def counted(text: str) -> int:
    """Return how many words a text has, as `terminals` counts them."""
    return sum(1 for _ in _COUNTED.finditer(text))


def fits(text: str, bounds: tuple[int, int]) -> bool:
    """Return whether a run of whole words of the text has as many words as a quote must have.

    Counted as `terminals` does, so that no grammar is made that nothing can satisfy.
    """
    low, high = bounds
    runs = [match.span() for match in _COUNTED.finditer(text)]
    if len(runs) < low or not is_quotable(text):
        return False
    starts = [start for start, _ in runs]
    edges = sorted({0, len(text), *(match.start() for match in _BOUNDARY.finditer(text))})
    for edge in edges:
        at = bisect.bisect_left(starts, edge)
        within = at > 0 and edge < runs[at - 1][1]  # in the middle of a counted run
        last = at + low - 1 - within
        if last >= len(runs):
            return False
        end = edges[bisect.bisect_right(edges, max(edge, starts[last] if last >= at else edge))]
        if bisect.bisect_left(starts, end) - at + within <= high:
            return True
    return False


def terminals(name: str, texts: Sequence[str], bounds: tuple[int, int]) -> list[str]:
    """Return Lark terminals; `name` is a quote from one of `texts` of `bounds` words.

    A quote begins and ends with something visible, begins with nothing that closes (`, ) .`), and
    says something (`steps.content`). Words are counted as runs of letters, digits and marks; each
    Han or Hiragana character counts as one.
    """
    sources = []
    lines = []
    for at, text in enumerate(texts):
        chunks = [escaped(chunk) for chunk in words(text)]
        lines.append(f'{name}_{at}: %regex {{"substring_chunks": {_json(chunks)}}}')
        sources.append(f"{name}_{at}")
    counted = _counted("".join(texts), bounds) + _saying(texts)
    lines.append(f"{name}: ({' | '.join(sources)}) & {' & '.join(counted)}")
    return lines


def _saying(texts: Sequence[str]) -> list[str]:
    """Return a regex for what `content.says` asks of a quote from these texts."""
    least = content.least(texts)
    characters = set("".join(texts))
    dense = {c for c in characters if content.is_dense(c)}
    letters = {c for c in characters if _LETTER.match(c) or _MARK.match(c)} - dense
    some = -(-least * content.DENSE // content.LEAST)
    found = [
        _class({c for c in characters if _NUMBER.match(c)}),
        _class(dense, f"{{{some}}}"),
        _class(letters, f"{{{least}}}"),
    ]
    runs = "|".join(part for part in found if part)
    return [rf"/([^\\]|\\.)*({runs})([^\\]|\\.)*/"] if runs else []


def _counted(text: str, bounds: tuple[int, int]) -> list[str]:
    """Return regexes for the number of words and for visible ends, of the texts' own characters.

    Explicit classes of the characters that occur keep the automaton small: Unicode's own are large.
    """
    characters = set(text)
    letters = {c for c in characters if _WORD.match(c) or c == "_" or _MARK.match(c)}
    alone = {c for c in letters if _ALONE.match(c)}
    others = characters - letters
    plain = {c for c in others if escaped(c) == c}
    blank = {c for c in plain if c.isspace()}
    escapes = r"\\[\"\\\/bfnrt]|\\u[0-9a-f]{4}" if others - plain else ""
    between = "|".join(part for part in (_class(plain), escapes) if part)
    gap = f"({between})*" if between else ""
    runs = "|".join(part for part in (_class(alone), _class(letters - alone, "+")) if part)
    low, high = bounds
    if alone:
        patterns = [f"/{gap}(({runs}){gap}){{1,{high}}}/"]
        if low > 1 and between:
            # A run counts once what follows it is no letter; the last needs nothing after it.
            spaced = _class(letters - alone, "+") and f"{_class(letters - alone, '+')}({between})"
            ended = "|".join(part for part in (_class(alone), spaced) if part)
            patterns.append(f"/({gap}({ended})){{{low - 1}}}(.|\\n)*{_class(letters)}(.|\\n)*/")
    elif between:  # one pattern, in which each text has one reading: the automaton stays small
        patterns = [f"/{gap}({runs}({between})+){{{low - 1},{high - 1}}}{runs}{gap}/"]
    else:
        patterns = [f"/{runs}/"]
    # A quotation mark or a backslash of the source is visible as well; a newline is not.
    quoted = r"|\\[\"\\]" if escapes else ""
    closing = {c for c in plain if c in ",.;:!?…%" or _CLOSING.match(c)}
    first = f"({_class(letters | (plain - blank - closing))}{quoted})"
    last = f"({_class(letters | (plain - blank))}{quoted})"
    patterns.append(rf"/{first}(([^\\]|\\.)*{last})?/")
    return patterns


def _class(characters: Iterable[str], suffix: str = "") -> str:
    """Return a regex character class of exactly these, or nothing for none."""
    found = sorted(set(characters))
    if not found:
        return ""
    return "[" + "".join(rf"\x{{{ord(c):x}}}" for c in found) + "]" + suffix


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def locate(field: str, quote: str, texts: Mapping[str, str]) -> Span | None:
    """Return where a quote stands, by source (`row.<column>`, `passage.<n>`); None if nowhere.

    The first place where it begins and ends at word boundaries wins, then any place.
    """
    fallback = None
    for source, text in texts.items():
        edges = {0, len(text), *(match.start() for match in _BOUNDARY.finditer(text))}
        start = text.find(quote)
        while start >= 0:
            span = Span(field=field, source=source, start=start, end=start + len(quote))
            if start in edges and span.end in edges:
                return span
            fallback = fallback or span
            start = text.find(quote, start + 1)
    return fallback


def under(part: Json, headings: Mapping[int, str], numbers: Iterable[int]) -> list[int]:
    """Return which of these passages a quote field may draw on: those with its heading."""
    if HEADING not in part:
        return list(numbers)
    wanted = re.compile(part[HEADING])
    return [number for number in numbers if wanted.search(headings.get(number, ""))]


def find_spans(
    output: Any,  # noqa: ANN401 - JSON
    schema: Json,
    texts: Mapping[str, str],
    headings: Mapping[int, str] | None = None,
) -> tuple[Span, ...]:
    """Return where the quotes of an output stand; what stands nowhere as asked is left out."""
    found: list[Span] = []

    def visit(value: Any, part: Json, pointer: str) -> None:  # noqa: ANN401 - JSON
        source = part.get(QUOTE)
        if source and isinstance(value, str):
            wanted = "passage." if source == "passages" else source
            candidates = {n: t for n, t in texts.items() if n == source or n.startswith(wanted)}
            if HEADING in part:
                numbers = {int(name.removeprefix("passage.")) for name in candidates}
                allowed = under(part, headings or {}, numbers)
                candidates = {f"passage.{n}": candidates[f"passage.{n}"] for n in allowed}
            span = locate(pointer, value, candidates)
            whole = part.get(UNIT) != "sentence" or value in quotable_sentences(
                part, candidates.values()
            )
            if span and whole:
                found.append(span)
        elif isinstance(value, dict):
            for key, inner in value.items():
                visit(inner, part.get("properties", {}).get(key) or {}, f"{pointer}/{key}")
        elif isinstance(value, list) and isinstance(part.get("items"), dict):
            for at, inner in enumerate(value):
                visit(inner, part["items"], f"{pointer}/{at}")

    visit(output, schema, "")
    return tuple(found)
