"""Does a sentence turn round what its source says? Negations, and numbers and names out of place.

A share of words (`attribution`) does not see one word. Here the sentence is laid beside the source
sentence that has most of its words, and three things are looked at: whether the same words stand
under a negation in both, and whether its numbers and names stand beside the words that they stand
beside in a source. It knows nothing of meaning: antonyms, quantities in words and conclusions pass.
Negations are those of English, German, French, Spanish, Italian and Dutch.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from itertools import chain, islice, takewhile
from typing import NamedTuple

from insights.steps import grounding

_KEPT_SOURCES = 1_024
_KEPT_WORDS = 16_384  # a language's frequent words: some megabytes where all are taken
_LONG = 48  # characters; what is longer is no word that comes again
_ALIKE = 0.5  # of a sentence's words that a source sentence has to have, to be laid beside it
_SCOPE = 2  # words under a negation
_LEAST = 2  # words that a sentence or clause has to have
_STEM = 6  # letters
_SHORT = 3
_TOLD = ("word", "number", "name")
_PLACED = ("number", "name")

_TOKENS = re.compile(r"([^\W_]+(?:['\u2019./:,\-][^\W_]+)*)")
_ENDS = frozenset(".!?;:")
_CLOSED = re.compile(r"[\u3002\uff01\uff1f]")  # ends of sentences that no blank follows
_BREAK = re.compile(r"[,;:()]")
_CLAUSES = re.compile(r"[,;] (?:and|or|but|und|oder|aber|et|ou|mais|y|pero|e|ma|en|maar) ")
_SPOKEN = re.compile(r"\S+")
_GERMAN = frozenset(_SPOKEN.findall("der die das und ist nicht mit für auf den"))
_NEGATORS = frozenset(
    _SPOKEN.findall(
        "not no never without cannot neither nor none nobody nothing "
        "nicht kein keine keinen keinem keiner keines nie niemals ohne "
        "pas jamais sans aucun aucune nunca jamás sin ningún ninguna ninguno "
        "non mai senza nessun nessuna niet geen nooit zonder"
    )
)
_FUNCTION = frozenset(  # and whatever has at most three letters
    _SPOKEN.findall(
        "that this these those with from have has had were been being which their there they them "
        "also into than then when where while will would should could must shall might does doing "
        "your about after before over under each only other such some more most very "
        "eine einen einem einer eines oder aber wenn dann dass diese dieser dieses wird werden "
        "sind dans pour avec plus cette sont être para como pero esta este sono come della delle "
        "questo voor door deze zijn wordt"
    )
)


class _Word(NamedTuple):
    stem: str
    kind: str  # word, number, name, negator, end (of a clause), or "": it says nothing
    text: str


_CLAUSE = _Word("", "end", "")


class _Sentence:
    """A sentence: what of its words are no numbers, and all of them, which is seldom asked for.

    Args:
        chunks: What stands between its blanks.
        names: Whether a capital makes a name, but for the first word's.
    """

    def __init__(self, chunks: Sequence[str], *, names: bool) -> None:
        self.chunks = chunks
        self._names = names
        told = [*map(_told, chunks)]
        self.plain = frozenset({stem for stems, _ in told for stem in stems})
        self.numbers = sum(numbers for _, numbers in told)

    @cached_property
    def stems(self) -> frozenset[str]:
        """The stems of what it tells, numbers among them: to read one takes a while."""
        if not self.numbers:
            return self.plain
        parts = map(_chunk, self.chunks)
        return frozenset({word.stem for part in parts for word in part if word.kind in _TOLD})

    @cached_property
    def words(self) -> tuple[_Word, ...]:
        """Its words, and ends of clauses before them."""
        made = [*chain.from_iterable(map(_named if self._names else _chunk, self.chunks))]
        if _CLAUSE in made:
            made = [
                word
                for word, after in zip(made, [*made[1:], _CLAUSE], strict=True)
                if word is not _CLAUSE or after is not _CLAUSE
            ]
        first = next((at for at, word in enumerate(made) if word is not _CLAUSE), None)
        if first is not None and made[first].kind == "name":
            made[first] = made[first]._replace(kind="word")
        return tuple(made)

    @cached_property
    def negated(self) -> frozenset[str]:
        """The stems under a negation."""
        return frozenset(_negated(self.words))


def contradiction(sentence: str, sources: Sequence[str]) -> str | None:
    """Return what of a sentence its sources say otherwise, in words; None if nothing is seen.

    Args:
        sentence: One sentence of an output.
        sources: The texts that it may stand on.
    """
    parts = [sentence, *_CLAUSES.split(sentence)] if _CLAUSES.search(sentence) else [sentence]
    own = [part for part in parts if not _copied(part, sources)]
    if not own:
        return None
    known = [one for source in sources for one in _sentences(source)]
    names = not any(map(_capitalises, sources))
    for part in own:
        claim = _read(part, names=names)
        if len(claim.stems) < _LEAST:
            continue
        beside = _beside(claim, known)
        if any(one.words == claim.words for one in beside):
            continue  # word for word
        found = _turned(claim, beside) or _misplaced(claim, beside, known)
        if found:
            return found
    return None


def _copied(sentence: str, sources: Sequence[str]) -> bool:
    """Tell whether it is one of a source's sentences word for word: no other one is read then."""
    return any(
        sentence in source and sentence.split() in (one.chunks for one in _sentences(source))
        for source in sources
    )


def _beside(claim: _Sentence, known: Sequence[_Sentence]) -> list[_Sentence]:
    """Return the source sentences that have most of its words; none if none has half of them."""
    told, count = claim.stems, len(claim.stems)
    near = [one for one in known if len(told & one.plain) + one.numbers >= _ALIKE * count]
    shares = [len(told & one.stems) / count for one in near]
    most = max(shares, default=0.0)
    if most < _ALIKE:
        return []
    return [one for one, share in zip(near, shares, strict=True) if share >= most - 1e-9]


def _turned(claim: _Sentence, beside: Sequence[_Sentence]) -> str | None:
    """Return the word that is negated on one side alone, whichever sentence it is laid beside."""
    found = [(claim.negated ^ one.negated) & claim.stems & one.stems for one in beside]
    if not found or not all(found):
        return None
    word = next(one for one in claim.words if one.stem in found[0])
    if word.stem in claim.negated:
        return f"it negates {word.text!r}, and its source does not"
    return f"it does not negate {word.text!r}, and its source does"


def _misplaced(
    claim: _Sentence, beside: Sequence[_Sentence], known: Sequence[_Sentence]
) -> str | None:
    """Return a number or name that stands where each sentence it is laid beside has another one."""
    found = [_exchanged(claim, one) for one in beside]
    if not found or not all(found):
        return None
    for (at, word), other in found[0].items():
        if all((at, word) in one for one in found) and not _stands(claim.words, at, known):
            return f"it has {word.text!r} where its source has {other.text!r}"
    return None


def _exchanged(claim: _Sentence, source: _Sentence) -> dict[tuple[int, _Word], _Word]:
    """Return the numbers and names of a sentence that stand in the place of another in a source."""
    if not any(word.kind in _PLACED for word in claim.words):
        return {}
    first = [(at, word) for at, word in enumerate(claim.words) if word.kind in _TOLD]
    second = [word for word in source.words if word.kind in _TOLD]
    matcher = SequenceMatcher(
        None, [_place(word) for _, word in first], [_place(word) for word in second], autojunk=False
    )
    return {
        first[begin + number]: second[start + number]
        for begin, start, many in matcher.get_matching_blocks()
        for number in range(many)
        if first[begin + number][1].stem != second[start + number].stem
    }


def _place(word: _Word) -> str:
    """Return what a word is to an alignment: one number or name fits the place of another."""
    return word.stem if word.kind == "word" else f"<{word.kind}>"


def _stands(words: Sequence[_Word], at: int, known: Sequence[_Sentence]) -> bool:
    """Tell whether a number or name stands anywhere beside the words that it stands beside here."""
    before, after = _next(words, at)
    for one in known:
        for there, other in enumerate(one.words):
            if other.stem == words[at].stem:
                left, right = _next(one.words, there)
                if (before is None or left == before) and (after is None or right == after):
                    return True
    return False


def _next(words: Sequence[_Word], at: int) -> tuple[str | None, str | None]:
    """Return the words right beside one."""
    before = next((w.stem for w in reversed(words[:at]) if w.kind in _TOLD), None)
    after = next((w.stem for w in words[at + 1 :] if w.kind in _TOLD), None)
    return before, after


@lru_cache(maxsize=_KEPT_SOURCES)
def _sentences(source: str) -> tuple[_Sentence, ...]:
    names = not _capitalises(source)
    made = (_Sentence(part, names=names) for part in _parts(source))
    return tuple(one for one in made if one.plain or one.numbers)


def _parts(source: str) -> Iterator[list[str]]:
    """Yield the chunks of each sentence, clause after a colon or semicolon, or line."""
    if not source.isascii():
        source = _CLOSED.sub(r"\g<0>\n", source)
    for line in source.split("\n"):
        begun: list[str] = []
        for chunk in line.split():
            begun.append(chunk)
            if chunk[-1] in _ENDS:
                yield begun
                begun = []
        if begun:
            yield begun


@lru_cache(maxsize=_KEPT_SOURCES)
def _capitalises(source: str) -> bool:
    """Tell whether a text is German, where a capital makes no name."""
    return len(_GERMAN & set(source.casefold().split())) > 1


def _read(text: str, *, names: bool) -> "_Sentence":
    return _Sentence(text.split(), names=names)


def _chunk(chunk: str) -> tuple[_Word, ...]:
    """Return what stands between two blanks, where a capital makes no name."""
    return _kept(chunk) if len(chunk) <= _LONG else _kept.__wrapped__(chunk)


def _told(chunk: str) -> tuple[frozenset[str], int]:
    """Return what words stand between two blanks, and how many numbers beside them."""
    return _kept_told(chunk) if len(chunk) <= _LONG else _kept_told.__wrapped__(chunk)


@lru_cache(maxsize=_KEPT_WORDS)
def _kept_told(chunk: str) -> tuple[frozenset[str], int]:
    tokens = _TOKENS.split(chunk)[1::2]
    words = [_word(token) for token in tokens if not any(map(str.isdigit, token))]
    return frozenset(w.stem for w in words if w.kind in _TOLD), len(tokens) - len(words)


def _named(chunk: str) -> tuple[_Word, ...]:
    """Return what stands between two blanks, where a capital makes a name."""
    return _kept_named(chunk) if len(chunk) <= _LONG else _kept_named.__wrapped__(chunk)


@lru_cache(maxsize=_KEPT_WORDS)
def _kept(chunk: str) -> tuple[_Word, ...]:
    pieces = _TOKENS.split(chunk)  # tokens at odd places
    return tuple(
        word
        for at, piece in enumerate(pieces)
        for word in ([_word(piece)] if at % 2 else [_CLAUSE] if _BREAK.search(piece) else [])
    )


@lru_cache(maxsize=_KEPT_WORDS)
def _kept_named(chunk: str) -> tuple[_Word, ...]:
    return tuple(
        word._replace(kind="name")
        if word.kind == "word" and any(map(str.isupper, word.text))
        else word
        for word in _chunk(chunk)
    )


def _word(token: str) -> _Word:
    """Return what one word is, where a capital makes no name."""
    if any(map(str.isdigit, token)):
        claim = next(iter(grounding.claims(token)), None)
        form = max(claim.forms, key=lambda form: (len(form), form)) if claim else token.casefold()
        return _Word(form, "number", token)
    plain = token.casefold().replace("\u2019", "'")
    if plain in _NEGATORS or plain.endswith("n't"):
        return _Word(plain, "negator", token)
    if plain in _FUNCTION or (len(plain) <= _SHORT and not token.isupper()):
        return _Word(plain, "", token)
    return _Word(_stem(plain), "word", token)


def _stem(word: str) -> str:
    return word.removesuffix("'s")[:_STEM]


def _negated(words: Sequence[_Word]) -> Iterator[str]:
    """Yield the words that follow a negation closely; two of them make none."""
    under: dict[str, int] = {}
    for at, word in enumerate(words):
        if word.kind == "negator":
            scope = takewhile(lambda one: one.kind != "end", words[at + 1 :])
            for one in islice((one for one in scope if one.kind in _TOLD), _SCOPE):
                under[one.stem] = under.get(one.stem, 0) + 1
    yield from (stem for stem, times in under.items() if times % 2)
