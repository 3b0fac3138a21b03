"""Missing identities: numbers below the watermark that a transaction may still be holding.

An insert-only identity is drawn before its row is committed, so a number that is missing between
two rows may yet appear. Numbers above the watermark are read again anyway; below it, the missing
ones are kept as ranges and probed with one query, until they are older than the longest
transaction. What was rolled back stays missing and is then given up. Ranges are found and compared
by the database alone.
"""

import structlog

from insights.model import Gap, Lease, StreamSpec, StreamState
from insights.polling.pages import Pages, Way
from insights.ports import Ledger, Source

log = structlog.get_logger(__name__)

MOST_GAPS = 200  # ranges a stream: two parameters each in one statement; more are left to the sweep


class Gaps:
    """The missing identities of one stream.

    Args:
        stream: The stream, whose cursor is an identity.
        source: Its database.
        ledger: Its rows in the store.
        pages: How found rows are read and recorded.
    """

    def __init__(self, stream: StreamSpec, source: Source, ledger: Ledger, pages: Pages) -> None:
        self._stream = stream
        self._source = source
        self._ledger = ledger
        self._pages = pages

    def probe(self, lease: Lease, state: StreamState) -> tuple[int, int]:
        """Look for late rows in the open gaps; return how many rows are new and changed."""
        young = [gap for gap in state.gaps if state.now - gap.at < self._stream.longest_s]
        rows = new = changed = 0
        if young:
            walk = self._pages.walk(
                lease,
                state.stream_id,
                self._stream,
                None,
                Way(by="cursor", within=young),
                read_at=state.now,
            )
            for page, recorded in walk:
                rows += page.rows
                new, changed = new + recorded.new, changed + recorded.changed
        if rows:
            log.info("late identities", stream=self._stream.name, rows=rows)
            young = self._narrowed(young)
        if len(young) != len(state.gaps) or rows:
            self._ledger.keep_gaps(lease, state.stream_id, young)
        return new, changed

    def below(self, state: StreamState, watermark: str | None) -> tuple[Gap, ...]:
        """Return the gaps to keep once the watermark has moved to `watermark`, newest first."""
        kept = state.gaps
        if watermark is None or state.watermark is None or watermark == state.watermark:
            return kept
        found = self._missing(state.watermark, watermark, state.now)
        if len(found) + len(kept) > MOST_GAPS:
            log.warning(
                "more missing identities than are probed; the sweep finds late rows among the rest",
                stream=self._stream.name,
                most=MOST_GAPS,
            )
        return (*found, *kept)[:MOST_GAPS]

    def _missing(self, low: str, high: str, at: float) -> tuple[Gap, ...]:
        return self._source.gaps(self._stream, low, high, at=at, most=MOST_GAPS)

    def _narrowed(self, gaps: list[Gap]) -> list[Gap]:
        """Return what is still missing after rows were found within."""
        left = [part for gap in gaps for part in self._missing(gap.low, gap.high, gap.at)]
        return left[:MOST_GAPS]
