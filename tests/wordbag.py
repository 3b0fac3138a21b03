"""An embedder without a model: texts that share words are near. Counts what it is asked."""

import math
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from insights.embedding.files import ModelFiles
from insights.model import EmbeddingModel


class WordBag:
    """Implements `ports.Embedder`; `fail_after` makes it die after that many calls."""

    def __init__(self, name: str = "wordbag", dimensions: int = 64) -> None:
        self.model = EmbeddingModel(
            name=name, sha256="0" * 64, dimensions=dimensions, max_tokens=256
        )
        self.texts = 0
        self.calls = 0
        self.fail_after: int | None = None

    def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> list[bytes]:
        self.calls += 1
        if self.fail_after is not None and self.calls > self.fail_after:
            raise RuntimeError("power cut")
        if kind == "document":
            self.texts += len(texts)
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> bytes:
        size = self.model.dimensions
        values = [1e-3] * size
        for word, count in Counter(text.casefold().split()).items():
            values[zlib.crc32(word.strip(".,:;!?#").encode()) % size] += count
        norm = math.sqrt(sum(value * value for value in values))
        return struct.pack(f">hh{size}e", size, 0, *(value / norm for value in values))


class Embedder(WordBag):
    """A word bag with the rest of `EmbedderClient`'s face."""

    def __init__(self, files: ModelFiles, **_: object) -> None:
        super().__init__()
        self.tokenizer = files.tokenizer

    def close(self) -> None:
        """Nothing to end."""
