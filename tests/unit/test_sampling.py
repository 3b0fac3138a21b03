"""A token is the best that the mask allows, however large the vocabulary and the mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights import errors
from insights.inference.sampling import choose
from insights.model import Sampling

GREEDY = Sampling()


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([7, 64, 1_000, 40_001]),
    share=st.sampled_from([0.0005, 0.01, 0.5, 0.999]),
    refused=st.integers(0, 12),
)
@settings(max_examples=200, deadline=None)
def test_the_best_allowed_token_is_chosen(seed: int, size: int, share: float, refused: int) -> None:
    draw = np.random.default_rng(seed)
    logits = draw.integers(0, 50, size).astype(np.float32)  # with ties
    allowed = draw.random(size) < share
    allowed[np.argsort(-logits)[:refused]] = False
    allowed[draw.integers(size)] = True
    mask = np.packbits(allowed, bitorder="little")
    wanted = int(np.flatnonzero(allowed)[logits[allowed].argmax()])
    before = logits.copy()
    assert choose(logits, mask, GREEDY, None) == wanted
    assert (logits == before).all()
    drawn = choose(logits, mask, Sampling(temperature=1.0), draw)
    assert allowed[drawn]


def test_a_build_that_miscomputes_blames_no_row() -> None:
    logits = np.full(64, np.nan, np.float32)
    with pytest.raises(errors.ModelError, match="no row is to blame"):
        choose(logits, np.full(8, 255, np.uint8), GREEDY, None)
