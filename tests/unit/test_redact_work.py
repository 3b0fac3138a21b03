"""The work grows with the text: counted in calls, and in processor time on hostile inputs."""

import random
import sys
import time
from collections.abc import Callable

import pytest

from benchmarks import _personal
from insights.governance import redact
from insights.model import Redaction

NAMES = Redaction(columns=("customer", "address"))


def calls(work: Callable[[], object]) -> int:
    """Return how many functions, Python's and C's, a piece of work calls."""
    counted = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counted


@pytest.mark.parametrize("kind", list(_personal.KINDS))
@pytest.mark.parametrize("between", [" ", "\n"])
def test_four_times_the_distinct_finds_are_four_times_the_calls(kind: str, between: str) -> None:
    rng = random.Random(kind)
    values = list(dict.fromkeys(_personal.KINDS[kind](rng) for _ in range(800)))
    redact.text(values[0])  # imports and caches
    few = calls(lambda: redact.text(between.join(values[:150])))
    many = calls(lambda: redact.text(between.join(values[:600])))
    assert many < 4.6 * few


def test_names_are_looked_for_once_a_word() -> None:
    values = {"customer": "Ann van der Berg", "address": "Hauptstr. 12, 8001 Zürich"}

    def work(count: int) -> Callable[[], object]:
        return lambda: redact.row({**values, "body": "Ann van Berg, lamp 12 " * count}, NAMES)

    work(1)()
    assert calls(work(800)) < 4.6 * calls(work(200))


def test_words_that_begin_like_no_name_cost_no_call_each() -> None:
    values = {"customer": "Ann van der Berg", "address": "Hauptstr. 12, 8001 Zürich"}

    def work(count: int) -> Callable[[], object]:
        return lambda: redact.row({**values, "body": "the lamp is dark " * count}, NAMES)

    work(1)()
    assert calls(work(800)) - calls(work(200)) < 100


@pytest.mark.parametrize(
    "piece",
    ["a", "@", "a@", "a.", "1", "1 ", "1-", "::", "%41", "&#1;", "(at)", "<b", "password: ", "://a",
     "https://a?b=", "eyJa.", "-----BEGIN PRIVATE KEY-----", "DE89 ", "\u200b", "e\u0301", "\n",
     "a\n",
     "born ", "ssn is ", "call 1 ", "+49 ", "4111 ", "4 1 1 1 ", "123-45-", "A. ", "van der ",
     "J.M.",
     "1 mar ", "id 12345678 ", "x.y@", "a dot b at "],
)  # fmt: skip
def test_hostile_repetitions_cost_what_their_length_does(piece: str) -> None:
    values = {"customer": "Ann van der Berg", "address": "a a a a 1"}

    def seconds(length: int) -> float:
        text = (piece * (length // len(piece) + 1))[:length]
        best = 1e9
        for _ in range(2):
            began = time.process_time()
            redact.row({**values, "body": text}, NAMES)
            best = min(best, time.process_time() - began)
        return best

    seconds(100)  # caches
    # Ten times the text: quadratic work would take a hundred times as long.
    assert seconds(20_000) < 40 * max(seconds(2_000), 0.0005)
