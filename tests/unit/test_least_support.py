"""A least support through the pipeline: what has less is withheld, what cannot be scored waits."""

from collections.abc import Sequence

import pytest

from insights import errors
from insights.enriching.support import UNSCORED
from insights.model import Claims, Support
from tests.desk import Desk, Model

GOOD, BAD = "The pump leaks.", "Check the magneto timing."


class _Grounds:
    """Supports what it knows; raises what it is told to."""

    def __init__(self, breaks: Exception | None = None) -> None:
        self.breaks = breaks

    def support(
        self, outputs: Sequence[Claims], collections: Sequence[str]
    ) -> list[tuple[Support, ...]]:
        del collections
        if self.breaks is not None:
            raise self.breaks
        shares = {GOOD: 0.9, BAD: 0.1}
        return [
            tuple(Support(share=shares[text], source="row.body") for text in one.sentences)
            for one in outputs
        ]


def _desk(breaks: Exception | None = None) -> tuple[Desk, _Grounds]:
    desk = Desk()
    desk.grounds = _Grounds(breaks)
    return desk, desk.grounds


def _stands(desk: Desk, model: Model) -> dict[str | None, tuple[str, str | None]]:
    """Return status and reason by the row's text."""
    desk.queue.add(1, GOOD, BAD)
    desk.round(model)
    return {
        desk.queue.todo[one.claim.work_id].values["body"]: (one.verdict.status, one.verdict.reason)
        for one in desk.queue.written
    }


def test_an_output_below_the_pipelines_least_is_withheld_with_its_reason() -> None:
    desk, _ = _desk()
    made = _stands(desk, desk.recipe(1, min_support=0.3))
    assert made[GOOD] == ("ok", None)
    status, reason = made[BAD]
    assert status == "withheld"
    assert reason == (
        f"/echo says {BAD!r}, which its sources support by 0.10; at least 0.30 is asked for"
    )
    (withheld,) = [one.verdict for one in desk.queue.written if one.verdict.status == "withheld"]
    assert withheld.output is None
    assert desk.queue.states() == {"done": 2}  # no row is lost for it


def test_a_fields_least_goes_before_the_pipelines() -> None:
    desk, _ = _desk()
    made = _stands(desk, desk.recipe(1, min_support=0.3, field_support=0.95))
    assert [made[text][0] for text in (GOOD, BAD)] == ["withheld", "withheld"]
    desk, _ = _desk()
    made = _stands(desk, desk.recipe(1, min_support=0.3, field_support=0.05))
    assert [made[text][0] for text in (GOOD, BAD)] == ["ok", "ok"]
    desk, _ = _desk()
    made = _stands(desk, desk.recipe(1, field_support=0.5))
    assert [made[text][0] for text in (GOOD, BAD)] == ["ok", "withheld"]


def test_without_a_least_nothing_is_withheld() -> None:
    desk, _ = _desk()
    assert {status for status, _ in _stands(desk, desk.recipe(1)).values()} == {"ok"}


@pytest.mark.parametrize(
    "breaks",
    [errors.StoreUnavailable("the store does not answer", where="store"), RuntimeError("a fault")],
    ids=["outage", "fault"],
)
@pytest.mark.parametrize("field", [False, True], ids=["pipeline", "field"])
def test_a_row_that_cannot_be_scored_is_given_back_uncharged_and_done_later(
    breaks: Exception, *, field: bool
) -> None:
    desk, grounds = _desk(breaks)
    model = desk.recipe(1, field_support=0.3) if field else desk.recipe(1, min_support=0.3)
    assert _stands(desk, model) == {}  # nothing is shown that was not scored
    assert desk.queue.states() == {"pending": 2}
    assert {one.reason for one in desk.queue.todo.values()} == {UNSCORED}
    assert desk.queue.charged() == {}
    grounds.breaks = None
    desk.round(model)
    assert sorted(one.verdict.status for one in desk.queue.written) == ["ok", "withheld"]
    assert desk.queue.states() == {"done": 2}


def test_without_a_least_a_row_that_cannot_be_scored_stands_unscored() -> None:
    desk, _ = _desk(errors.StoreUnavailable("the store does not answer", where="store"))
    assert {status for status, _ in _stands(desk, desk.recipe(1)).values()} == {"ok"}
