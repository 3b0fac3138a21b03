"""Requests of marked rows: has the replica applied what their rows were told on the primary?

Until it has, a mark that is still to be seen is an old one. Once it has, a mark is a new request;
and the row is read once more, marked or not: what it became just before its mark was taken away
would not be seen by a poll any more.
"""

from itertools import takewhile

from insights.model import Fingerprint, Lease, StreamSpec, StreamState
from insights.polling.courtesy import Courtesy
from insights.ports import Ledger, Requests, Source

MOST_POSITIONS = 100  # compared a poll, one query each; acknowledging makes one in about a second
MOST_PARAMETERS = 500  # of one query by key


class AppliedMarks:
    """Finds the rows of one stream whose statements the replica has applied.

    Args:
        stream: The stream.
        source: Its database.
        ledger: Its rows in the store.
        requests: What they were told.
        courtesy: The stream's budget.
    """

    def __init__(
        self,
        stream: StreamSpec,
        source: Source,
        ledger: Ledger,
        requests: Requests,
        courtesy: Courtesy,
    ) -> None:
        self._stream = stream
        self._source = source
        self._ledger = ledger
        self._requests = requests
        self._courtesy = courtesy
        self._step = max(1, min(stream.page_rows, MOST_PARAMETERS // len(stream.key)))

    def follow(self, lease: Lease, state: StreamState, replica: Fingerprint) -> None:
        """Compare positions before a poll reads: what it reads is not older than they are."""
        reached: list[str] | None = None
        if replica.position is not None:
            told = self._requests.told(state.stream_id, MOST_POSITIONS)
            reached = list(
                takewhile(lambda at: not self._source.is_behind(None, at, replica), told)
            )
        read_at = state.now
        overlap_s = state.overlap_s + (replica.lag_s or 0.0)
        while not self._courtesy.waits():
            rows = self._requests.passing(state.stream_id, reached, self._step, overlap_s=overlap_s)
            if not rows:
                return
            page = self._source.reread(self._stream, [row.row_key for row in rows])
            # Without a bookmark: no page of a poll, whose rows would all be marked.
            recorded = self._ledger.record(
                lease, state.stream_id, page, read_at=read_at, bookmark=False
            )
            if recorded.outdated:
                return  # a claim has read a newer copy meanwhile; the next poll reads it too
            read_at = recorded.at
            self._requests.passed(rows)
            self._courtesy.pay(page.rows)
