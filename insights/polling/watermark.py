"""When a watermark may move: a mark is ripe once no row at or below it can still be on its way.

A pass's mark is the highest safe cursor *before* the pass. A row at or below it was stamped before
the mark's time. If no transaction lasts longer than the overlap, the row was committed by that time
plus the overlap, and a pass that sees everything committed by then has read it. Where the engine
numbers its transactions, the mark also waits for those that were open when it was taken, so that a
longer transaction is waited for too. Cursors themselves are never compared here.
"""

import datetime as dt
import zoneinfo

from insights.model import Grade, Horizon, Mark, StreamSpec, StreamState

MOST_MARKS = 64  # kept until they are ripe; more than overlap ÷ poll interval merges
_HOUR_S = 3600.0
_LOCAL_GRADES = ("L1", "L2")  # the others are numbers, or ordered by commit


def ripe(mark: Mark, horizon: Horizon, overlap: float, stream: StreamSpec, grade: Grade) -> bool:
    """Tell whether a pass that sees as far as a horizon has seen everything up to a mark."""
    if grade == "L0":
        return True
    age_s = horizon.applied_s - mark.at
    if age_s < overlap_s(mark.at, overlap, stream.time_zone, grade):
        return False
    if mark.horizon is None or horizon.oldest is None:
        return True
    return horizon.oldest >= mark.horizon or age_s >= stream.longest_s


def promoted(state: StreamState, stream: StreamSpec, grade: Grade) -> tuple[list[Mark], str | None]:
    """Return the marks that still wait after a complete pass, and the watermark to be set."""
    assert state.horizon is not None  # noqa: S101 - a pass is under way
    marks = list(state.passes)
    if state.mark is not None and (not marks or marks[-1].cursor != state.mark.cursor):
        if len(marks) >= MOST_MARKS:
            marks.pop()  # the newer mark takes its place and only ripens later
        marks.append(state.mark)
    watermark = None
    while marks and ripe(marks[0], state.horizon, state.overlap_s, stream, grade):
        watermark = marks.pop(0).cursor
    return marks, watermark


def overlap_s(at: float, overlap: float, time_zone: str | None, grade: Grade) -> float:
    """Return the overlap of a mark taken at a time: an hour more around the autumn change.

    Local time repeats an hour then, and rows are stamped below cursors that were seen before.
    """
    if grade not in _LOCAL_GRADES:
        return overlap
    zone = None if time_zone is None else zoneinfo.ZoneInfo(time_zone)
    before, after = (_offset_s(at + shift, zone) for shift in (-_HOUR_S, _HOUR_S))
    return overlap + max(0.0, before - after)


def _offset_s(at: float, zone: dt.tzinfo | None) -> float:
    moment = dt.datetime.fromtimestamp(at, dt.UTC).astimezone(zone)
    offset = moment.utcoffset()
    return 0.0 if offset is None else offset.total_seconds()
