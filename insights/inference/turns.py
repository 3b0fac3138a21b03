"""Whose turn it is, among lines of different weight that wait for the same model.

Start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996), a row being as long as any other: of
lines that all have rows, each gets turns in proportion to its weight, and so none starves; one that
was empty is next, before the rows that others have waiting, and has saved up nothing meanwhile.
"""

from collections.abc import Iterable


class Turns:
    """Chooses among weights."""

    def __init__(self) -> None:
        self._now = 0.0
        self._next: dict[int, float] = {}

    def choose(self, weights: Iterable[int]) -> int:
        """Return whose turn it is of those that have rows; of two whose it is, the greater."""
        return min(weights, key=lambda weight: (self._at(weight), -weight))

    def took(self, weight: int) -> None:
        """A row of this weight has had its turn."""
        self._now = self._at(weight)
        self._next[weight] = self._now + 1 / weight

    def _at(self, weight: int) -> float:
        return max(self._now, self._next.get(weight, 0.0))
