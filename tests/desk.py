"""The whole flow in memory: queue, sources, generators and insights, on a clock that tests turn.

What the queue does with attempts, isolation and delays is what `sql/store/work.sql` does.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import msgspec

from insights import errors
from insights.enriching.lanes import Lanes
from insights.enriching.recipe import Recipe
from insights.model import (
    Claim,
    GenerateRequest,
    Generation,
    Insight,
    ModelInfo,
    Passage,
    Row,
    Sampling,
    Share,
    StreamSpec,
)
from insights.pipeline import Pipeline
from insights.steps.prompt import Template

MAX_ATTEMPTS = 5


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        self.now += 0.001  # no two things happen at once
        return self.now


@dataclass
class Todo:
    """One row of `store.work`."""

    version: int
    row_id: int
    values: dict[str, str | None]
    state: str = "pending"
    attempts: int = 0
    isolated: bool = False
    not_before: float = 0.0
    reason: str = ""
    input_hash: bytes = b"h"


@dataclass
class Queue:
    """Implements `ports.Work` and `ports.Insights`; `refuses` is raised by every write."""

    clock: Clock
    todo: dict[int, Todo] = field(default_factory=dict)
    refuses: Exception | None = None
    refuses_release: Exception | None = None
    refuses_claim: Exception | None = None
    leases: int = 0
    tries: int = 0
    writes: list[list[int]] = field(default_factory=list)
    written: list[Insight] = field(default_factory=list)

    def add(self, version: int, *bodies: str | None) -> list[int]:
        ids = []
        for body in bodies:
            ids.append(len(self.todo) + 1)
            self.todo[ids[-1]] = Todo(version, ids[-1], {"body": body})
        return ids

    def claim(self, shares: Sequence[Share]) -> list[Claim]:
        if self.refuses_claim is not None:
            raise self.refuses_claim
        claims = []
        for share in shares:
            ready = [
                id_
                for id_, one in self.todo.items()
                if one.state == "pending"
                and one.not_before <= self.clock.now
                and (one.version, one.isolated) == (share.pipeline_version_id, share.isolated)
            ]
            for id_ in ready[: share.rows]:
                one = self.todo[id_]
                one.state, one.attempts = "claimed", one.attempts + 1
                claims.append(self._claim(id_))
        return claims

    def _claim(self, id_: int) -> Claim:
        one = self.todo[id_]
        self.leases += 1
        stream, key = f"stream {one.version}", str(id_)
        return Claim(
            id_, one.row_id, f"lease {self.leases}", stream, key, one.input_hash, 1, one.version,
            one.attempts, isolated=one.isolated,
        )  # fmt: skip

    def suspects(self) -> set[int]:
        return {
            one.version
            for one in self.todo.values()
            if one.state == "pending" and one.isolated and one.not_before <= self.clock.now
        }

    def extend(self, claims: Sequence[Claim]) -> set[int]:
        return {c.work_id for c in claims if self.todo[c.work_id].state == "claimed"}

    def release(
        self, claims: Sequence[Claim], *, delay_s: float, blame: bool, isolate: bool, reason: str
    ) -> set[int]:
        if self.refuses_release is not None:
            raise self.refuses_release
        dead = set()
        for claim in claims:
            one = self.todo[claim.work_id]
            one.state, one.reason = "pending", reason
            one.attempts -= not blame
            one.isolated |= isolate
            one.not_before = self.clock.now + delay_s * (one.attempts if blame else 1)
            if blame and one.attempts >= MAX_ATTEMPTS:
                one.state = "dead"
                dead.add(claim.work_id)
        return dead

    def bury(self, claim: Claim, reason: str) -> None:
        self.todo[claim.work_id].state = "dead"
        self.todo[claim.work_id].reason = reason

    def missing(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self.todo[claim.work_id].state = "missing"

    def write(self, finished: Sequence[Insight]) -> int:
        self.tries += 1
        if self.refuses is not None:
            raise self.refuses
        if any(one.verdict.output == {"echo": "unwritable"} for one in finished):
            raise errors.RowError("numeric field overflow")
        self.writes.append([one.claim.work_id for one in finished])
        self.written += finished
        for one in finished:
            self.todo[one.claim.work_id].state = "done"
            self.todo[one.claim.work_id].isolated = False
        return len(finished)

    def states(self, version: int | None = None) -> Counter[str]:
        return Counter(one.state for one in self.todo.values() if version in (None, one.version))

    def charged(self) -> dict[int, int]:
        """Return the attempts of rows that are not done."""
        return {
            id_: one.attempts
            for id_, one in self.todo.items()
            if one.attempts and one.state == "pending"
        }


@dataclass
class Source:
    """Implements `ports.Rows`: `breaks` may raise when it is asked for these rows."""

    queue: Queue
    breaks: Callable[[list[str | None]], None] = lambda _: None

    def fetch(self, _: StreamSpec, keys: Sequence[str]) -> list[Row]:
        found = [self.queue.todo[int(key)] for key in keys]
        self.breaks([one.values["body"] for one in found])
        return [
            Row(key, one.input_hash, None, dict(one.values))
            for key, one in zip(keys, found, strict=True)
        ]

    def is_behind(self, *_: object) -> bool:
        return False


@dataclass
class Model:
    """Implements `ports.Generator`: holds what it is given until `work`."""

    dies_of: tuple[str, ...] = ()
    breaks: Callable[[list[str]], None] = lambda _: None
    sure: Callable[[str], float | None] = lambda _: None
    flight: list[tuple[str, Future[Generation]]] = field(default_factory=list)
    together: list[list[str]] = field(default_factory=list)

    def info(self) -> ModelInfo:
        raise NotImplementedError

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        future: Future[Generation] = Future()
        self.flight.append((request.row.get("body", ""), future))
        return future

    def work(self, most: int = 1_000) -> None:
        """Finish what is in flight, or fail it all."""
        flight, self.flight = self.flight[:most], self.flight[most:]
        flight = [(body, future) for body, future in flight if not future.cancelled()]
        if not flight:
            return
        self.together.append([body for body, _ in flight])
        failure: Exception | None = None
        if any(body in self.dies_of for body, _ in flight) or "*" in self.dies_of:
            failure = errors.WorkerDied("generator big died of signal 4")
        try:
            self.breaks([body for body, _ in flight])
        except Exception as exc:  # noqa: BLE001 - whatever the test wants
            failure = exc
        for body, future in flight:
            if failure is not None:
                future.set_exception(failure)
            else:
                text = msgspec.json.encode({"echo": body}).decode()
                sure = self.sure(body)
                confidence = {} if sure is None else {"/echo": sure}
                made = Generation(text=text, finish="stop", model="none", confidence=confidence)
                future.set_result(made)


@dataclass
class Retriever:
    """Implements `ports.Retriever`."""

    breaks: Callable[[], None] = lambda: None

    def retrieve(
        self, queries: Sequence[str], filters: Sequence[Mapping[str, str]] | None = None
    ) -> list[tuple[Passage, ...]]:
        del filters
        self.breaks()
        return [(Passage(1, 1, "p", "", "text"),) for _ in queries]


class Desk:
    """A pipeline over some recipes, driven step by step.

    Args:
        threads: Give each recipe a thread of its own, as the daemon does.
    """

    def __init__(
        self,
        *,
        threads: bool = False,
        batch: int | None = 4,
        in_flight: int = 8,
        ample: int | None = None,
    ) -> None:
        self.clock = Clock()
        self.queue = Queue(self.clock)
        self.recipes: dict[int, Recipe] = {}
        self.grounds: Any = None
        self._batch, self._in_flight = batch, in_flight
        self._ample = ample
        self._threads = threads
        self._made: Pipeline | None = None

    @property
    def pipeline(self) -> Pipeline:
        if self._made is None:
            every: Any = self.queue
            self._made = Pipeline(
                self.recipes,
                every,
                every,
                batch=self._batch,
                in_flight=self._in_flight,
                ample=self._ample,
                lanes=Lanes(threads=self._threads),
                clock=self.clock,
                grounds=self.grounds,
            )
        return self._made

    def recipe(
        self,
        version: int,
        *,
        source: Source | None = None,
        model: Model | None = None,
        template: str = "{{ row.body }}",
        retriever: Retriever | None = None,
        min_support: float | None = None,
        field_support: float | None = None,
        weight: int = 1,
    ) -> Model:
        """Add a recipe; return its generator. `field_support` is its field's own least."""
        own = {} if field_support is None else {"x-min-support": field_support}
        generator: Any = model or Model()
        rows: Any = source or Source(self.queue)
        self.recipes[version] = Recipe(
            name=f"p{version}",
            stream=StreamSpec(
                name=f"stream {version}",
                source=f"db {id(rows)}",
                key=("id",),
                inputs=("body",),
                weight=weight,
            ),
            source=rows,
            generator=generator,
            template=Template(template),
            output_schema={"type": "object", "properties": {"echo": {"type": "string", **own}}},
            abstain=(),
            sampling=Sampling(),
            cut=(),
            retriever=retriever,
            query_columns=("body",),
            deadline_s=60,
            version_id=version,
            min_support=min_support,
        )
        made: Model = generator
        return made

    def round(self, *models: Model, pause_s: float = 700.0) -> None:
        """Claim, generate and write once, after a pause in which all that waits gets due."""
        self.clock.now += pause_s
        self.pipeline.advance()
        for model in models:
            model.work()
        self.pipeline.settle(0.0)
