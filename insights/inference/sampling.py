"""Choosing a token from logits and a mask."""

from typing import Any

import numpy as np
import numpy.typing as npt

from insights import errors
from insights.model import Sampling

Mask = npt.NDArray[np.uint8]

Choices = tuple[list[int], list[float]]  # tokens, and their probabilities

_FEW = 64  # words with an allowed token, in which those of a closed field fit; free text has more
_SPARSE = 512  # words with an allowed token, up to which only they are unpacked
_TRIES = 8  # best tokens that the mask may refuse before it is unpacked whole


def choose(
    logits: npt.NDArray[np.float32],
    mask: Mask,
    sampling: Sampling,
    random: np.random.Generator | None,
) -> int:
    """Return the next token among those the mask allows.

    Greedy choice asks for the best token first and then for its one bit: of a large vocabulary the
    mask is unpacked only where that fails (docs/inference.md has figures).

    Args:
        logits: (vocabulary,) float32.
        mask: Bits, little-endian, one a token; at least one is set.
        sampling: Greedy at temperature 0.
        random: The request's own generator, for other temperatures.

    Raises:
        errors.ModelError: If the logits are no numbers, as of a build that miscomputes.
    """
    if sampling.temperature <= 0 or random is None:
        best = int(logits.argmax())
        if np.isnan(logits[best]):
            raise errors.ModelError(
                "computes no numbers (NaN): no row is to blame",
                fix="use another file, or build llama.cpp anew",
            )
        return best if allows(mask, best) else _best_allowed(logits, mask)
    allowed = _allowed(mask, logits.size)
    scores = logits[allowed]
    weights: npt.NDArray[Any] = np.exp((scores - scores.max()) / sampling.temperature)
    return int(random.choice(allowed, p=weights / weights.sum()))


def choices(logits: npt.NDArray[np.float32], mask: Mask) -> Choices | None:
    """Return the allowed tokens and their probabilities among each other; None for very many."""
    words = _words(mask)
    if np.count_nonzero(words) > _FEW:
        return None
    allowed = _allowed(mask, logits.size)
    scores = logits[allowed]
    weights = np.exp(scores - scores.max())
    return allowed.tolist(), (weights / weights.sum()).tolist()


def allows(mask: Mask, token: int) -> bool:
    """Return whether a mask allows a token."""
    return bool(mask[token >> 3] >> (token & 7) & 1)


def _best_allowed(logits: npt.NDArray[np.float32], mask: Mask) -> int:
    if np.count_nonzero(_words(mask)) > _SPARSE:  # much is allowed: so is one of the best few
        rest = logits.copy()
        for _ in range(_TRIES):
            best = int(rest.argmax())
            if allows(mask, best):
                return best
            rest[best] = -np.inf
    allowed = _allowed(mask, logits.size)
    return int(allowed[int(logits[allowed].argmax())])


def _allowed(mask: Mask, size: int) -> npt.NDArray[np.intp]:
    """Return the allowed tokens, ascending."""
    words = _words(mask)
    used = np.flatnonzero(words)
    if used.size > _SPARSE:
        return np.flatnonzero(np.unpackbits(mask, count=size, bitorder="little"))
    wide = 8 * words.itemsize
    bits = np.unpackbits(words[used].view(np.uint8), bitorder="little").reshape(-1, wide)
    rows, columns = np.nonzero(bits)
    tokens: npt.NDArray[np.intp] = used[rows] * wide + columns
    return tokens[tokens < size]


def _words(mask: Mask) -> npt.NDArray[Any]:
    """Return the mask in as long words as it can be cut into: fewer are to be looked at."""
    for kind in (np.uint64, np.uint32):
        if mask.size % np.dtype(kind).itemsize == 0:
            return mask.view(kind)
    return mask
