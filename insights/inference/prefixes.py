"""Which waiting prompt shares the longest prefix with what the KV cache holds.

A sorted list of prompts is a radix tree laid flat: those that share the longest prefix with a given
one stand beside its place. So the queue is kept sorted, and one binary search a sequence finds the
best match; no tree is kept in step with anything.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np

_TOKEN_BYTES = 4


def key(tokens: Sequence[int]) -> bytes:
    """Return tokens as bytes that sort as the token lists do."""
    return np.asarray(tokens, ">u4").tobytes()


def shared(one: bytes, other: bytes) -> int:
    """Return how many tokens two keys have in common at their start."""
    size = min(len(one), len(other))
    if one[:size] == other[:size]:
        return size // _TOKEN_BYTES
    a, b = np.frombuffer(one[:size], ">u4"), np.frombuffer(other[:size], ">u4")
    return int((a != b).argmax())


class Waiting:
    """Prompts not yet admitted, sorted."""

    def __init__(self) -> None:
        self._sorted: list[tuple[bytes, int]] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, prompt: bytes, number: int) -> None:
        """Add a prompt's key under a number of the caller's."""
        insort(self._sorted, (prompt, number))

    def remove(self, prompt: bytes, number: int) -> None:
        """Remove what was added."""
        at = bisect_left(self._sorted, (prompt, number))
        if self._sorted[at] != (prompt, number):
            raise KeyError(number)
        del self._sorted[at]

    def nearest(self, content: bytes) -> tuple[int, int]:
        """Return (tokens shared, number) of the waiting prompt that shares most with `content`.

        Raises:
            LookupError: If none is waiting.
        """
        if not self._sorted:
            raise LookupError("no prompt is waiting")
        at = bisect_left(self._sorted, (content, -1))
        beside = self._sorted[max(at - 1, 0) : at + 1]
        return max(
            ((shared(prompt, content), number) for prompt, number in beside),
            key=lambda found: (found[0], -found[1]),
        )
