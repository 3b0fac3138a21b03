"""Text that fits a legacy column."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.sinks.fit import Room, fit

LATIN = Room(encoding="cp1252")
ASCII = Room(encoding="ascii")


def test_text_that_fits_is_left_alone() -> None:
    assert fit("Grüße „schnell“", LATIN) == ("Grüße „schnell“", ())


@pytest.mark.parametrize(
    ("text", "room", "shown", "notes"),
    [
        ("Łódź \u2013 5 €", ASCII, "Lodz - 5 EUR", ("replaced",)),
        ("Straße 日本", LATIN, "Straße ??", ("replaced",)),
        ("ok 👍 done", Room(bmp=True), "ok ? done", ("replaced",)),
        ("a\x00b\x07c\td\r\ne", Room(), "abc\td\ne", ("cleaned",)),
        ("half \ud83d", Room(), "half ", ("cleaned",)),
        ("cafe\u0301", Room(length=4), "café", ()),
        ("Restart the spooler", Room(length=12), "Restart the…", ("cut",)),
        ("Restart the spooler", Room(length=14, encoding="ascii"), "Restart the...", ("cut",)),
        ("Donaudampfschifffahrt", Room(length=6), "Donau…", ("cut",)),
        ("ééé", Room(length=4, unit="bytes"), "…", ("cut",)),
        ("👍👍👍", Room(length=5, unit="utf16"), "👍👍…", ("cut",)),
        ("👩‍👩‍👧 family of three", Room(length=4), "…", ("cut",)),
        ("long", Room(length=2), "l…", ("cut",)),
        ("long", Room(length=2, encoding="ascii"), "lo", ("cut",)),
    ],
)
def test_fitting(text: str, room: Room, shown: str, notes: tuple[str, ...]) -> None:
    assert fit(text, room) == (shown, notes)


@settings(deadline=None)
@given(
    st.text(st.characters(), max_size=80),
    st.builds(
        Room,
        length=st.none() | st.integers(1, 40),
        unit=st.sampled_from(["characters", "bytes", "utf16"]),
        encoding=st.sampled_from([None, "ascii", "cp1252", "cp932", "iso8859_2"]),
        bmp=st.booleans(),
    ),
)
def test_whatever_comes_the_column_holds_it(text: str, room: Room) -> None:
    shown, notes = fit(text, room)
    shown.encode(room.encoding or "utf-8")
    size = {
        "characters": len(shown),
        "bytes": len(shown.encode(room.encoding or "utf-8")),
        "utf16": len(shown.encode("utf-16-le")) // 2,
    }[room.unit]
    assert room.length is None or size <= room.length
    assert not room.bmp or all(ord(char) <= 0xFFFF for char in shown)
    assert notes or shown == unicodedata.normalize("NFC", text).replace("\r", "\n")
    assert fit(shown, room)[0] == shown
