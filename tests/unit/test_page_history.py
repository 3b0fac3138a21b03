"""The plots of the status page, and the day of history behind them."""

from types import SimpleNamespace
from typing import Any

from insights import errors
from insights.store.board import COUNTED, SEED, MadeRow
from insights.web import plots
from insights.wiring.board import History, Minute


def test_a_plot_keeps_its_peaks_its_gaps_and_says_itself_in_words() -> None:
    points: list[plots.Point] = [(float(at), 1.0) for at in range(10_000)]
    points[777] = (777.0, 40.0)
    found = plots.plot("Backlog", "rows", [("waiting", "a", points)], 10_000.0)
    assert found.top == 50
    assert found.says == "Backlog: now waiting 1; at most 40 rows"
    assert len(found.lines[0].path) < 4_000
    assert "24.0" in found.lines[0].path  # 40 of 50, from the top of 120
    gap = plots.plot("x", "s", [("p50", "a", [(0.0, 1.0), (1.0, None), (2.0, 1.0)])], 2.0)
    assert gap.lines[0].path.count("M") == 2
    empty = plots.plot("x", "s", [("p50", "a", [])], 2.0)
    assert (empty.lines[0].path, empty.lines[0].last) == ("", None)


def test_minutes_without_anything_count_as_nothing_and_the_one_that_goes_on_is_left_out() -> None:
    found = plots.per_minute([(60.0, 5.0), (240.0, 9.0)], 0.0, 250.0)
    assert found == [(0.0, 0.0), (60.0, 5.0), (120.0, 0.0), (180.0, 0.0)]


def test_history_counts_each_insight_once_and_few_in_a_statement() -> None:
    newest, away = [SEED * 2], [False]
    counted: list[int] = []

    def made(after: int, upto: int) -> list[MadeRow]:
        assert 0 < upto - after <= COUNTED
        if away[0]:
            raise errors.StoreUnavailable("no answer", where="store")
        counted.extend(range(after + 1, upto + 1))
        return [MadeRow(60.0, upto - after, 0)]

    reports: Any = SimpleNamespace(newest=lambda: newest[0], made=made, recent=list)
    readiness: Any = SimpleNamespace(observing=SimpleNamespace(backlog=[]))
    history = History(reports, readiness)
    history.run_once()
    newest[0] += 7
    history.run_once()  # what was being written at the look before is counted by the next one
    away[0] = True
    history.run_once()
    away[0] = False
    history.run_once()
    assert counted == list(range(SEED + 1, SEED * 2 + 8))
    assert history.minutes() == [Minute(60.0, SEED + 7, 0)]
    assert len(history.samples()) == 3
