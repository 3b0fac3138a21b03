"""The folded copy, and the way back to the original."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.governance.redact.folding import fold, folded, joined


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("plain text.", "plain text."),
        ("a\u00a0b\u2003c\td", "a b c d"),
        ("a\r\nb\u2028c\x0bd", "a\nb\nc\nd"),
        ("z\u200be\u00adr\ufeffo", "zero"),
        ("\uff21\uff22\uff11", "AB1"),
        ("e\u0301 and \ufb01", "é and fi"),
        ("1\u20132\u22123", "1-2-3"),
        ("\u0661\u0662\u0967", "121"),
        ("a&#64;b&period;c &amp; &unknown;", "a@b.c & &unknown;"),
        ("a%40b%C3%BC 5% of", "a@bü 5% of"),
        (r"a\u0040b\x2ec", "a@b.c"),
        ("jane [at] mail (dot) example", "jane@mail.example"),
        ("<b>4</b>111<wbr>1<!-- x -->1", "411111"),
        ("a <EMAIL_1> b<br/>c <p>d</p>", "a <EMAIL_1> b\nc \nd\n"),
        ("\u0130", "I"),
    ],
)
def test_what_folding_makes(text: str, made: str) -> None:
    assert folded(text) == made


@pytest.mark.parametrize(
    ("text", "part", "original"),
    [
        ("x \uff21\uff22 y", "AB", "\uff21\uff22"),
        ("x 4\u200b2 y", "42", "4\u200b2"),
        ("x a%C3%BCb y", "aüb", "a%C3%BCb"),
        ("x a%C3%BCb y", "ü", "%C3%BC"),
        ("x e\u0301 y", "é", "e\u0301"),
        ("a&#64;b", "@", "&#64;"),
        ("one \ufb01ne", "fine", "\ufb01ne"),
    ],
)
def test_the_way_back(text: str, part: str, original: str) -> None:
    source = fold(text)
    at = source.text.index(part)
    start, end = source.origin(at, at + len(part))
    assert text[start:end] == original


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [*"ab1 .@-", "\u200b", "\uff11", "&#64;", "%40", "\n", "\r\n", "e\u0301", "é", "(at)",
             "<b>", "\\u0040", "\ufb01", "\u3000", "漢", "&", "%", "\\"]
        )
    ).map("".join)
)  # fmt: skip
def test_every_position_leads_back_in_order(text: str) -> None:
    for source in (fold(text), joined(text)):
        if source is None:
            continue
        assert len(source.lower) == len(source.text)
        last = 0
        for at in range(len(source.text)):
            start, end = source.origin(at, at + 1)
            assert last <= start <= end <= len(text)
            last = start
            if source.text[at].isascii() and source.text[at].isalnum() and end - start == 1:
                assert source.text[at] in folded(text[start:end])


def test_lines_are_joined_only_where_a_piece_may_stand() -> None:
    assert joined("one\ntwo three\nfour") is None
    wrapped = joined("mail jane@mail.exa\nmple now")
    assert wrapped is not None
    assert "jane@mail.example" in wrapped.text
