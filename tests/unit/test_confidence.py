"""How sure the model was of its closed fields, from the probabilities it chose by."""

import json
from typing import Any

import numpy as np
import pytest

from insights.inference.confidence import closed_values, confidences, has_closed
from insights.inference.sampling import choices

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "category": {"enum": ["network", "none", "änderung"]},
        "urgent": {"type": "boolean"},
        "level": {"enum": [1, 12]},
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"kind": {"enum": ["a", "b"]}, "text": {"type": "string"}},
                "required": ["kind", "text"],
            },
        },
    },
    "required": ["title", "category", "urgent", "level", "steps"],
}
OUTPUT = {
    "title": 'Änderung "ä"',
    "category": "network",
    "urgent": False,
    "level": 1,
    "steps": [{"kind": "b", "text": "x"}],
}
WRITTEN = json.dumps(OUTPUT, ensure_ascii=False, separators=(",", ":")).encode()


def test_closed_values_are_found_where_they_stand() -> None:
    found = dict(closed_values(WRITTEN.decode(), SCHEMA))
    assert {pointer: WRITTEN[a:b].decode() for pointer, (a, b) in found.items()} == {
        "/category": '"network"',
        "/urgent": "false",
        "/level": "1",
        "/steps/0/kind": '"b"',
    }
    assert has_closed(SCHEMA)
    assert not has_closed({"type": "object", "properties": {"title": {"type": "string"}}})


def pieces(*cuts: str) -> list[bytes]:
    """Cut the output before each of these texts, in order."""
    at, found = 0, []
    for cut in cuts:
        next_ = WRITTEN.index(cut.encode(), at + 1)
        found.append(WRITTEN[at:next_])
        at = next_
    return [*found, WRITTEN[at:]]


TOKENS = [b"net", b"ne", b"no", b"false", b"true", b"1", b"12", b"n", b"network", b'b"', b'a"']


def test_what_goes_on_to_the_value_counts_and_nothing_else() -> None:
    cut = pieces("network", "work", "false", ',"level', "1", ",", 'b"')
    steps = {
        1: ([0, 1, 2, 8], [0.5, 0.2, 0.2, 0.1]),  # net, ne and network go on to it; no does not
        3: ([3, 4], [0.75, 0.25]),
        5: ([5, 6], [0.6, 0.4]),
        7: ([9, 10], [1.0, 0.0]),
    }
    found = confidences(WRITTEN, SCHEMA, cut, steps, TOKENS.__getitem__)
    assert found == {
        "/category": pytest.approx(0.8),
        "/urgent": pytest.approx(0.75),
        "/level": pytest.approx(0.6),
        "/steps/0/kind": pytest.approx(1.0),
    }


def test_what_was_forced_is_certain_and_what_was_cut_off_is_nothing() -> None:
    sure = confidences(WRITTEN, SCHEMA, [WRITTEN], {}, TOKENS.__getitem__)
    assert set(sure.values()) == {1.0}
    assert confidences(WRITTEN[:40], SCHEMA, [WRITTEN[:40]], {}, TOKENS.__getitem__) == {}


def test_probabilities_are_among_the_allowed_tokens() -> None:
    logits = np.zeros(512, np.float32)
    logits[[3, 4]] = 2.0, 2.0 + np.log(3.0)
    logits[5] = 50.0  # not allowed
    mask = np.packbits(np.isin(np.arange(512), [3, 4]), bitorder="little")
    found = choices(logits, mask)
    assert found is not None
    assert found[0] == [3, 4]
    assert found[1] == pytest.approx([0.25, 0.75])
    assert choices(np.zeros(8192, np.float32), np.full(1024, 255, np.uint8)) is None
