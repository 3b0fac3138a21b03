"""Contradictions are what they were when each text was read word by word, by one pattern.

The former reading is kept here, and both are asked about texts put together at random.
"""

import random
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from insights.steps import contradiction, grounding
from insights.steps.contradiction import _FUNCTION, _NEGATORS, _TOLD, _Word

_TOKEN = re.compile(r"[^\W_]+(?:['\u2019./:,\-][^\W_]+)*")
_END = re.compile(r"(?<=[.!?;:])\s+|\n+|(?<=[\u3002\uff01\uff1f])")
_BREAK = re.compile(r"[,;:()]")
_PLAIN = (
    "valve Pump not never NATO Siemens Bosch 250 40 1,500 10-15 3.5 e.g. don't don\u2019t nicht"
    " Der und ist open closes , ; : ( ) (if) IBM, O'Neil 12:30 2024-01-03 \u2014 _ _x \u00df"
    " \u0130 \uff11\uff12 KB-0042 the that is covered by warranty"
)
_ODD = (". ", "\n", ", and ", "; but ", "\u3002", "\uff01", "\r", "\x1c", "\u2028", "x" * 60)
_PIECES = (*_PLAIN.split(), *_ODD)


class _Read(NamedTuple):
    words: tuple[_Word, ...]
    stems: frozenset[str]
    negated: frozenset[str]


def _formerly(sentence: str, sources: Sequence[str]) -> str | None:
    """Say what a sentence turns round, as it was said before texts were read by their chunks."""
    known = [one for source in sources for one in _sentences(source)]
    names = not any(map(contradiction._capitalises, sources))
    clauses = contradiction._CLAUSES
    for part in [sentence, *clauses.split(sentence)] if clauses.search(sentence) else [sentence]:
        claim = _read(part, names=names)
        if len(claim.stems) < 2:
            continue
        beside = _beside(claim, known)
        found = contradiction._turned(claim, beside) or _misplaced(claim, beside, known)  # type: ignore[arg-type]
        if found:
            return found
    return None


def _beside(claim: _Read, known: Sequence[_Read]) -> list[_Read]:
    shares = [len(claim.stems & one.stems) / len(claim.stems) for one in known]
    most = max(shares, default=0.0)
    if most < 0.5:
        return []
    return [one for one, share in zip(known, shares, strict=True) if share >= most - 1e-9]


def _sentences(source: str) -> list[_Read]:
    names = not contradiction._capitalises(source)
    return [made for part in _END.split(source) if (made := _read(part, names=names)).stems]


def _read(text: str, *, names: bool) -> _Read:
    words = tuple(_words(text, names=names))
    told = frozenset(word.stem for word in words if word.kind in _TOLD)
    return _Read(words, told, frozenset(contradiction._negated(words)))


def _words(text: str, *, names: bool) -> Iterator[_Word]:
    before = 0
    for number, match in enumerate(_TOKEN.finditer(text)):
        token = match.group()
        if _BREAK.search(text, before, match.start()):
            yield _Word("", "end", "")
        before = match.end()
        plain = token.casefold().replace("\u2019", "'")
        if any(map(str.isdigit, token)):
            claim = next(iter(grounding.claims(token)), None)
            forms = claim.forms if claim else {token.casefold()}
            yield _Word(max(forms, key=lambda form: (len(form), form)), "number", token)
        elif plain in _NEGATORS or plain.endswith("n't"):
            yield _Word(plain, "negator", token)
        elif plain in _FUNCTION or (len(plain) <= 3 and not token.isupper()):
            yield _Word(plain, "", token)
        else:
            is_name = names and number > 0 and any(map(str.isupper, token))
            yield _Word(plain.removesuffix("'s")[:6], "name" if is_name else "word", token)


def _misplaced(claim: _Read, beside: Sequence[_Read], known: Sequence[_Read]) -> str | None:
    found = [_exchanged(claim, one) for one in beside]
    if not found or not all(found):
        return None
    for (at, word), other in found[0].items():
        everywhere = all((at, word) in one for one in found)
        if everywhere and not contradiction._stands(claim.words, at, known):  # type: ignore[arg-type]
            return f"it has {word.text!r} where its source has {other.text!r}"
    return None


def _exchanged(claim: _Read, source: _Read) -> dict[tuple[int, _Word], _Word]:
    first = [(at, word) for at, word in enumerate(claim.words) if word.kind in _TOLD]
    second = [word for word in source.words if word.kind in _TOLD]
    places = [contradiction._place(word) for _, word in first]
    others = [contradiction._place(word) for word in second]
    blocks = SequenceMatcher(None, places, others, autojunk=False).get_matching_blocks()
    return {
        first[begin + number]: second[start + number]
        for begin, start, many in blocks
        for number in range(many)
        if first[begin + number][1].stem != second[start + number].stem
    }


def test_random_texts_are_read_as_before() -> None:
    draw = random.Random(19)
    told = 0
    for _ in range(400):
        text = _drawn(draw, draw.randint(0, 30))
        for names in (True, False):
            mine, former = contradiction._read(text, names=names), _read(text, names=names)
            assert (mine.words, mine.stems, mine.negated) == former, text
        kept = [(one.words, one.stems, one.negated) for one in contradiction._sentences(text)]
        assert kept == _sentences(text), text
        near = " ".join(draw.choice(_PIECES) if draw.random() < 0.1 else w for w in text.split(" "))
        sources = [_drawn(draw, 30), f"{near} {_drawn(draw, 9)}", _drawn(draw, 30)]
        found = contradiction.contradiction(text, sources)
        assert found == _formerly(text, sources), (text, sources)
        told += found is not None
    assert told > 30  # the texts have what is looked for


def _drawn(draw: random.Random, pieces: int) -> str:
    return "".join(draw.choice(_PIECES) + draw.choice(("", " ", " ")) for _ in range(pieces))
