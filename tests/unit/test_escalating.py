"""Rows that a model is not sure of go on to a larger one, and nobody pays for its trouble."""

import msgspec
import pytest

from insights import errors
from insights.enriching import escalating
from insights.enriching.certain import Certain
from insights.model import GenerateRequest, Generation
from insights.steps.cascading import ALWAYS
from tests.desk import Desk, Model


def _sure(body: str) -> float | None:
    """Read how sure to be from what a row says: its last word."""
    return float(body.rpartition(" ")[2])


class Two(Desk):
    """A recipe with a model that has to be .8 sure, and a larger one that has to be .6 sure."""

    def __init__(self) -> None:
        super().__init__()
        self.small = self.recipe(1, model=Model(sure=_sure))
        self.large = Model(sure=lambda body: 0.3 if "hard" in body else 0.9)
        self.join(Certain({"echo": 0.6}))

    def join(self, larger: Certain, *, leaves: bool = False) -> None:
        own = msgspec.structs.replace(self.recipes[1], certain=Certain({"echo": 0.8}))
        after = msgspec.structs.replace(
            own, generator=self.large, certain=larger, models=("large",), leaves=leaves
        )
        self.recipes[1] = msgspec.structs.replace(own, larger=after)

    def work(self, rounds: int = 3) -> None:
        for _ in range(rounds):
            self.round(self.small, self.large)

    def made(self) -> dict[int, tuple[str, str | None, bool]]:
        """Return of each row its status, its reason, and whether the larger model made it."""
        found: dict[int, tuple[str, str | None, bool]] = {}
        for one in self.queue.written:
            assert one.generation is not None
            told = one.verdict.status, one.verdict.reason, one.generation.first is not None
            found[one.claim.work_id] = told
        return found


def test_only_what_the_model_is_not_sure_of_goes_on_and_its_own_threshold_decides_there() -> None:
    desk = Two()
    desk.queue.add(1, "easy 0.9", "so so 0.5", "hard 0.5")
    desk.work()
    assert [body for some in desk.large.together for body in some] == ["so so 0.5", "hard 0.5"]
    assert desk.made() == {
        1: ("ok", None, False),
        2: ("ok", None, True),
        3: ("abstained", "echo has a confidence of 0.300; its error is certified from 0.600 on",
            True),
    }  # fmt: skip
    (shown,) = [one for one in desk.queue.written if one.claim.work_id == 2]
    assert shown.generation is not None
    assert shown.generation.route == "local (escalated)"
    why = "echo has a confidence of 0.500; its error is certified from 0.800 on"
    assert shown.generation.escalated == why
    assert shown.notes == (f"the larger model was asked: {why}",)
    assert shown.generation.first is not None
    assert shown.generation.first.confidence == {"/echo": 0.5}


def test_a_model_that_tells_no_confidence_shows_all_where_all_of_it_is_certified() -> None:
    desk = Two()
    desk.large.sure = lambda _: None
    desk.queue.add(1, "so so 0.5")
    desk.work()
    assert desk.made()[1][0] == "abstained"
    desk = Two()
    desk.large.sure = lambda _: None
    desk.join(Certain({"echo": ALWAYS}))
    desk.queue.add(1, "so so 0.5")
    desk.work()
    assert desk.made()[1] == ("ok", None, True)


def test_a_larger_model_that_is_down_blames_nobody_and_stops_no_other_row() -> None:
    desk = Two()
    desk.large.dies_of = ("*",)
    unsure = desk.queue.add(1, *[f"so so {n} 0.5" for n in range(6)])
    desk.work(8)
    assert desk.queue.charged() == {}
    asked = sum(map(len, desk.large.together))
    sure = desk.queue.add(1, *[f"easy {n} 0.9" for n in range(20)])
    for _ in range(12):
        desk.round(desk.small, desk.large, pause_s=0.1)
    assert desk.made().keys() == set(sure)  # those need none, and wait for none
    assert sum(map(len, desk.large.together)) <= asked + 3  # it is tried, not hammered
    assert "model large" in desk.pipeline.stopped["p1"]
    assert {desk.queue.todo[id_].state for id_ in unsure} == {"pending"}
    desk.work(1)
    assert desk.queue.charged() == {}
    for _ in range(3):
        desk.round(desk.small, desk.large, pause_s=0.1)
    assert isinstance(desk.pipeline.failure, errors.WorkerDied)  # nothing is due: `run --once` ends
    desk.large.dies_of = ()
    desk.work(12)
    assert desk.queue.states() == {"done": 26}
    assert "p1" not in desk.pipeline.stopped


def test_a_row_that_alone_ends_the_larger_model_pays_for_it_itself() -> None:
    desk = Two()
    desk.large.dies_of = ("poison 0.5",)
    desk.queue.add(1, "so so 0.5", "poison 0.5", "fine 0.5", "easy 0.9")
    desk.work(20)
    assert desk.queue.states() == {"done": 3, "dead": 1}
    assert desk.queue.todo[2].state == "dead"


def test_a_suspect_is_alone_at_the_larger_model_whoever_else_uses_it() -> None:
    desk = Two()
    desk.large.dies_of = ("poison 0.5",)
    desk.recipe(2, model=desk.large)
    desk.recipes[2] = msgspec.structs.replace(desk.recipes[2], models=("large",))
    desk.queue.add(1, "poison 0.5", "so so 0.5")
    for at in range(30):
        desk.queue.add(2, f"other {at} 1.0")
        desk.round(desk.small, desk.large)
    for _ in range(3):
        desk.round(desk.small, desk.large)
    assert desk.queue.states() == {"done": 31, "dead": 1}
    first, *later = [some for some in desk.large.together if "poison 0.5" in some]
    assert len(first) > 1  # those beside it had to be asked again
    assert all(some == ["poison 0.5"] for some in later)


def test_a_late_larger_model_charges_a_row_only_where_it_was_alone() -> None:
    desk = Two()
    late = errors.Overloaded("it took too long")

    def too_late(_: list[str]) -> None:
        raise late

    desk.large.breaks = too_late
    desk.queue.add(1, "so so 0.5")
    desk.work(6)
    assert desk.queue.states() == {"dead": 1}  # as of one model: alone, twice


def test_a_row_that_was_between_the_models_begins_again_and_has_one_outcome() -> None:
    desk = Two()
    desk.queue.add(1, "so so 0.5")
    desk.pipeline.advance()
    desk.small.work()
    assert desk.pipeline.settle(0.0) == 0
    assert len(desk.large.flight) == 1
    assert desk.pipeline.give_back_all() == 1  # the daemon ends here
    assert desk.queue.states() == {"pending": 1}
    desk.work()
    assert [one.claim.work_id for one in desk.queue.written] == [1]


@pytest.mark.parametrize("kept", ["sensitive", "personal"])
def test_a_row_that_is_to_stay_here_goes_on_to_no_server(kept: str) -> None:
    desk = Two()
    desk.join(Certain({"echo": 0.6}), leaves=True)
    request = GenerateRequest(messages=(), output_schema={})
    unsure = Generation(text='{"echo": "x"}', finish="stop", model="m", confidence={"/echo": 0.1})
    assert escalating.why(desk.recipes[1], request, unsure) is not None
    staying = msgspec.structs.replace(request, **{kept: True})
    assert escalating.why(desk.recipes[1], staying, unsure) is None
    desk.join(Certain({"echo": 0.6}))  # it is a file here
    assert escalating.why(desk.recipes[1], staying, unsure) is not None


def test_what_is_no_answer_goes_nowhere() -> None:
    desk = Two()
    request = GenerateRequest(messages=(), output_schema={})
    for text in ('{"abstain": "unclear"}', "no JSON", '["echo"]', '{"echo": null}'):
        made = Generation(text=text, finish="stop", model="m")
        assert escalating.why(desk.recipes[1], request, made) is None


def test_commands_ask_both_and_are_told_of_either_s_failure() -> None:
    desk = Two()
    recipe = desk.recipes[1]
    one, two, three = (
        escalating.asked(recipe, GenerateRequest(messages=(), output_schema={}, row={"body": body}))
        for body in ("easy 0.9", "so so 0.5", "poison 0.5")
    )
    desk.small.work()
    assert one.result(0).first is None
    assert not two.done()
    desk.large.work(1)
    assert two.result(0).first is not None
    desk.large.dies_of = ("poison 0.5",)
    desk.large.work()
    assert isinstance(three.exception(0), errors.WorkerDied)
