"""A page that is made of all rows at once says what it says of each row by itself."""

import hashlib

import pytest

from insights import errors
from insights.model import Page, StreamSpec
from insights.sources.canonical import Hasher
from insights.sources.paging import Paging

SPEC = StreamSpec(
    name="tickets",
    source="erp",
    table="ticket",
    key=("id",),
    cursor="updated_at",
    inputs=("title", "body"),
    page_rows=5,
    max_text_chars=40,
)

PLAIN = ("5", "2026-01-01", "Pump", "stops")
ODD = [
    *(None, "", "1", "Ko\u0308ln", "Köln", "\u0301e", "\ud800", "\0", "x" * 41, "x" * 36),
    *("\\N", "a\\b", "a\tb", "\n", b"bytes", b"\xff", b"\0", 7, 7.5),
]


class OneByOne(Paging):
    """Looks at each row by itself."""

    def _lines_at_once(self, _rows: object) -> None:
        return None


def told(paging: Paging, rows: list[tuple[object, ...]]) -> Page | str:
    """Return the page, or why there is none."""
    try:
        return paging.page(rows)
    except (errors.StreamError, UnicodeEncodeError) as exc:
        return f"{type(exc).__name__}: {exc}"


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_a_page_made_at_once_says_what_its_rows_say_one_by_one(
    odd: object, column: int, place: int
) -> None:
    row = (*PLAIN[:column], odd, *PLAIN[column + 1 :])
    rows: list[tuple[object, ...]] = [(str(number), *PLAIN[1:]) for number in range(1, 4)]
    rows.insert(place, row)
    hasher = Hasher(b"key")
    assert told(Paging(SPEC, hasher, None), rows) == told(OneByOne(SPEC, hasher, None), rows)


@pytest.mark.parametrize("title", ["Pump", "Köln", None])
def test_plain_rows_are_never_looked_at_one_by_one(
    title: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Paging, "_lines")
    page = Paging(SPEC, Hasher(b"key"), None).page(
        [("1", "2026-01-01", title, "b"), ("2", None, "", "c")]
    )

    first = f"{'-;' if title is None else f'{len(title)}:{title}'}1:b"
    hashed = hashlib.blake2b(first.encode(), digest_size=16, key=b"key").hexdigest()
    assert page.block.decode().splitlines()[0] == f"1\t{hashed}\t2026-01-01"
    assert page.rows == 2
    assert page.block.decode().splitlines()[1].endswith("\t\\N")
