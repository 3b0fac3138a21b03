"""The walk over pages: two are read ahead while another is recorded, and never more."""

import itertools
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from insights import errors
from insights.model import Bookmark, Lease, Page, Recorded, StreamSpec
from insights.polling.courtesy import Courtesy
from insights.polling.pages import Pages, Way

SPEC = StreamSpec(name="s", source="a", table="t", key=("id",), inputs=("body",))
LEASE = Lease(name="stream s", token="t", epoch=1, ttl_s=60.0)
LAST = 5


class Table:
    """Pages 0 to LAST; a clock that every reading and recording moves on by one."""

    def __init__(self, outdated: int | None = None) -> None:
        self.clock = itertools.count(1)
        self.read_when: dict[int, int] = {}
        self.recorded: list[int] = []
        self.ahead: list[int] = []
        self.late: list[int] = []
        self.lost_after: int | None = None
        self.paused_after = self.lagging_after = LAST + 1
        self._outdated = outdated
        self.asked = 0
        self.patience_s = 0.05
        self._asked = threading.Condition()

    def page(self, spec: StreamSpec, after: Bookmark | None, **_: Any) -> Page:  # noqa: ANN401
        assert spec is SPEC
        number = int(after.key[0]) + 1 if after else 0
        self.read_when[number] = next(self.clock)
        self.ahead.append(number - len(self.recorded))
        with self._asked:
            self._asked.notify_all()
        last = Bookmark(key=(str(number),))
        return Page(rows=1, block=b"", last=last, complete=number == LAST)

    def state(self) -> Any:  # noqa: ANN401
        self.asked += 1
        return SimpleNamespace(paused=len(self.recorded) >= self.paused_after)

    def fingerprint(self) -> Any:  # noqa: ANN401
        lag_s = 99.0 if len(self.recorded) >= self.lagging_after else 0.0
        return SimpleNamespace(lag_s=lag_s)

    def record(
        self,
        _lease: Lease,
        _stream_id: int,
        page: Page,
        *,
        read_at: float,
        **_: Any,  # noqa: ANN401
    ) -> Recorded:
        assert page.last is not None
        if len(self.recorded) == self.lost_after:
            raise errors.Fenced("somebody else holds the lease", where="stream s")
        number = int(page.last.key[0])
        with self._asked:  # let the next pages be asked for, if they are to be
            expected = min(number + 2, LAST)
            self._asked.wait_for(lambda: expected in self.read_when, self.patience_s)
        if read_at >= self.read_when[number]:
            self.late.append(number)
        outdated = int(number == self._outdated)
        self._outdated = None if outdated else self._outdated
        if not outdated:
            self.recorded.append(number)
        return Recorded(
            new=1 - outdated,
            changed=0,
            revived=0,
            at=next(self.clock),
            outdated=outdated,
            paused=len(self.recorded) >= self.paused_after,
        )


def walked(table: Table, courtesy: Courtesy) -> int:
    pages = Pages(table, table, courtesy)  # type: ignore[arg-type]  # both ports
    found = pages.walk(LEASE, 1, SPEC, None, Way(by="key"), read_at=0.0)
    return sum(recorded.new for _page, recorded in found)


def test_every_page_is_recorded_once_in_order_and_two_are_read_ahead() -> None:
    table = Table()
    table.patience_s = 30.0  # for pages that are surely read
    assert walked(table, Courtesy()) == LAST + 1
    assert table.recorded == list(range(LAST + 1))
    assert max(table.ahead) == 2
    assert table.asked == 0  # each page that was recorded told whether to read on


def test_no_page_is_said_to_be_younger_than_it_is() -> None:
    table = Table()
    walked(table, Courtesy())
    assert table.late == []


def test_a_throttled_stream_reads_nothing_ahead() -> None:
    table = Table()
    assert walked(table, Courtesy(1_000_000, sleep=lambda _: None)) == LAST + 1
    assert max(table.ahead) == 0


def test_every_page_is_paid_for_the_last_one_too() -> None:
    """Else a sweep after a poll, or a table of one page, would read more than its rate."""
    waits: list[float] = []
    walked(Table(), Courtesy(4, clock=lambda: 0.0, sleep=waits.append))
    assert waits == [page / 4 for page in range(1, LAST + 2)]


def test_an_outdated_page_is_read_again_and_what_was_read_ahead_is_dropped() -> None:
    table = Table(outdated=2)
    assert walked(table, Courtesy()) == LAST + 1
    assert table.recorded == list(range(LAST + 1))
    assert table.late == []


def test_a_lost_lease_records_nothing_that_was_read_ahead() -> None:
    table = Table()
    table.lost_after = 3
    with pytest.raises(errors.Fenced):
        walked(table, Courtesy())
    assert table.recorded == [0, 1, 2]


@pytest.mark.parametrize("throttled", [False, True])
@pytest.mark.parametrize("why", ["paused", "lags", "quiet"])
def test_no_page_is_read_once_the_source_must_be_left_alone(why: str, *, throttled: bool) -> None:
    table = Table()
    courtesy = Courtesy(1_000_000 if throttled else None, sleep=lambda _: None)
    if why == "paused":
        table.paused_after = 2
    elif why == "lags":
        table.lagging_after = 2
    else:
        courtesy.quiet = lambda now: len(table.recorded) >= 2  # type: ignore[method-assign]  # noqa: ARG005
    with pytest.raises(errors.MustWait, match=why):
        walked(table, courtesy)
    # Two pages may have been read by then; those of a stream that was paused are left.
    assert len(table.recorded) in ((2,) if throttled or why == "paused" else (2, 3, 4))
    assert len(table.read_when) <= (2 if throttled else 4)
    assert table.recorded == list(range(len(table.recorded)))
