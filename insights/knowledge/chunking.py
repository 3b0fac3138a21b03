"""The door to semantic-text-splitter and tokenizers: documents become passages of bounded length.

Lengths are counted by the embedding model's own tokenizer, so that no passage is cut by the model
unseen. Both libraries are Rust; torch is not involved.
"""

import re
from bisect import bisect_right
from pathlib import Path

import msgspec
from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

from insights import errors
from insights.model import Chunk, Document

_HEADING = re.compile(r"^(?P<marks>#{1,6})[ \t]+(?P<text>.+?)[ \t#]*$", re.MULTILINE)
_FENCE = re.compile(r"^(?P<fence>```+|~~~+).*?(?:^(?P=fence)[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_SPECIAL_TOKENS = 2  # the model's own, before and after the text
_PATH_SEPARATOR = " > "
# Part of every fingerprint: grows when the same settings cut differently, so that all is redone.
_VERSION = 1


class Chunking(msgspec.Struct, frozen=True):
    """How documents are cut: passage length and overlap, in tokens of the embedding model."""

    tokens: int = 240
    overlap: int = 0


class Chunker:
    """Cuts documents at their headings, paragraphs and sentences, in that order of preference.

    Args:
        tokenizer: The embedding model's `tokenizer.json`.
        chunking: Length and overlap.
        room: Tokens that the model reads at most.

    Raises:
        errors.KnowledgeError: If the overlap is not smaller than the length, or both do not
            fit the model.
        errors.ModelError: If the tokenizer cannot be read.
    """

    def __init__(self, tokenizer: Path, chunking: Chunking, room: int) -> None:
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
        self.fingerprint = repr((_VERSION, chunking.tokens, chunking.overlap)).encode()

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

    def cut(self, document: Document) -> list[Chunk]:
        """Return the document's passages in order, each with the headings it stands under."""
        splitter = self._markdown if document.is_markdown else self._plain
        pieces = [(at, text) for at, text in splitter.chunk_indices(document.text) if text.strip()]
        texts = [text for _, text in pieces]
        counts = self._count(texts)
        above = _headings(document) if document.is_markdown else _Headings([], [])
        return [
            Chunk(heading=above.at(start), text=text, tokens=count)
            for (start, text), count in zip(pieces, counts, strict=True)
        ]


class _Headings:
    """The path of headings in force from each offset on."""

    def __init__(self, offsets: list[int], paths: list[str]) -> None:
        self._offsets = offsets
        self._paths = paths

    def at(self, offset: int) -> str:
        index = bisect_right(self._offsets, offset) - 1
        return self._paths[index] if index >= 0 else ""


def _headings(document: Document) -> _Headings:
    """Find the headings outside of code; the document's title is not repeated in any path."""
    fences = [(fence.start(), fence.end()) for fence in _FENCE.finditer(document.text)]
    offsets: list[int] = []
    paths: list[str] = []
    stack: list[tuple[int, str]] = []
    for match in _HEADING.finditer(document.text):
        if any(start <= match.start() < end for start, end in fences):
            continue
        level = len(match["marks"])
        stack = [entry for entry in stack if entry[0] < level]
        stack.append((level, match["text"]))
        offsets.append(match.start())
        names = [text for _, text in stack if text != document.title]
        paths.append(_PATH_SEPARATOR.join(names))
    return _Headings(offsets, paths)
