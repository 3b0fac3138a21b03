"""Acknowledging: tell the legacy application that marked rows are done, a batch a round.

Only after the sink shows the outcome. At least once: a statement that is repeated finds another
value than the mark's old one and changes nothing.
"""

import structlog

from insights import errors
from insights.ground import failpoints
from insights.ports import Marks, Requests

log = structlog.get_logger(__name__)

WINDOW = 10_000  # open requests looked at a round; their work may be hours away
BATCH = 100  # statements a transaction: locks held for milliseconds


class Acknowledging:
    """Acknowledges and rejects the marked rows of one stream, under a lease.

    Args:
        stream: The stream's name.
        marks: Where to tell it.
        requests: What is to be told.
        every_s: Seconds between rounds while nothing is due.
    """

    def __init__(
        self, stream: str, marks: Marks, requests: Requests, *, every_s: float = 1.0
    ) -> None:
        self.name = f"publish marks of {stream}"
        self.every_s = every_s
        self._marks = marks
        self._requests = requests
        self._after = 0

    def run_once(self) -> bool:
        """Tell what is due in the next window of open requests; True if anything was.

        Raises:
            errors.Transient: The primary or the store does not answer; everything stays due.
            errors.SinkError: The table, a column or a grant is missing; everything stays due.
        """
        if not self._requests.hold():
            return False
        outcomes, last = self._requests.due(self._after, WINDOW)
        self._after = last or 0  # a last window begins again with the oldest
        for at in range(0, len(outcomes), BATCH):
            batch = outcomes[at : at + BATCH]
            failpoints.reach("before-acknowledge")
            told, position = self._marks.tell(batch)
            failpoints.reach("after-acknowledge")
            self._requests.settle(told, position)
            failpoints.reach("after-acknowledge-settled")
            for one in told:
                if one.error is not None:
                    log.warning("mark refused", job=self.name, row=one.row_id, reason=one.error)
            if not self._requests.hold():
                raise errors.Fenced("the lease was lost between two batches", where=self.name)
        return bool(outcomes)
