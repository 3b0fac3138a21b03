"""Numbers that texts show and do not hold: of headings, of steps that a picture parts."""

import pytest

from insights.documents.formats.numerals import written
from insights.documents.messages import Limits
from insights.documents.registry import read
from tests.papers import docx_of, zip_of

_OASIS = "urn:oasis:names:tc:opendocument:xmlns:"
_NAMES = (
    f'xmlns:o="{_OASIS}office:1.0" xmlns:text="{_OASIS}text:1.0" xmlns:style="{_OASIS}style:1.0"'
)


@pytest.mark.parametrize(
    ("number", "form", "text"),
    [
        (7, "1", "7"), (3, "a", "c"), (28, "A", "BB"), (4, "i", "iv"), (1994, "I", "MCMXCIV"),
        (0, "i", "0"), (20_000, "I", "20000"), (2, "?", "2"),
    ],
)  # fmt: skip
def test_numbers_are_written_in_their_form(number: int, form: str, text: str) -> None:
    assert written(number, form) == text


def _opendocument(body: str, automatic: str = "") -> str:
    levels = "".join(
        f'<text:outline-level-style text:level="{level}" style:num-format="1" style:num-suffix="."'
        f' text:display-levels="{level}"/>'
        for level in (1, 2)
    )
    steps = (
        '<text:list-style style:name="L1"><text:list-level-style-number text:level="1"'
        ' style:num-format="1"/><text:list-level-style-bullet text:level="2"/></text:list-style>'
    )
    files = {
        "styles.xml": f"<o:s {_NAMES}><text:outline-style>{levels}</text:outline-style></o:s>",
        "content.xml": (
            f"<o:c {_NAMES}><o:a>{steps}{automatic}</o:a><o:body><o:text>{body}</o:text></o:body>"
            "</o:c>"
        ),
    }
    return read("a.odt", zip_of(files), Limits()).text


def _h(level: int, text: str, more: str = "") -> str:
    return f'<text:h text:outline-level="{level}" {more}>{text}</text:h>'


def _list(inside: str, more: str = "") -> str:
    return f'<text:list text:style-name="L1" {more}>{inside}</text:list>'


def _item(inside: str) -> str:
    return f"<text:list-item>{inside}</text:list-item>"


def test_headings_of_an_opendocument_text_have_their_numbers() -> None:
    deleted = f"<text:tracked-changes>{_h(1, 'Gone')}</text:tracked-changes>"
    within = f"<text:section>{_h(1, 'Pumps')}{_h(2, 'Parts')}</text:section>"
    plain = '<style:style style:name="P1" style:family="paragraph" style:list-style-name=""/>'
    body = (
        deleted + within + _h(2, "Oil") + _h(1, "Foreword", 'text:style-name="P1"')
        + _h(1, "Index", 'text:is-list-header="true"') + _h(1, "<text:number>9.</text:number>Own")
        + _list(_item(_h(1, "Valves")))
    )  # fmt: skip
    assert _opendocument(body, plain) == (
        "# 1. Pumps\n\n## 1.1. Parts\n\n## 1.2. Oil\n\n# Foreword\n\n# Index\n\n# 9. Own\n\n"
        "# 2. Valves"
    )


def test_steps_of_an_opendocument_text_go_on_behind_a_picture() -> None:
    def step(text: str) -> str:
        return _item(f"<text:p>{text}</text:p>")

    nested = _item(f"<text:p>Turn</text:p><text:list>{step('gently')}</text:list>")
    body = (
        _list(step("Open") + nested) + "<text:p>A picture.</text:p>"
        + _list(step("Close"), 'text:continue-numbering="true"') + "<text:p>Again:</text:p>"
        + _list(step("Wait"))
    )  # fmt: skip
    assert _opendocument(body) == (
        "1. Open\n\n2. Turn\n\n  - gently\n\nA picture.\n\n3. Close\n\nAgain:\n\n1. Wait"
    )


def test_items_of_an_opendocument_text_are_numbered_as_their_style_says() -> None:
    style = (
        '<text:list-style style:name="L2"><text:list-level-style-number text:level="1"'
        ' style:num-format="1" text:start-value="4"/><text:list-level-style-number text:level="2"'
        ' style:num-format="a"/><text:list-level-style-number text:level="3"'
        ' style:num-format="I" text:start-value="3"/></text:list-style>'
    )
    third = f"<text:list>{_item('<text:p>Shake</text:p>')}</text:list>"
    second = f"<text:list>{_item(f'<text:p>Turn</text:p>{third}')}</text:list>"
    items = _item(f"<text:p>Open</text:p>{second}") + _item("<text:p>Close</text:p>")
    assert _opendocument(f'<text:list text:style-name="L2">{items}</text:list>', style) == (
        "4. Open\n\n  a. Turn\n\n    III. Shake\n\n5. Close"
    )


def test_items_of_an_opendocument_text_have_the_numbers_around_them_where_they_show() -> None:
    style = (
        '<text:list-style style:name="L2"><text:list-level-style-number text:level="1"'
        ' style:num-format="1" style:num-suffix="."/><text:list-level-style-number text:level="2"'
        ' style:num-format="a" style:num-suffix=")" text:display-levels="2"/></text:list-style>'
    )

    def inner(*texts: str) -> str:
        items = "".join(_item(f"<text:p>{text}</text:p>") for text in texts)
        return f"<text:list>{items}</text:list>"

    body = _item("<text:p>Open</text:p>") + _item(f"<text:p>Close</text:p>{inner('Turn', 'Push')}")
    body += _item("<text:p>Wait</text:p>").replace(">", ' text:start-value="7">', 1)
    body += _item(inner("Look"))
    assert _opendocument(f'<text:list text:style-name="L2">{body}</text:list>', style) == (
        "1. Open\n\n2. Close\n\n  2.a) Turn\n\n  2.b) Push\n\n7. Wait\n\n  8.a) Look"
    )


def test_items_of_a_page_are_numbered_as_their_list_says() -> None:
    page = b"<ol type='a' start='2'><li>Open</li><li>Close</li></ol><ol type='disc'><li>Wait</ol>"
    assert read("a.html", page, Limits()).text == "b. Open\nc. Close\n\n1. Wait"


def _lvl(level: int, form: str, text: str, more: str = "") -> str:
    return (
        f'<w:lvl w:ilvl="{level}"><w:start w:val="1"/><w:numFmt w:val="{form}"/>{more}'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
    )


_NUMBERING = (
    '<w:abstractNum w:abstractNumId="0">'
    + _lvl(0, "decimal", "%1", '<w:pStyle w:val="H1"/>')
    + _lvl(1, "decimal", "%1.%2", '<w:pStyle w:val="H2"/>')
    + '</w:abstractNum><w:abstractNum w:abstractNumId="1">'
    + _lvl(0, "decimal", "%1.")
    + _lvl(1, "lowerLetter", "%2)")
    + _lvl(2, "bullet", "•")
    + '</w:abstractNum><w:abstractNum w:abstractNumId="2">'
    + _lvl(0, "upperRoman", "Article %1")
    + _lvl(1, "decimal", "%1.%2", "<w:isLgl/>")
    + '</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    '<w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num>'
    '<w:num w:numId="3"><w:abstractNumId w:val="2"/></w:num>'
    '<w:num w:numId="4"><w:abstractNumId w:val="1"/>'
    '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride></w:num>'
)
_STYLES = (
    '<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/><w:pPr><w:numPr>'
    '<w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="H2"><w:name w:val="heading 2"/><w:basedOn w:val="H1"/>'
    '<w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
)


def _word(*paragraphs: tuple[str, str]) -> str:
    """Read a document of paragraphs, each its style or `list/level`, and its text."""
    body = ""
    for place, text in paragraphs:
        number, _, level = place.partition("/")
        inside = f'<w:pStyle w:val="{place}"/>' if place else ""
        if level:
            inside = f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>'
        body += f"<w:p><w:pPr>{inside}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"
    return read("a.docx", docx_of(body, numbering=_NUMBERING, styles=_STYLES), Limits()).text


def test_headings_of_a_word_document_have_their_numbers() -> None:
    text = _word(("H1", "Pumps"), ("H2", "Parts"), ("H2", "Oil"), ("H1", "Valves"), ("H2", "Wear"))
    assert text == "# 1 Pumps\n\n## 1.1 Parts\n\n## 1.2 Oil\n\n# 2 Valves\n\n## 2.1 Wear"


def test_steps_of_a_word_document_go_on_behind_a_picture() -> None:
    text = _word(
        ("2/0", "Open"), ("2/0", "Turn"), ("", "A picture."), ("2/0", "Close"), ("2/1", "gently"),
        ("2/1", "at once"), ("2/0", "Wait"), ("", "Again:"), ("4/0", "Open"), ("4/0", "Turn"),
    )  # fmt: skip
    assert text == (
        "1. Open\n2. Turn\n\nA picture.\n\n3. Close\n\na) gently\n\nb) at once\n\n4. Wait\n\n"
        "Again:\n\n1. Open\n2. Turn"
    )


def test_clauses_of_a_word_document_have_their_numbers() -> None:
    text = _word(("3/0", "Delivery"), ("3/1", "The seller"), ("3/0", "Price"), ("3/1", "The buyer"))
    assert text == "Article I Delivery\n\n1.1 The seller\n\nArticle II Price\n\n2.1 The buyer"


def test_a_paragraph_whose_style_is_numbered_may_have_no_number() -> None:
    assert _word(("H1", "Pumps"), ("0/0", "plain"), ("9/0", "no list")) == (
        "# 1 Pumps\n\nplain\n\nno list"
    )
