"""A store that does not answer: finished rows are kept and written once, others are let go."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from structlog.testing import capture_logs

from insights import errors
from insights.enriching.lanes import Lanes
from insights.enriching.recipe import Recipe
from insights.model import (
    Claim,
    Claims,
    GenerateRequest,
    Generation,
    Insight,
    Row,
    Sampling,
    Share,
    StreamSpec,
    Support,
)
from insights.pipeline import Pipeline
from insights.steps.prompt import Template
from tests.desk import Desk

OUTAGES = 3_000  # an hour, if a try takes a second
SPEC = StreamSpec(name="ticket", source="legacy", key=("id",), inputs=("body",))


class Shop:
    """Work, source, generator and insights in one, each as short as the port allows."""

    def __init__(self, *, outages: int, failing: bool = False) -> None:
        self.outages = outages
        self.failing = failing
        self.waiting = [1, 2, 3]
        self.tries = 0
        self.written: list[int] = []
        self.support_given: list[float | None] = []

    def suspects(self) -> set[int]:
        return set()

    def claim(self, shares: Sequence[Share]) -> list[Claim]:
        limit = sum(share.rows for share in shares if not share.isolated)
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return [Claim(i, i, f"t{i}", "ticket", str(i), b"h", 1, 1, 1) for i in taken]

    def release(self, claims: Sequence[Claim], **_: object) -> set[int]:
        self._answer()
        self.waiting += [claim.work_id for claim in claims]
        return set()

    def fetch(self, _: StreamSpec, keys: Sequence[str]) -> list[Row]:
        return [Row(key, b"h", None, {"body": "text"}) for key in keys]

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        future: Future[Generation] = Future()
        if self.failing:
            future.set_exception(errors.WorkerDied("died of signal 6"))
        else:
            future.set_result(Generation(text='{"echo": "text"}', finish="stop", model="none"))
        del request
        return future

    def write(self, insights: Sequence[Insight]) -> int:
        self._answer()
        self.written += [insight.claim.work_id for insight in insights]
        self.support_given += [one.support for made in insights for one in made.verdict.citations]
        return len(insights)

    def support(self, outputs: Sequence[Claims], _: Sequence[str]) -> list[tuple[Support, ...]]:
        self._answer()
        return [(Support(share=0.5, source="row.body"),) for _ in outputs]

    def _answer(self) -> None:
        self.tries += 1
        if self.tries <= self.outages:
            raise errors.StoreUnavailable("the store does not answer")


def _pipeline(shop: Shop, *, scores: bool = False) -> Pipeline:
    every: Any = shop
    schema: dict[str, Any] = {"type": "object", "properties": {"echo": {"type": "string"}}}
    recipe = Recipe(
        name="echo",
        stream=SPEC,
        source=every,
        generator=every,
        template=Template("{{ row.body }}"),
        output_schema=schema,
        abstain=(),
        sampling=Sampling(),
        cut=(),
        retriever=None,
        query_columns=(),
        deadline_s=60,
        version_id=1,
    )
    return Pipeline(
        {1: recipe},
        every,
        every,
        batch=8,
        in_flight=8,
        grounds=every if scores else None,
        lanes=Lanes(threads=False),
    )


def test_finished_rows_outlive_an_hour_without_a_store() -> None:
    shop = Shop(outages=OUTAGES)
    pipeline = _pipeline(shop)
    pipeline.advance()
    for _ in range(OUTAGES):
        with pytest.raises(errors.StoreUnavailable):
            pipeline.settle(0.0)
    assert pipeline.held == 3
    assert pipeline.settle(0.0) == 3
    assert sorted(shop.written) == [1, 2, 3]
    assert pipeline.settle(0.0) == pipeline.held == 0


def test_rows_that_cannot_be_given_back_are_left_to_their_leases() -> None:
    shop = Shop(outages=1, failing=True)
    pipeline = _pipeline(shop)
    pipeline.advance()
    assert pipeline.settle(0.0) == 0
    assert pipeline.held == 0  # nobody goes on prolonging the lease of the one that was not told
    assert shop.waiting == [2, 3]


@pytest.mark.parametrize(("outages", "support"), [(0, 0.5), (1, None)])
def test_a_row_is_written_with_its_support_or_without(outages: int, support: float | None) -> None:
    shop = Shop(outages=outages)
    pipeline = _pipeline(shop, scores=True)
    pipeline.advance()
    assert pipeline.settle(0.0) == 3
    assert shop.support_given == [support] * 3


def test_an_answer_under_a_former_lease_touches_nothing_of_the_new_one() -> None:
    desk = Desk()
    model = desk.recipe(1)
    desk.queue.add(1, "row")
    desk.pipeline.advance()
    model.work()  # its answer waits to be settled
    assert desk.pipeline.give_back_all() == 1
    desk.clock.now += 1.0
    assert desk.pipeline.advance() == 1  # claimed anew
    assert desk.pipeline.settle(0.0) == 0
    assert desk.pipeline.held == 1
    model.work()
    assert desk.pipeline.settle(0.0) == 1
    assert desk.queue.writes == [[1]]


def test_a_claim_that_the_store_refuses_is_said_once_and_tried_again() -> None:
    desk = Desk()
    model = desk.recipe(1)
    desk.queue.add(1, "row")
    desk.queue.refuses_claim = errors.StoreError("permission denied for table work")
    with capture_logs() as logs:
        for _ in range(5):
            desk.round(model, pause_s=6.0)
    assert [line["event"] for line in logs] == ["stopped"]
    assert "permission denied for table work" in desk.pipeline.stopped["p1"]
    desk.queue.refuses_claim = None
    for _ in range(2):
        desk.round(model, pause_s=6.0)
    assert desk.queue.states() == {"done": 1}
