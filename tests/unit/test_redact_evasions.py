"""Every structured kind, written in every way that plain patterns miss."""

import random

import pytest

from benchmarks import _personal
from insights.governance import redact


@pytest.mark.parametrize("way", list(_personal.EVASIONS))
@pytest.mark.parametrize("kind", list(_personal.KINDS))
def test_it_is_found_to_its_ends(kind: str, way: str) -> None:
    rng = random.Random(f"{kind} {way}")
    for _ in range(8):
        value = _personal.KINDS[kind](rng)
        written = _personal.EVASIONS[way](value)
        made, counts = redact.text(f"Please look at {written} today.")
        assert counts, (value, made)
        left = made.removeprefix("Please look at ").removesuffix(" today.")
        # Signs around a value may stay; of the value itself nothing does.
        assert not any(map(str.isdigit, left.replace("_1>", "").replace("_2>", ""))), (value, made)


@pytest.mark.parametrize("kind", ["card", "iban"])
def test_separators_are_exchanged(kind: str) -> None:
    rng = random.Random(kind)
    for _ in range(30):
        value = _personal.KINDS[kind](rng)
        for way, written in _personal.separated(kind, value):
            text = f"Please look at {written} today."
            assert redact.text(text)[0] == f"Please look at <{kind.upper()}_1> today.", way


def test_there_are_twenty_ways() -> None:
    assert len(_personal.EVASIONS) >= 20
