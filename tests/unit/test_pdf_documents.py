"""PDF as it is read: words whole, pages without their running lines, an outline as headings."""

from types import SimpleNamespace

import pytest

from insights import errors
from insights.documents.formats import gaps
from insights.documents.messages import Limits, Loaded
from insights.documents.registry import read
from tests.papers import pdf_of, reader_form_of


def _load(data: bytes) -> Loaded:
    return read("a.pdf", data, Limits())


def _lines(*lines: str, left: int = 72, top: int = 720) -> bytes:
    """Write lines under each other."""
    drawn = (
        f"BT /F1 12 Tf {left} {top - 16 * number} Td ({line}) Tj ET"
        for number, line in enumerate(lines)
    )
    return "\n".join(drawn).encode("latin-1")


def test_text() -> None:
    loaded = _load(pdf_of(_lines("Drum unit E52 is worn out")))
    assert loaded.text == "Drum unit E52 is worn out"
    assert not loaded.is_markdown


def test_words_cut_by_a_lines_end_are_whole() -> None:
    text = _load(
        pdf_of(
            _lines(
                "Check the confi-", "guration of valve V-", "200, the well-known and well-",
                "known seal, the Ein-", "und Ausgabe.",
            )
        )
    ).text  # fmt: skip
    assert "the configuration of valve V-200" in text
    assert "well-known seal" in text
    assert "Ein- und Ausgabe" in " ".join(text.split())


def test_words_that_only_a_narrow_gap_parts_are_two() -> None:
    narrow = b"BT /F1 12 Tf 72 720 Td [(if) -125 (any) -125 (other) -20 (s) -125 (.)] TJ ET"
    assert _load(pdf_of(narrow)).text == "if any others."
    spaced = b"BT /F1 12 Tf 72 720 Td 1.7 Tc (CAUTION) Tj ET"  # its letters are, not its words
    assert _load(pdf_of(spaced)).text == "CAUTION"


def test_a_footnotes_raised_number_is_no_part_of_its_first_word() -> None:
    note = b"BT /F1 7 Tf 72 724 Td (12) Tj /F1 12 Tf 7.8 -4 Td (the note of 2nd order) Tj ET"
    assert _load(pdf_of(note)).text == "12 the note of 2nd order"
    code = b"BT /F1 12 Tf 72 720 Td (2nd order) Tj ET"  # of one size
    assert _load(pdf_of(code)).text == "2nd order"


def test_a_lines_end_that_pdfium_forgets_parts_words() -> None:
    def page(shown: str, every: str) -> SimpleNamespace:
        return SimpleNamespace(
            raw=None, get_text_bounded=lambda: shown, get_text_range=lambda: every,
            count_chars=lambda: len(every),
        )  # fmt: skip

    assert gaps.text(page("a note1and more", "a note1\r\nand more")) == "a note1\r\nand more"
    assert gaps.text(page("shown", "shown outside")) == "shown"


def test_accents_drawn_before_their_letters_are_theirs() -> None:
    assert _load(pdf_of(_lines("f\u00a8ur \u00a8q"))).text == "für ¨q"


def test_rotated_pages() -> None:
    assert _load(pdf_of(_lines("Reset the unit"), page="/Rotate 90")).text == "Reset the unit"


def test_columns_drawn_side_by_side_are_read_one_after_the_other() -> None:
    pairs = [
        (f"left column line {number} goes on", f"right column line {number} goes on")
        for number in range(12)
    ]
    drawn = b"\n".join(
        _lines(left, top=700 - 16 * number) + b"\n" + _lines(right, left=330, top=700 - 16 * number)
        for number, (left, right) in enumerate(pairs)
    )
    text = _load(pdf_of(_lines("A heading over both of the columns") + b"\n" + drawn)).text
    lines = text.split("\n")
    assert lines[0] == "A heading over both of the columns"
    assert lines[1:13] == [left for left, _ in pairs]
    assert lines[13:] == [right for _, right in pairs]


def test_a_table_stays_in_rows() -> None:
    drawn = b"\n".join(
        _lines(f"E{number}", top=700 - 16 * number)
        + b"\n"
        + _lines(f"{number} Nm", left=330, top=700 - 16 * number)
        for number in range(12)
    )
    text = _load(pdf_of(drawn)).text
    assert "E3 3 Nm" in " ".join(text.split())


def test_running_lines_stand_once_and_page_numbers_nowhere() -> None:
    pages = [
        _lines(
            "ACME pump manual",
            f"Step {number} of the work: turn the valve {number * 7} times",
            *(f"Text {line}{number * number} about seals" for line in "abcdefgh"),
            f"Revision 7, page {number} of 8",
        )
        for number in range(1, 9)
    ]
    text = _load(pdf_of(*pages)).text
    assert text.count("ACME pump manual") == 1
    assert text.count("Revision 7") == 1
    assert [f"turn the valve {number * 7} times" in text for number in range(1, 9)] == [True] * 8
    assert text.count("about seals") == 64


def test_lists_of_contents_go_and_price_lists_stay() -> None:
    contents = _lines(*(f"{number} Chapter ........ {number * 2}" for number in range(1, 9)))
    prices = _lines("Toner ........ 89", "Fuser ........ 99", "Drum ........ 149")
    text = _load(pdf_of(contents, prices)).text
    assert "Chapter" not in text
    assert "Drum ........ 149" in text


def test_an_outline_becomes_headings() -> None:
    objects = (
        "<< /Type /Outlines /First 10001 0 R /Last 10002 0 R /Count 2 >>",
        (
            "<< /Title (Installation) /Parent 10000 0 R /Next 10002 0 R /Dest [100 0 R /Fit]"
            " /First 10003 0 R /Last 10003 0 R /Count 1 >>"
        ),
        "<< /Title (2 Operation) /Parent 10000 0 R /Prev 10001 0 R /Dest [101 0 R /Fit] >>",
        "<< /Title (Tools) /Parent 10001 0 R /Dest [100 0 R /Fit] >>",
    )
    loaded = _load(
        pdf_of(
            _lines("1 Installation", "Choose a place.", "Tools", "A wrench."),
            _lines("# no heading", "Open the valve."),
            extra="/Outlines 10000 0 R",
            objects=objects,
        )
    )
    assert loaded.is_markdown
    assert loaded.text == (
        "# 1 Installation\n\nChoose a place.\n\n## Tools\n\nA wrench.\n\n"
        "# 2 Operation\n\n    # no heading\nOpen the valve."
    )


def test_form_values_are_read() -> None:
    form = (
        "<< /Fields [10001 0 R] /DA (/F1 12 Tf) >>",
        (
            "<< /Type /Annot /Subtype /Widget /FT /Tx /T (serial) /TU (Serial number)"
            " /V (PX-200-77) /Rect [72 600 200 620] /P 100 0 R >>"
        ),
    )
    data = pdf_of(
        _lines("Order form"), extra="/AcroForm 10000 0 R", objects=form, page="/Annots [10001 0 R]"
    )
    assert _load(data).text == "Order form\nSerial number: PX-200-77"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("/FT /Tx /V (PX-200-77)", "Order form\nserial: PX-200-77"),
        ("/FT /Btn /V /Off", "Order form"),
        ("/FT /Tx /V (secret) /F 2", "Order form"),
    ],
)
def test_fields_of_a_page_cut_out_of_a_form_are_read(more: str, text: str) -> None:
    field = f"<< /Type /Annot /Subtype /Widget /T (serial) {more} /Rect [72 600 200 620] >>"
    data = pdf_of(_lines("Order form"), objects=(field,), page="/Annots [10000 0 R]")
    assert _load(data).text == text


@pytest.mark.parametrize(
    "title", ["untitled", "Microsoft Word - Handbuch_v3.doc", "i-xx_manual-fm.indd", "(anonymous)"]
)
def test_a_producers_title_is_none(title: str) -> None:
    assert _load(_titled(title)).title == ""


def test_a_title_that_is_one_is_kept() -> None:
    assert _load(_titled("Pump P-200, service manual")).title == "Pump P-200, service manual"


def _titled(title: str) -> bytes:
    escaped = title.replace("(", r"\(").replace(")", r"\)")
    data = pdf_of(_lines("Text"), objects=(f"<< /Title ({escaped}) >>",))
    return data.replace(b"/Root 1 0 R", b"/Root 1 0 R /Info 10000 0 R")


def test_a_scan_says_what_it_needs() -> None:
    with pytest.raises(errors.KnowledgeError, match="holds no text") as raised:
        _load(pdf_of(b"q Q"))
    assert "character recognition" in raised.value.fix


_TEMPLATE = (
    '<template xmlns="http://www.xfa.org/schema/xfa-template/3.3/"><subform name="f">'
    "<draw><value><text>Complaint</text></value></draw>"
    "<draw><value><image>QUJD</image></value></draw>"
    '<field name="part"><caption><value><exData><body><p>Part <b>number</b></p></body></exData>'
    "</value></caption><items><text>A-1</text><text>A-2</text></items></field>"
    '<field name="count"><caption><value><text>Count</text></value></caption>'
    "<value><integer>1</integer></value></field>"
    '<draw presence="hidden"><value><text>unseen</text></value></draw></subform></template>'
)
_FILLED = (
    '<xfa:datasets xmlns:xfa="http://www.xfa.org/schema/xfa-data/1.0/"><list><part>A-9</part></list>'
    "<xfa:data><f><part>A-2</part><part>A-3</part></f></xfa:data></xfa:datasets>"
)


def test_a_form_that_only_adobe_reader_draws_is_read_from_its_template_and_data() -> None:
    form = reader_form_of(("template", _TEMPLATE), ("datasets", _FILLED))
    assert _load(form).text == "Complaint\nPart number: A-2\nCount: 1\npart: A-3"


def test_a_form_without_texts_says_what_to_do() -> None:
    with pytest.raises(errors.KnowledgeError, match="only Adobe Reader") as refused:
        _load(reader_form_of(("config", "<config/>")))
    assert refused.value.fix == "print it to a PDF there"
