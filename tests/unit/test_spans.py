"""Spans: each step of the rows that are followed, the same share of them everywhere."""

import uuid

from insights.ground.spans import Attempt, Span, Spans, trace_of


class Kept:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def take(self, span: Span) -> None:
        self.spans.append(span)


def _attempt(row_id: int) -> Attempt:
    return Attempt(trace_of(row_id, 1, b"\x01" * 16), str(uuid.uuid4()))


def test_steps_follow_each_other_within_the_attempt() -> None:
    spans, kept = Spans(), Kept()
    spans.follow(kept)
    one, other = _attempt(1), _attempt(2)
    spans.claimed([one, other])
    spans.passed("read", [one])
    spans.passed("generate", [one])
    spans.ended([one], {"insights.status": "ok"})
    spans.ended([one, other], failed="given back")  # the one has ended before
    spans.passed("read", [other])  # and so has the other now
    read, generate, whole, gone = kept.spans
    assert [span.name for span in kept.spans] == ["read", "generate", "enrich", "enrich"]
    assert whole.began == read.began <= read.ended == generate.began <= generate.ended
    assert generate.ended <= whole.ended
    assert (read.parent, generate.parent, whole.own) == (one.span, one.span, one.span)
    assert (whole.parent, whole.failed, whole.attributes) == (0, "", {"insights.status": "ok"})
    assert {read.trace, whole.trace} == {one.trace}
    assert (gone.trace, gone.failed) == (other.trace, "given back")


def test_a_share_of_the_rows_is_followed_the_same_in_every_daemon() -> None:
    attempts = [_attempt(row_id) for row_id in range(20_000)]
    seen = []
    for _ in range(2):
        spans, kept = Spans(), Kept()
        spans.follow(kept, 0.05)
        spans.claimed(attempts)
        spans.ended(attempts)
        for one in attempts:
            spans.published(one.trace, 0.0, sink="s")
        enriched = {span.trace for span in kept.spans if span.name == "enrich"}
        assert enriched == {span.trace for span in kept.spans if span.name == "publish"}
        seen.append(enriched)
    assert seen[0] == seen[1]
    assert 800 < len(seen[0]) < 1_200


def test_nothing_is_looked_at_while_nobody_takes_spans() -> None:
    def never() -> Attempt:
        raise AssertionError

    Spans().claimed(never() for _ in range(1))
    Spans().passed("read", (never() for _ in range(1)))
    Spans().ended(never() for _ in range(1))


def test_rows_that_were_lost_are_forgotten() -> None:
    spans, kept = Spans(), Kept()
    spans.follow(kept)
    lost = [_attempt(row_id) for row_id in range(10_001)]
    spans.claimed(lost)
    spans.ended(lost)
    assert len(kept.spans) == 10_000


def test_a_row_version_has_one_trace_and_each_claim_an_attempt_of_its_own() -> None:
    assert trace_of(1, 1, b"a") == trace_of(1, 1, b"a")
    assert len({trace_of(1, 1, b"a"), trace_of(2, 1, b"a"), trace_of(1, 2, b"a"),
                trace_of(1, 1, b"b")}) == 4  # fmt: skip
    assert _attempt(1).trace == _attempt(1).trace
    assert _attempt(1).span != _attempt(1).span
