"""What `insights tune` recommends from what it measured."""

from insights.cli.tune import _best
from insights.inference.messages import Speeds


def speeds(parallel: int, decode: float, threads: int = 2) -> Speeds:
    return Speeds(threads=threads, parallel=parallel, prompt=250.0, decode=decode)


def test_more_rows_at_once_are_chosen_only_while_clearly_faster() -> None:
    tried = [speeds(8, 110), speeds(1, 70), speeds(4, 95), speeds(16, 160), speeds(32, 165)]
    assert _best(tried).parallel == 16


def test_the_better_threads_win_at_the_same_rows() -> None:
    assert _best([speeds(8, 90, threads=2), speeds(8, 120, threads=1)]).threads == 1
