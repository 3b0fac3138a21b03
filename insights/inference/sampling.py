"""Choosing a token from logits and a mask."""

from typing import Any

import numpy as np
import numpy.typing as npt

from insights.model import Sampling

Mask = npt.NDArray[np.uint8]


def choose(
    logits: npt.NDArray[np.float32],
    mask: Mask,
    sampling: Sampling,
    random: np.random.Generator | None,
) -> int:
    """Return the next token among those the mask allows.

    Args:
        logits: (vocabulary,) float32.
        mask: Bits, little-endian, one a token; at least one is set.
        sampling: Greedy at temperature 0.
        random: The request's own generator, for other temperatures.
    """
    allowed = np.flatnonzero(np.unpackbits(mask, count=logits.size, bitorder="little"))
    scores = logits[allowed]
    if sampling.temperature <= 0 or random is None:
        return int(allowed[int(scores.argmax())])
    weights: npt.NDArray[Any] = np.exp((scores - scores.max()) / sampling.temperature)
    return int(random.choice(allowed, p=weights / weights.sum()))
