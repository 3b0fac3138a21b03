"""What is in hand: claimed rows on their way, and those that have come back."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

import msgspec

from insights.ground.spans import SPANS
from insights.model import Claim, Example, GenerateRequest, Generation, Insight, Passage, Row
from insights.ports import Generator


class InHand(msgspec.Struct):
    """A claimed row on its way: what was read of it, the passages and examples it was given.

    `orders` says what of them looks like orders to the model. `asked` is what its request is known
    by where its recipe reuses, `reused` the generation that is, instead of one of its own.
    `instead` says why the baseline answers, and no model. `first` is what the recipe's own model
    made of a row that went on to the larger one, and `escalated` why it did.
    """

    claim: Claim
    row: Row
    passages: tuple[Passage, ...] = ()
    examples: tuple[Example, ...] = ()
    orders: tuple[str, ...] = ()
    prompt_sha256: str | None = None
    prompt: str | None = None
    asked: bytes | None = None
    reused: Generation | None = None
    instead: str = ""
    first: Generation | None = None
    escalated: str = ""
    future: Future[Generation] | None = None
    sent_at: float = 0.0
    alone: bool = False


class Flight:
    """The rows between claim and write, safe for all threads.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[int, Claim] = {}
        self._futures: dict[int, Future[Generation]] = {}  # of what is held, by work id
        self._sent: dict[int, float] = {}  # when, of the same
        self._leaving: set[int] = set()  # work ids whose leases are being given up
        self._arrived: queue.SimpleQueue[InHand] = queue.SimpleQueue()

    def __len__(self) -> int:
        with self._lock:
            return len(self._held)

    def claims(self) -> list[Claim]:
        """Return everything that is held."""
        with self._lock:
            return list(self._held.values())

    def by_version(self) -> Counter[int]:
        """Return how many rows are held of each pipeline version."""
        with self._lock:
            return Counter(claim.pipeline_version_id for claim in self._held.values())

    def isolated(self) -> set[int]:
        """Return the versions of which a row is held that must be alone."""
        with self._lock:
            return {c.pipeline_version_id for c in self._held.values() if c.isolated}

    def sent(self, versions: Collection[int], *, beside: int | None = None) -> bool:
        """Return whether a generator has any row of these versions but one, by its work id."""
        with self._lock:
            return any(
                self._held[id_].pipeline_version_id in versions
                for id_ in self._futures
                if id_ != beside
            )

    def waiting(self) -> dict[int, tuple[int, float]]:
        """Return of each version how many rows a generator has, and for how long the first."""
        now = self._clock()
        found: dict[int, tuple[int, float]] = {}
        with self._lock:
            for work_id, sent_at in self._sent.items():
                if self._futures[work_id].done():
                    continue
                version = self._held[work_id].pipeline_version_id
                rows, longest = found.get(version, (0, 0.0))
                found[version] = rows + 1, max(longest, now - sent_at)
        return found

    def still(self, claims: Iterable[Claim]) -> list[Claim]:
        """Return those of these claims that are held."""
        with self._lock:
            return [claim for claim in claims if self._has(claim)]

    def lost(self, claims: Iterable[Claim]) -> list[Claim]:
        """Return those that are held and not leaving: their leases must be there."""
        with self._lock:
            return [c for c in claims if self._has(c) and c.work_id not in self._leaving]

    @contextmanager
    def leaving(self, claims: Sequence[Claim]) -> Iterator[None]:
        """Rows are written or given back meanwhile: that their leases go is no loss.

        Whoever enters drops them before it is over, unless they stay.
        """
        ids = {claim.work_id for claim in claims}
        with self._lock:
            self._leaving |= ids
        try:
            yield
        finally:
            with self._lock:
                self._leaving -= ids

    def hold(self, claims: Sequence[Claim]) -> None:
        """Take rows in hand."""
        SPANS.claimed(claim.attempt for claim in claims)
        with self._lock:
            self._held.update((claim.work_id, claim) for claim in claims)

    def drop(self, claims: Sequence[Claim]) -> None:
        """Forget rows; a generation of theirs that still runs is cancelled."""
        with self._lock:
            ours = [claim for claim in claims if self._has(claim)]
            gone = [claim.work_id for claim in ours]
            for work_id in gone:
                del self._held[work_id]
            futures = [self._futures.pop(work_id, None) for work_id in gone]
            for work_id in gone:
                self._sent.pop(work_id, None)
        SPANS.ended((claim.attempt for claim in ours), failed="given back")  # if it has not ended
        for future in futures:
            if future is not None:
                future.cancel()

    def send(self, row: InHand, request: GenerateRequest, generator: Generator) -> None:
        """Start a row's generation; it arrives when that is done, unless it was dropped."""
        if row.first is None:
            SPANS.passed("retrieve", [row.claim.attempt])
        if row.claim.barred is not None:
            request = msgspec.structs.replace(request, barred=row.claim.barred)
        row.sent_at = self._clock()
        row.future = future = generator.submit(request)
        with self._lock:
            held = self._has(row.claim)
            if held:
                self._futures[row.claim.work_id] = future
                self._sent[row.claim.work_id] = row.sent_at
        if not held:  # it was dropped meanwhile
            future.cancel()
        future.add_done_callback(partial(self._done, row))

    def arrive(self, row: InHand) -> None:
        """A row needs no generator: it is ready to be judged."""
        self._arrived.put(row)

    def arrived(self, timeout_s: float) -> list[InHand]:
        """Return what came back and is still held, waiting so long for the first."""
        rows = []
        try:
            rows.append(
                self._arrived.get(timeout=timeout_s) if timeout_s else self._arrived.get_nowait()
            )
            while True:
                rows.append(self._arrived.get_nowait())
        except queue.Empty:
            pass
        with self._lock:
            ours = [row for row in rows if self._has(row.claim)]
        SPANS.passed("generate", (row.claim.attempt for row in ours if row.future is not None))
        return ours

    def _has(self, claim: Claim) -> bool:
        """Tell whether it is held under this very lease: it may have been claimed anew."""
        held = self._held.get(claim.work_id)
        return held is not None and held.token == claim.token

    def _done(self, row: InHand, future: Future[Generation]) -> None:
        if not future.cancelled():  # else it was dropped
            self._arrived.put(row)


def together(insights: Sequence[Insight]) -> Iterator[list[Insight]]:
    """Yield what is written in one statement: of a row and a version no more than one insight."""
    waiting = list(insights)
    while waiting:
        first: dict[tuple[int, int], Insight] = {}
        for insight in waiting:
            key = insight.claim.row_id, insight.claim.pipeline_version_id
            first.setdefault(key, insight)
        yield list(first.values())
        taken = {insight.claim.work_id for insight in first.values()}
        waiting = [insight for insight in waiting if insight.claim.work_id not in taken]
