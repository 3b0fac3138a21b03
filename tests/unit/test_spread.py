"""Which rows a plan's sample takes: along a key that is one whole number, from end to end."""

from bisect import bisect_right
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from insights import errors
from insights.cli import workbench
from insights.model import Bookmark, StreamSpec


class Table:
    """A table of these keys that counts how often it is looked into."""

    def __init__(self, keys: list[Any]) -> None:
        self.keys = keys
        self.looks = 0

    def page(self, spec: StreamSpec, after: Bookmark | None, *, by: str) -> SimpleNamespace:
        """Return keys behind a bookmark, as COPY text."""
        assert by == "key"
        self.looks += 1
        at = 0 if after is None else bisect_right(self.keys, int(after.key[0]))
        lines = "".join(f"{key}\thash\t2026\n" for key in self.keys[at : at + spec.page_rows])
        return SimpleNamespace(block=lines.encode())


def taken(table: Table, count: int, **spec: Any) -> list[str]:  # noqa: ANN401 - of a StreamSpec
    stream = StreamSpec(name="s", source="erp", table="t", key=("id",), inputs=(), **spec)
    return workbench.spread(SimpleNamespace(stream=stream, source=table), count)  # type: ignore[arg-type]


def test_it_takes_rows_from_the_first_to_the_last_with_few_looks() -> None:
    table = Table(list(range(7, 3_000_007)))
    keys = [int(key) for key in taken(table, 40)]
    assert len(keys) == 40
    assert keys[0] == 7
    steps = [after - before for before, after in pairwise(keys)]
    assert 70_000 < min(steps) <= max(steps) < 80_000
    assert table.looks < 40 + 2 + 22 + 7


@pytest.mark.parametrize("keys", [[5], [-3, -1, 4], [1, 2, 3, 1_000_000], [2**40, 2**40 + 9]])
def test_few_rows_and_gaps_give_each_row_once(keys: list[int]) -> None:
    found = taken(Table(keys), 10)
    assert set(found) <= {str(key) for key in keys}
    assert len(found) == len(set(found)) > 0
    assert found[0] == str(keys[0])


@pytest.mark.parametrize("spec", [{"where": "site = 'A'"}, {"start": "now"}])
def test_where_rows_are_left_out_the_first_thousand_stand_for_all(spec: dict[str, str]) -> None:
    table = Table(list(range(1, 5_001)))
    assert max(map(int, taken(table, 10, **spec))) <= 1_000
    assert table.looks == 1


def test_other_keys_are_taken_from_the_first_thousand() -> None:
    assert taken(Table([f"A{n:05}" for n in range(5_000)]), 4)[-1] == "A00750"
    with pytest.raises(errors.RowError, match="no row to try"):
        taken(Table([]), 4)
