"""What text may do on a legacy screen, in a page, in a spreadsheet."""

import html

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.sinks.fit import Room, fit
from insights.sinks.text import Policy

HIDDEN = "\u200b\u200e\u202e\u2066\u2069\ufeff\u00ad\u2060\U000e0041\u3164"


@pytest.mark.parametrize("char", HIDDEN)
@pytest.mark.parametrize("policy", ["plain", "html", "csv"])
def test_what_nobody_sees_is_taken_out(char: str, policy: Policy) -> None:
    shown, notes = fit(f"in{char}voice", Room(policy=policy))
    assert shown == "invoice"
    assert notes == ("cleaned",)


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d👩\u200d👧 family",
        "\u0645\u06cc\u200c\u062e\u0648",
        "क्\u200dष",
        "naïve Ünïcode",
        "日本語",
    ],
)
def test_joiners_that_make_characters_stay(text: str) -> None:
    assert fit(text, Room()) == (text, ())


def test_line_separators_become_lines() -> None:
    assert fit("one\u2028two\u2029three", Room())[0] == "one\ntwo\nthree"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\" onload='x'", "&quot; onload=&#x27;x&#x27;"),
        ("see javascript:alert(1)", "see javascript :alert(1)"),
        ("JavaScript\t:x", "JavaScript\t :x"),
        ("R&D", "R&amp;D"),
    ],
)
def test_a_page_shows_markup_and_runs_none(text: str, shown: str) -> None:
    assert fit(text, Room(policy="html")) == (shown, ("defused",))


def test_a_character_set_cannot_bring_markup_back() -> None:
    shown, _ = fit("\uff1cscript\uff1e \u201cx\u201d", Room(policy="html", encoding="ascii"))
    assert shown == "&lt;script&gt; &quot;x&quot;"


def test_a_cut_leaves_no_half_entity() -> None:
    for length in range(1, 30):
        shown, _ = fit("a<b<c<d<e<f<g<h<i<j", Room(policy="html", length=length))
        assert len(shown) <= length
        assert html.escape(html.unescape(shown), quote=True) == shown


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://x.example","y")',
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        " =1",
        "\uff1dHYPERLINK()",
        "'=1",
    ],
)
def test_a_spreadsheet_runs_no_formula(text: str) -> None:
    assert fit(text, Room(policy="csv"))[0] == f"'{text}"


@pytest.mark.parametrize("text", ["-5.3", "+12 %", "plain", "a=b", "1-2", "-1'234.50"])
def test_a_spreadsheet_shows_numbers_and_text_as_they_are(text: str) -> None:
    assert fit(text, Room(policy="csv")) == (text, ())


def test_plain_screens_show_characters_as_they_are() -> None:
    text = '<b> =HYPERLINK("x") javascript:x'
    assert fit(text, Room()) == (text, ())


@settings(deadline=None)
@given(st.text(st.characters(), max_size=60), st.none() | st.integers(1, 40))
def test_no_page_gets_a_bare_sign(text: str, length: int | None) -> None:
    shown, _ = fit(text, Room(policy="html", length=length))
    assert not set(shown) & set("<>\"'")
    assert length is None or len(shown) <= length
