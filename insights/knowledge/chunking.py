"""The door to semantic-text-splitter and tokenizers: documents become passages of bounded length.

Lengths are counted by the embedding model's own tokenizer, so that no passage is cut by the model
unseen. Both libraries are Rust; torch is not involved.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec
from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

from insights import errors
from insights.knowledge import cutting
from insights.model import Chunk, Document

# Read and then stripped: a pattern for the end of the line would look at every blank from each.
_HEADING = re.compile(r"^(?P<marks>#{1,6})[ \t]+(?P<text>\S.*)$", re.MULTILINE)
_FENCE = re.compile(r"^(?P<fence>```+|~~~+).*?(?:^(?P=fence)[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"[ \t]*(?:```|~~~)")
_SPECIAL_TOKENS = 2  # the model's own, before and after the text
_PATH_SEPARATOR = " > "
_SAYING = re.compile(r"\w")
# Letters of alphabets that are neither Latin's nor written in syllables: Greek, Cyrillic, Armenian,
# Hebrew, Arabic, the scripts of India, Thai, Lao, Tibetan, Burmese, Georgian, Ethiopic, Khmer.
_FOREIGN = re.compile("[\u0370-\u10ff\u1200-\u137f\u1780-\u17ff]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
# A model that does not know a script spells it letter by letter (1.2 characters a token) or takes a
# sentence for one unknown token (Thai): neither says how long a text is. Then a passage has as many
# characters as one in German has (2.6 a token, all-MiniLM-L6-v2). Models that know it need 3 to 5.
_FOREIGN_CHARACTERS = 3
_SPELT, _UNKNOWN = 2.0, 12.0  # characters a token, below and above which a script is not known
# Characters a token of any other passage at most (English has 5.8): base64 is one "word" of a
# million, and counts as one token.
_CHARACTERS = 12
_SAMPLE = 20_000  # characters by which a text's script is judged
# Part of every fingerprint: grows when the same settings cut differently, so that all is redone.
_VERSION = 2
_WAYS_VERSION = 1  # of `fixed` and `semantic`, as well
_SENTENCES = 256  # embedded between two signs of life


By = Literal["recursive", "fixed", "semantic"]
Embed = Callable[[Sequence[str]], Sequence[bytes]]
"""Returns a unit vector for each text, in pgvector's binary halfvec format."""


class Chunking(msgspec.Struct, frozen=True):
    """How documents are cut: passage length and overlap, in tokens of the embedding model.

    `recursive` cuts at headings, paragraphs and sentences, in that order of preference; `fixed`
    at whole words, wherever that is; `semantic` where neighbouring sentences' embeddings differ.
    """

    tokens: int = 240
    overlap: int = 0
    by: By = "recursive"


class Chunker:
    """Cuts documents.

    Args:
        tokenizer: The embedding model's `tokenizer.json`.
        chunking: How, and the length and overlap.
        room: Tokens that the model reads at most.
        embed: Embeds sentences; only `semantic` asks for it.

    Raises:
        errors.KnowledgeError: If the overlap is not smaller than the length, or both do not
            fit the model, or `semantic` lacks `embed`.
        errors.ModelError: If the tokenizer cannot be read.
    """

    def __init__(
        self, tokenizer: Path, chunking: Chunking, room: int, embed: Embed | None = None
    ) -> None:
        if chunking.by == "semantic" and embed is None:
            raise errors.KnowledgeError("nothing embeds sentences", where="collection.chunking")
        if chunking.overlap >= chunking.tokens or chunking.tokens > room - _SPECIAL_TOKENS:
            raise errors.KnowledgeError(
                f"passages of {chunking.tokens} tokens that overlap by {chunking.overlap} do not"
                f" fit a model of {room} tokens",
                where="collection.chunk_tokens",
                fix="make overlap_tokens < chunk_tokens < the model's length",
            )
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
        except Exception as exc:  # the Rust library raises plain Exception
            raise errors.ModelError(
                f"the tokenizer cannot be read: {exc}",
                where=str(tokenizer),
                fix="the model's folder must hold its tokenizer.json",
            ) from exc
        self._room = room - _SPECIAL_TOKENS
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        size = (self._tokenizer, chunking.tokens, chunking.overlap)
        self._markdown = MarkdownSplitter.from_huggingface_tokenizer(*size)
        self._plain = TextSplitter.from_huggingface_tokenizer(*size)
        letters = (chunking.tokens * _FOREIGN_CHARACTERS, chunking.overlap * _FOREIGN_CHARACTERS)
        self._foreign_markdown = MarkdownSplitter(*letters)
        self._foreign_plain = TextSplitter(*letters)
        self._longest = chunking.tokens * _CHARACTERS
        self._bounded = TextSplitter(self._longest)
        self._chunking = chunking
        self._embed = embed
        way = () if chunking.by == "recursive" else (chunking.by, _WAYS_VERSION)
        self.fingerprint = repr((_VERSION, chunking.tokens, chunking.overlap, *way)).encode()

    def embedded(self, title: str, chunk: Chunk) -> str:
        """Return what is embedded for a passage: what it is about, then all that it says.

        Headings and title are left out where the model has no room for them.
        """
        text, room = chunk.text, self._room - chunk.tokens
        for line in (chunk.heading, title):
            if not line or text.lstrip("# ").startswith(line):
                continue
            room -= self._count([line])[0]
            if room >= 0:
                text = f"{line}\n{text}"
        return text

    def _count(self, texts: list[str]) -> list[int]:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]

    def cut(self, document: Document, alive: Callable[[], None] = lambda: None) -> list[Chunk]:
        """Return the document's passages in order, each with the headings it stands under.

        `alive` is called now and then while sentences are embedded. A passage of a script that the
        model does not know may be longer than what the model reads of it: its vector is that of its
        beginning, and its words are found all the same.
        """
        fences = _fences(document.text) if document.is_markdown else []
        foreign = self._is_foreign(document.text)
        pieces = [
            (at, piece)
            for start, text in self._pieces(document, alive, foreign=foreign)
            for at, piece in self._bound(start, _without_orphans(text, start, fences))
            if _SAYING.search(piece)
        ]
        counts = self._count([text for _, text in pieces])
        characters = _FOREIGN_CHARACTERS if foreign else _CHARACTERS
        above = _headings(document, fences) if document.is_markdown else _Headings([], [])
        return [
            Chunk(heading=above.at(start), text=text, tokens=max(count, len(text) // characters))
            for (start, text), count in zip(pieces, counts, strict=True)
        ]

    def _pieces(
        self, document: Document, alive: Callable[[], None], *, foreign: bool
    ) -> list[tuple[int, str]]:
        if self._chunking.by == "recursive":
            return self._recursive(document, foreign=foreign)
        text, most = document.text, self._chunking.tokens
        spans = cutting.words(text) if self._chunking.by == "fixed" else cutting.sentences(text)
        parts = [text[start:end] for start, end in spans]
        lengths = self._lengths(parts, foreign=foreign)
        if self._chunking.by == "fixed":
            ranges = list(cutting.windows(lengths, most, self._chunking.overlap))
        else:
            starts = cutting.by_subject(lengths, self._gaps(parts, alive), most)
            ranges = list(pairwise([*starts, len(spans)]))
        found: list[tuple[int, str]] = []
        for first, end in ranges:
            at, whole = spans[first][0], text[spans[first][0] : spans[end - 1][1]].rstrip()
            if end == first + 1 and lengths[first] > most:  # longer alone than a passage may be
                alone = Document(uri="", title="", text=whole, is_markdown=False)
                found += [(at + by, one) for by, one in self._recursive(alone, foreign=foreign)]
            else:
                found.append((at, whole))
        return found

    def _lengths(self, parts: list[str], *, foreign: bool) -> list[int]:
        if foreign:
            return [-(-len(part) // _FOREIGN_CHARACTERS) for part in parts]
        counts = self._count(parts)
        return [max(n, len(part) // _CHARACTERS) for n, part in zip(counts, parts, strict=True)]

    def _gaps(self, parts: list[str], alive: Callable[[], None]) -> list[float]:
        assert self._embed is not None  # noqa: S101 - checked when this was made
        vectors: list[bytes] = []
        for start in range(0, len(parts), _SENTENCES):
            alive()
            vectors += self._embed(parts[start : start + _SENTENCES])
        return cutting.gaps(parts, vectors)

    def _recursive(self, document: Document, *, foreign: bool) -> list[tuple[int, str]]:
        splitter: MarkdownSplitter | TextSplitter
        if document.is_markdown:
            splitter = self._foreign_markdown if foreign else self._markdown
        else:
            splitter = self._foreign_plain if foreign else self._plain
        return list(splitter.chunk_indices(document.text))

    def _bound(self, start: int, text: str) -> list[tuple[int, str]]:
        if len(text) <= self._longest:
            return [(start, text)]
        return [(start + at, piece) for at, piece in self._bounded.chunk_indices(text)]

    def _is_foreign(self, text: str) -> bool:
        """Tell whether a text is mostly of a script that the model's tokenizer does not know."""
        sample = text[:_SAMPLE]
        foreign, latin = len(_FOREIGN.findall(sample)), len(_LATIN.findall(sample))
        if foreign <= latin:
            return False
        per_token = len(sample) / max(self._count([sample])[0], 1)
        return not _SPELT <= per_token <= _UNKNOWN


class _Headings:
    """The path of headings in force from each offset on."""

    def __init__(self, offsets: list[int], paths: list[str]) -> None:
        self._offsets = offsets
        self._paths = paths

    def at(self, offset: int) -> str:
        index = bisect_right(self._offsets, offset) - 1
        return self._paths[index] if index >= 0 else ""


def _fences(text: str) -> list[tuple[int, int]]:
    """Return where code begins and ends, its fences included."""
    return [(fence.start(), fence.end()) for fence in _FENCE.finditer(text)]


def _without_orphans(text: str, start: int, fences: Sequence[tuple[int, int]]) -> str:
    """Return a passage without the fence of code whose other fence stands in another passage."""
    end = start + len(text)
    lines = text.split("\n")
    around = _around(fences, end - 1)
    if around is not None and around[0] >= start and around[1] > end:
        del lines[next(at for at in reversed(range(len(lines))) if _MARK.match(lines[at]))]
    around = _around(fences, start)
    if around is not None and around[0] < start and around[1] <= end:
        closing = next((at for at, line in enumerate(lines) if _MARK.match(line)), None)
        if closing is not None:  # code may also end with its document
            del lines[closing]
    return "\n".join(lines).strip("\n")


def _around(fences: Sequence[tuple[int, int]], offset: int) -> tuple[int, int] | None:
    """Return the code that an offset lies in."""
    index = bisect_right(fences, offset, key=lambda fence: fence[0]) - 1
    return fences[index] if index >= 0 and offset < fences[index][1] else None


def _headings(document: Document, fences: Sequence[tuple[int, int]]) -> _Headings:
    """Find the headings outside of code; the document's title is not repeated in any path."""
    offsets: list[int] = []
    paths: list[str] = []
    stack: list[tuple[int, str]] = []
    for match in _HEADING.finditer(document.text):
        if _around(fences, match.start()) is not None:
            continue
        level, name = len(match["marks"]), match["text"].rstrip(" \t#")
        if not name:
            continue
        stack = [entry for entry in stack if entry[0] < level]
        stack.append((level, name))
        offsets.append(match.start())
        names = [text for _, text in stack if text != document.title]
        paths.append(_PATH_SEPARATOR.join(names))
    return _Headings(offsets, paths)
