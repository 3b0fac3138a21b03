"""How late rows are found, and what is learnt from rows that only a sweep found.

The overlap is a guess about the longest transaction. A sweep that finds rows below the watermark
has seen it fail, and doubles it: how late such a row came lies between the last sweep, which did
not see it, and now. A row that no overlap within the longest transaction would have caught is
backdated, and raises nothing.
"""

from collections.abc import Sequence

import structlog

from insights.model import Lateness, Lease, StreamSpec, StreamState
from insights.ports import Ledger, Source

log = structlog.get_logger(__name__)

SAMPLE = 200  # rows of a poll whose age is asked for
_LEAST_S = 1.0  # what an overlap of nothing is raised to


class Watch:
    """Measures lateness and widens the overlap of one stream.

    Args:
        stream: The stream.
        source: Its database, whose clock and comparisons decide.
        ledger: Its rows in the store.
    """

    def __init__(self, stream: StreamSpec, source: Source, ledger: Ledger) -> None:
        self._stream = stream
        self._source = source
        self._ledger = ledger
        self._is_time = stream.cursor is not None
        self._sweep = (0, 0.0)  # which sweep goes on, and the overlap that it began with

    def sample(self, state: StreamState) -> int:
        """Return how many keys of a poll to ask for: none of a first load, or without a time."""
        return SAMPLE if self._is_time and state.watermark is not None else 0

    def polled(self, state: StreamState, keys: Sequence[str]) -> None:
        """Count how old the rows of a poll were."""
        if keys:
            self._count(state, self._source.lateness(self._stream, keys, None))

    def swept(
        self,
        lease: Lease,
        state: StreamState,
        keys: Sequence[str],
        *,
        sweep_id: int,
        before_s: float,
    ) -> int:
        """Look at rows that a sweep found, with a new cursor; widen if they came late.

        Args:
            lease: The stream's lease.
            state: The stream as the sweep began.
            keys: The rows.
            sweep_id: The sweep; it doubles the overlap once, in however many parts it runs.
            before_s: Seconds since the sweep before it began.

        Returns:
            How many of them polls had missed; the others the next poll would have found.
        """
        if not keys or self._stream.cursor is None or state.watermark is None:
            return 0
        found = self._source.lateness(self._stream, keys, state.watermark)
        late = [row for row in found if row.below]
        self._count(state, late)
        if self._sweep[0] != sweep_id:
            self._sweep = (sweep_id, state.overlap_s)
        wider = self._wider(late, self._sweep[1], before_s)
        if wider > state.overlap_s and self._ledger.widen(
            lease, state.stream_id, wider, rows=len(late)
        ):
            log.warning(
                "rows came later than the overlap; it is raised",
                stream=self._stream.name,
                rows=len(late),
                overlap_s=wider,
            )
        return len(late)

    def _wider(self, late: Sequence[Lateness], overlap: float, before_s: float) -> float:
        longest = self._stream.longest_s
        least = [0.0 if row.age_s is None else row.age_s - before_s for row in late]
        within = [seconds for seconds in least if seconds < longest]
        if not within:
            return overlap
        return min(longest, max(2 * overlap, _LEAST_S, *within))

    def _count(self, state: StreamState, rows: Sequence[Lateness]) -> None:
        ages = [row.age_s for row in rows if row.age_s is not None and row.age_s >= 0]
        if ages:
            self._ledger.late(state.stream_id, ages)
        elif rows and all(row.age_s is None for row in rows):
            self._is_time = False
