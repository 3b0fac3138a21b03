"""Which of the fused hits a row is given: relevant enough, not said twice, within the budget."""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from insights.knowledge.codes import codes
from insights.model import Hit

Fate = Literal["used", "irrelevant", "duplicate", "over budget", "beyond count"]

_WORD = re.compile(r"\w+")
# Shared share of distinct words from which two passages say the same; codes must agree as well.
_SAME = 0.9


class Floor(msgspec.Struct, frozen=True):
    """What is relevant enough; a passage needs one of these.

    `similarity` is the cosine of query and passage; `coverage` the share of the query's words
    (weighted by rarity) that it has, together with at least `near` of similarity; an exact code of
    the query is always relevant. `relevance` is the reranker's verdict and overrules the others.
    Measured on queries about other subjects (docs/knowledge.md).
    """

    similarity: float = 0.3
    coverage: float = 0.5
    near: float = 0.2
    relevance: float = 0.02

    def passes(self, hit: Hit, relevance: float | None) -> bool:
        """Tell whether a hit is relevant enough."""
        if relevance is not None:
            return relevance >= self.relevance
        if any(word.startswith("=") for word in hit.words):
            return True
        similarity = hit.similarity if hit.similarity is not None else self.near
        return similarity >= self.similarity or (
            hit.coverage >= self.coverage and similarity >= self.near
        )


class Selection(msgspec.Struct, frozen=True):
    """What a row is given at most: `count` passages of `max_tokens` together, above the floor.

    Tokens are counted by the embedding model's tokenizer.
    """

    count: int = 3
    max_tokens: int = 800
    floor: Floor = Floor()

    def fates(self, hits: Sequence[tuple[Hit, float | None]]) -> list[Fate]:
        """Return what becomes of each hit, given with its relevance, best first.

        A passage that does not fit the rest of the budget is passed over for a shorter one.
        """
        fates: list[Fate] = []
        kept: list[tuple[frozenset[str], frozenset[str]]] = []
        room = self.max_tokens
        for hit, relevance in hits:
            if len(kept) == self.count:
                fates.append("beyond count")
                continue
            if not self.floor.passes(hit, relevance):
                fates.append("irrelevant")
                continue
            said = (frozenset(_WORD.findall(hit.text.casefold())), frozenset(codes(hit.text)))
            if any(_same(said, other) for other in kept):
                fates.append("duplicate")
            elif hit.tokens > room:
                fates.append("over budget")
            else:
                fates.append("used")
                kept.append(said)
                room -= hit.tokens
        return fates


def _same(
    one: tuple[frozenset[str], frozenset[str]], other: tuple[frozenset[str], frozenset[str]]
) -> bool:
    if one[1] != other[1]:
        return False
    union = len(one[0] | other[0])
    return union == 0 or len(one[0] & other[0]) / union >= _SAME
