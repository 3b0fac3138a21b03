"""The check of a chain of events, without a store."""

import hashlib
import json
from typing import Any

from insights.governance.chain import Chain, Check, Finding

ZERO = "00" * 32


def written(*events: tuple[int, int, str, Any], chain: int = 1) -> list[tuple[str, str]]:
    """Return bodies with right hashes: number, time, action and details of each."""
    former, made = ZERO, []
    for number, at, action, details in events:
        body = json.dumps([chain, number, at, "audit retention", "l", action, 1, 2, 3, details])
        former = hashlib.sha256(bytes.fromhex(former) + body.encode()).hexdigest()
        made.append((body, former))
    return made


def found(
    events: list[tuple[str, str]], *chains: Chain, anchors: tuple[str, ...] = ()
) -> list[Finding]:
    check = Check(chains or [Chain(1, "audit retention", "l", len(events), events[-1][1])], anchors)
    for event in events:
        check.take(*event)
    return check.finish()


def test_time_that_goes_back_is_found_though_the_hashes_are_right() -> None:
    events = written((1, 10, "a", {}), (2, 10, "a", {}), (3, 9, "a", {}))
    (one,) = found(events)
    assert (one.where, one.what) == (
        "chain 1 of audit retention (l)",
        "event 3 is dated before event 2",
    )


def test_events_without_an_end_and_ends_without_events_are_found() -> None:
    events = written((1, 10, "a", {}))
    other = Chain(2, "b", "l", 3, "ab" * 32)
    assert [one.what for one in found(events, other)] == [
        "it has events, and its end is not recorded",
        "events 1 to 3 are missing at its end",
    ]


def test_a_seal_that_says_something_else_is_none() -> None:
    sealed = Chain(2, "b", "l", 3, "ab" * 32, 3, "ab" * 32)
    told = {"chain": 2, "last": 3, "hash": "ab" * 32}
    for details, sound in (
        (told, True),
        (told | {"last": 2}, False),
        (told | {"hash": "cd" * 32}, False),
        (told | {"chain": 1}, False),
        ("told", False),
    ):
        events = written((1, 10, "events sealed", details))
        end = Chain(1, "audit retention", "l", 1, events[-1][1])
        assert (found(events, end, sealed) == []) is sound


def test_an_anchor_is_an_end_anywhere_in_a_line_and_nothing_like_it() -> None:
    events = written((1, 10, "a", {}), (2, 11, "a", {}))
    right, wrong = f"1:2:{events[1][1]}", f"1:2:{ZERO}"
    for line in (right, f'{{"ends": "{right} 7:1:x"}}', f"ends={right}", f"12:00:01 {right}\n"):
        assert found(events, anchors=(line,)) == []
    for line in (wrong, f'{{"ends": "{wrong}"}}', f"ends={wrong}", f"1:1:{events[0][1]} {wrong}"):
        (one,) = found(events, anchors=(line,))
        assert one.what == "event 2 or one before it is not what was anchored"
    for line in (f"x{wrong}", f"{wrong}0", f"0:{wrong}"):
        assert found(events, anchors=(line,)) == []
    (one,) = found(events, anchors=(f"1:9:{ZERO}",))
    assert one.what == "an anchor says 9 events, and 2 stand"


def test_an_event_of_another_writer_than_its_chains_is_found() -> None:
    events = written((1, 10, "a", {}), (2, 11, "a", {}))
    for end in (("daemon", "l"), ("audit retention", "anna")):
        one, two = found(events, Chain(1, *end, 2, events[-1][1]))
        assert (one.where, one.what) == (
            f"chain 1 of {end[0]} ({end[1]})",
            "event 1 is of audit retention (l)",
        )
        assert two.what == "event 2 is of audit retention (l)"
