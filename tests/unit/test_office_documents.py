"""Office files and mails: the text as their programs show it, with changes accepted, once."""

import io
import struct
from datetime import timedelta
from email.message import EmailMessage

import docx
import lxml.etree
import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.opc.package import Part
from pptx.opc.packuri import PackURI
from pptx.util import Inches

from insights import errors
from insights.documents.formats import old_dates, sheets
from insights.documents.messages import Limits, Loaded
from insights.documents.registry import read
from tests.papers import docx_of, msg_of, xlsx_of, zip_of


def _read(name: str, data: bytes) -> Loaded:
    return read(name, data, Limits())


def _word(body: str, **parts: str) -> str:
    return _read("a.docx", docx_of(body, **parts)).text


def _p(inside: str) -> str:
    return f"<w:p>{inside}</w:p>"


def _r(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def test_word_headings_lists_and_tables() -> None:
    document = docx.Document()
    document.add_heading("Toner", level=1)
    document.add_paragraph("Open the flap.")
    document.add_paragraph("Shake it", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for number, text in enumerate(("Code", "Meaning", "E7", "Empty")):
        table.cell(number // 2, number % 2).text = text
    made = io.BytesIO()
    document.save(made)
    loaded = _read("a.docx", made.getvalue())
    assert loaded.title == "Toner"
    assert loaded.text == "# Toner\n\nOpen the flap.\n\n- Shake it\n\nCode | Meaning\nE7 | Empty"


def test_word_changes_are_accepted() -> None:
    body = _p(
        _r("Tighten to ")
        + "<w:del w:id='1'><w:r><w:delText>20 Nm</w:delText></w:r></w:del>"
        + f"<w:ins w:id='2'>{_r('25 Nm')}</w:ins>"
        + _r(" only.")
    )
    body += _p(f"<w:moveFrom w:id='3'>{_r('moved')}</w:moveFrom>")
    body += _p(f"<w:moveTo w:id='4'>{_r('moved')}</w:moveTo>")
    assert _word(body) == "Tighten to 25 Nm only.\n\nmoved"


def test_word_controls_tags_fields_and_formulas_are_read() -> None:
    body = f"<w:sdt><w:sdtContent>{_p(_r('Block.'))}</w:sdtContent></w:sdt>" + _p(
        _r("Model ")
        + f"<w:sdt><w:sdtContent>{_r('PX-200')}</w:sdtContent></w:sdt>"
        + f"<w:smartTag w:element='place'>{_r(' Zurich')}</w:smartTag>"
        + f"<w:fldSimple w:instr='REF x'>{_r(' see 3.1')}</w:fldSimple>"
        + f"<w:bdo w:val='ltr'>{_r(' abc')}</w:bdo>"
        + "<m:oMath><m:r><m:t>p=F/A</m:t></m:r></m:oMath>"
    )
    assert _word(body) == "Block.\n\nModel PX-200 Zurich see 3.1 abc p=F/A"


def test_word_breaks_part_words_and_hyphens_do_not() -> None:
    signs = "<w:cr/><w:t>b</w:t><w:ptab/><w:t>c</w:t><w:softHyphen/><w:t>d</w:t><w:noBreakHyphen/>"
    assert _word(_p(f"<w:r><w:t>a</w:t>{signs}<w:t>e</w:t></w:r>")) == "a\nb cd-e"


def test_word_text_boxes_are_read_once_in_whatever_form() -> None:
    box = f"<w:txbxContent>{_p(_r('400 V inside'))}</w:txbxContent>"
    new = f"<w:drawing><wps:wsp><wps:txbx>{box}</wps:txbx></wps:wsp></w:drawing>"
    old = f"<w:pict><v:shape><v:textbox>{box}</v:textbox></v:shape></w:pict>"
    choice = f"<mc:Choice Requires='wps'>{new}</mc:Choice>"
    only = f"<mc:AlternateContent>{choice}</mc:AlternateContent>"
    both = only.replace(choice, f"{choice}<mc:Fallback>{old}</mc:Fallback>")
    for form in (new, old, both, only):
        text = _word(_p(f"{_r('before')}<w:r>{form}</w:r>{_r(' after')}"))
        assert text.count("400 V inside") == 1
        assert "before" in text
        assert "after" in text


def test_word_tables_in_tables_and_merged_cells_come_once() -> None:
    inner = f"<w:tbl><w:tr><w:tc>{_p(_r('inner'))}</w:tc></w:tr></w:tbl>"
    merged = f"<w:tc><w:tcPr><w:gridSpan w:val='2'/></w:tcPr>{_p(_r('merged'))}</w:tc>"
    down = f"<w:tc><w:tcPr><w:vMerge/></w:tcPr>{_p('')}</w:tc>"
    rows = (f"<w:tc>{inner}{_p(_r('outer'))}</w:tc>", merged, down)
    body = f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"
    text = _word(body)
    assert [text.count(word) for word in ("inner", "outer", "merged")] == [1, 1, 1]


def test_word_headers_footers_and_notes_come_once() -> None:
    note = "<w:footnote w:id='2'>" + _p(_r("Only when cold.")) + "</w:footnote>"
    text = _word(
        _p(_r("Open it.") + "<w:r><w:footnoteReference w:id='2'/></w:r>"),
        header1=_p(_r("Plant 7")),
        header2=_p(_r("Plant 7")),
        footer1=_p(_r("Page 3 of 9")),
        footnotes=note,
    )
    assert text.startswith("Plant 7\n\nOpen it.")
    assert text.count("Only when cold.") == 1
    assert text.count("Plant 7") == 1
    assert "Page 3" not in text
    assert "↑" not in text


def test_word_hidden_text_and_contents_are_left_out() -> None:
    styles = "".join(
        f"<w:style w:type='paragraph' w:styleId='{identity}'><w:name w:val='{name}'/>{more}"
        "</w:style>"
        for identity, name, more in (
            ("T1", "toc 1", ""),
            ("H", "Heading 2", ""),
            ("Own", "Plant", "<w:basedOn w:val='H'/>"),
            ("Lvl", "Other", "<w:pPr><w:outlineLvl w:val='0'/></w:pPr>"),
        )
    )
    body = (
        _p("<w:pPr><w:pStyle w:val='T1'/></w:pPr>" + _r("Valves 7"))
        + _p("<w:pPr><w:pStyle w:val='Lvl'/></w:pPr>" + _r("Valves"))
        + _p("<w:pPr><w:pStyle w:val='Own'/></w:pPr>" + _r("Seats"))
        + _p(_r("Seen") + _r(" hidden", "<w:vanish/>") + _r(" too", "<w:vanish w:val='0'/>"))
    )
    assert _word(body, styles=styles) == "# Valves\n\n## Seats\n\nSeen too"


def test_entities_of_a_packages_own_making_are_not_expanded() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "boom boom boom">]>'
    files = {"content.xml": f"{bomb}<a><body><p>&b;text</p></body></a>"}
    assert "boom" not in _read("a.odt", zip_of(files)).text


def test_opendocument_text() -> None:
    office = "urn:oasis:names:tc:opendocument:xmlns:"
    content = (
        f'<o:document-content xmlns:o="{office}office:1.0" xmlns:text="{office}text:1.0"'
        f' xmlns:table="{office}table:1.0" xmlns:draw="{office}drawing:1.0"><o:body><o:text>'
        "<text:tracked-changes><text:changed-region><text:deletion><text:p>old words</text:p>"
        "</text:deletion></text:changed-region></text:tracked-changes>"
        '<text:section text:display="none"><text:p>unshown words</text:p></text:section>'
        '<text:h text:outline-level="2">Valves</text:h><text:p>Turn<text:s text:c="2"/>it'
        "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>gently"
        "</text:p></text:note-body></text:note>.<draw:frame><draw:text-box><text:p>Hot!</text:p>"
        "</draw:text-box></draw:frame></text:p><text:list><text:list-item><text:p>one</text:p>"
        "</text:list-item></text:list><table:table><table:table-row><table:table-cell><text:p>E7"
        "</text:p></table:table-cell><table:table-cell><text:p>Empty</text:p></table:table-cell>"
        "</table:table-row></table:table></o:text></o:body></o:document-content>"
    )
    text = _read("a.odt", zip_of({"content.xml": content})).text
    assert text.startswith("## Valves\n\nTurn it")
    assert "- one\n\nE7 | Empty" in text
    assert "gently" in text
    assert "Hot!" in text
    assert "old words" not in text
    assert "unshown words" not in text


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (rb"\mac", rb"Gr\'9a\'a7e"),
        (rb"\pc", rb"Gr\'94\'e1e"),
        (rb"\pca", rb"Gr\'94\'e1e"),
        (rb"\mac\ansicpg10000", rb"Gr\'9a\'a7e"),
        (rb"\ansi", rb"Gr\'f6\'dfe"),
    ],
)
def test_rich_text_is_read_in_the_code_page_of_its_machine(head: bytes, text: bytes) -> None:
    source = rb"{\rtf1" + head + rb"{\info{\title " + text + rb"}}" + text + rb" {\mac}}"
    loaded = _read("a.rtf", source)
    assert (loaded.title, loaded.text) == ("Größe", "Größe")


def test_rich_text() -> None:
    source = (
        rb"{\rtf1\ansi\ansicpg1252{\info{\title Pump manual}}Gr\'f6\'dfe \u1046?\par V-200\par}"
    )
    loaded = _read("a.rtf", source)
    assert (loaded.title, loaded.text) == ("Pump manual", "Größe Ж\nV-200")


def test_rich_text_of_any_sign_with_its_notes_and_changes_accepted() -> None:
    source = (
        rb"{\rtf1\ansi\uc1 Smile \u-10179?\u-8704?.{\footnote \pard A note.} "
        rb"{\rtlch\v hidden}{\v0 shown}{\b\deleted gone} {\b\voffset kept}\par}"
    )
    text = _read("a.rtf", source).text
    assert "Smile \U0001f600." in text
    assert "A note." in text
    assert ("shown" in text, "kept" in text) == (True, True)
    assert ("hidden" in text, "gone" in text) == (False, False)


def test_braces_and_backslashes_of_a_rich_text_are_text() -> None:
    source = (
        rb"{\rtf1\ansi An example: {\{\\*\\shppict \{\\pict \u8230\'c9 \}\}}, \\bin 3.\par "
        rb"The end.\par}"
    )
    text = _read("a.rtf", source).text
    assert text == r"An example: {\*\shppict {\pict … }}, \bin 3." + "\nThe end."


def test_rich_texts_boxes_and_signs_are_read() -> None:
    loaded = _read(
        "a.rtf",
        rb"{\rtf1\ansi\ansicpg1252{\info{\title Pr\'fcfbericht}}\pard 25 "
        rb'{\field{\*\fldinst {\f0 SYMBOL 176 \\f "Symbol" \\s 12}}{\fldrslt {\f3\fs24}}}C, 5 '
        rb"{\field{\*\fldinst SYMBOL 0xF06D \\f Symbol}{\fldrslt }}m, "
        rb"{\field{\*\fldinst SYMBOL 109 \\f Symbol}{\fldrslt shown}}\par"
        rb"{\shp{\*\shpinst\shpleft1{\sp{\sn shapeType}{\sv 202}}{\shptxt \pard Hot!\par}}}"
        rb"{\field{\*\fldinst HYPERLINK x}{\fldrslt link}}\par}",
    )
    assert loaded.title == "Prüfbericht"
    assert loaded.text == "25 °C, 5 μm, shown\n\nHot!\nlink"


def test_presentations() -> None:
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Pump start"
    slide.placeholders[1].text = "Open the valve\nStart"
    cells = slide.shapes.add_table(1, 2, Inches(1), Inches(5), Inches(4), Inches(1)).table.rows[0]
    cells.cells[0].text, cells.cells[1].text = "E7", "Empty"
    slide.notes_slide.notes_text_frame.text = "Say it twice."
    hidden = show.slides.add_slide(show.slide_layouts[1])
    hidden.shapes.title.text = "Hidden"
    hidden.element.set("show", "0")
    made = io.BytesIO()
    show.save(made)
    loaded = _read("a.pptx", made.getvalue())
    assert loaded.title == "Pump start"
    assert loaded.text == (
        "## Pump start\n\n- Open the valve\n- Start\n\nE7 | Empty\n\nSay it twice."
    )


def test_presentations_say_what_stands_in_breaks_groups_charts_and_diagrams() -> None:
    show = pptx.Presentation()
    shapes = show.slides.add_slide(show.slide_layouts[6]).shapes
    box = shapes.add_group_shape().shapes.add_textbox(*map(Inches, (0, 0, 2, 1)))
    box.text_frame.text = "first line\vsecond line"
    data = CategoryChartData()
    data.categories = ["East", "West"]
    data.add_series("Sales", (1.5, 2.0))
    bars = XL_CHART_TYPE.COLUMN_CLUSTERED
    shapes.add_chart(bars, *map(Inches, (0, 1, 3, 2)), data)
    frame = shapes.add_chart(bars, *map(Inches, (0, 4, 3, 2)), data)
    a = "http://schemas.openxmlformats.org/drawingml/2006/"
    smart = f'<d xmlns:a="{a}main"><a:p><a:t>Order</a:t></a:p><a:p><a:t>Ship</a:t></a:p></d>'
    part = Part(PackURI("/ppt/diagrams/data1.xml"), "application/xml", show.part.package)
    part._blob = smart.encode()
    graphic = frame.element.graphic.graphicData
    for child in list(graphic):
        graphic.remove(child)
    relation = frame.part.relate_to(part, f"{a}diagramData")
    graphic.set("uri", f"{a}diagram")
    ids = lxml.etree.SubElement(graphic, f"{{{a}diagram}}relIds")
    ids.set(f"{{{a.replace('drawingml', 'officeDocument')}relationships}}dm", relation)
    odd = shapes.add_chart(bars, *map(Inches, (4, 4, 3, 2)), data).chart._chartSpace
    for found in odd.iter("{*}barChart"):  # a kind that the library does not know
        found.tag = found.tag.replace("barChart", "bar3DChart")
    for found in odd.iter("{*}v"):
        found.text = found.text.replace("West", "South")
    made = io.BytesIO()
    show.save(made)
    text = _read("a.pptx", made.getvalue()).text
    assert "- first line second line" in text
    assert "Sales\nEast | 1.5\nWest | 2" in text.replace("| Sales", "Sales")
    assert "East | 1.5\nSouth | 2" in text
    assert "- Order\n- Ship" in text


@pytest.mark.parametrize(
    ("form", "is_date"),
    [("0.00", False), ('0 "days"', False), ("[Red]0.0E+00", False), ("yyyy-mm-dd", True)],
)
def test_a_number_of_an_old_workbook_is_no_date_by_its_formats_number(
    form: str, *, is_date: bool
) -> None:
    head = bytes.fromhex("d0cf11e0a1b11ae1")
    text = form.encode()
    record = b"\x1e\x04" + struct.pack("<HHHB", 5 + len(text), 50, len(text), 0) + text
    cells = b"\xe0\x00\x14\x00" + struct.pack("<HH", 1, 50) + bytes(16)
    data = head + record + cells
    plain = cells.replace(b"\x32", b"\x00")
    assert old_dates.mended(data) == head + record + (cells if is_date else plain)
    assert old_dates.mended(head + cells) == head + cells


def test_a_footer_of_all_slides_stands_once() -> None:
    show = pptx.Presentation()
    for text in ("Pumps", "Valves"):
        slide = show.slides.add_slide(show.slide_layouts[5])
        slide.shapes.title.text = text
        for layout in show.slide_layouts[5].placeholders:
            if layout.placeholder_format.type in (PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.DATE):
                slide.shapes.clone_placeholder(layout)
        for shape in slide.placeholders:
            if shape.placeholder_format.type == PP_PLACEHOLDER.FOOTER:
                shape.text = "Internal"
    made = io.BytesIO()
    show.save(made)
    assert _read("a.pptx", made.getvalue()).text == "## Pumps\n\n- Internal\n\n## Valves"


def test_workbooks() -> None:
    rows: list[list[str | float]] = [
        ["Stock", "", ""],
        ["Part", "Place", "Count"],
        ["A-100", "Hall 3", 12],
        ["A-101", "", 0.5],
    ]
    loaded = _read("a.xlsx", xlsx_of({"Stock": rows, "Empty": []}))
    assert loaded.text == (
        "# Stock\n\nStock\n\n## A-100\n\nPart: A-100\nPlace: Hall 3\nCount: 12\n\n"
        "## A-101\n\nPart: A-101\nCount: 0.5"
    )


def test_whole_numbers_of_old_workbooks_are_numbers() -> None:
    assert sheets._written(12) == "12"


def test_hours_over_a_day_are_hours() -> None:
    assert sheets._written(timedelta(days=1.5)) == "36:00:00"
    assert sheets._written(timedelta(seconds=61)) == "0:01:01"


def _mail() -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"] = "Pump P-200 stops", "Ann Example <ann@example.com>"
    message["Date"] = "Wed, 01 May 2024 10:00:00 +0000"
    message.set_content("The plain words.")
    message.add_alternative("<p>The <b>shown</b> words – 5 €.</p>", subtype="html")
    message.add_attachment("A;B\n1;2\n", filename="list.csv")
    message.add_attachment(b"no pdf", maintype="application", subtype="pdf", filename="scan.pdf")
    message.add_attachment(b"MZ", maintype="application", subtype="x", filename="run.exe")
    return message


def test_mails_with_what_is_attached() -> None:
    loaded = _read("a.eml", _mail().as_bytes())
    assert loaded.title == "Pump P-200 stops"
    assert "The shown words – 5 €." in loaded.text
    assert "## list.csv\n\n## 1\n\nA: 1\nB: 2" in loaded.text
    assert "plain words" not in loaded.text
    assert "ann@example.com" not in loaded.text
    assert loaded.doubts == ("the attachment scan.pdf was left out: is no readable PDF",)


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n", b"From - Mon Jan  1 2024\r\n"])
def test_what_stands_before_a_header_is_none_of_the_mail(before: bytes) -> None:
    loaded = _read("a.eml", before + b"Subject: Pump\r\n\r\nIt stops.\r\n")
    assert loaded.text == "# Pump\n\nIt stops."


def test_outlook_mails_with_what_is_attached() -> None:
    page = "<meta charset=windows-1252><p>Preis 5 € für <b>alles</b>".encode("cp1252")
    inner = msg_of("Inner", b"<p>The inner words.", {})
    data = msg_of("Pump stops", page, {"list.csv": b"A;B\n1;2\n", "old.msg": inner})
    loaded = _read("a.msg", data)
    assert loaded.title == "Pump stops"
    assert "Preis 5 € für alles" in loaded.text
    assert "## list.csv\n\n## 1\n\nA: 1\nB: 2" in loaded.text
    assert "The inner words." in loaded.text
    assert loaded.doubts == ()


def test_mails_in_mails_end() -> None:
    message = _mail()
    for _ in range(6):
        outer = EmailMessage()
        outer["Subject"] = "Fwd"
        outer.set_content("See below.")
        outer.add_attachment(message)
        message = outer
    loaded = _read("a.eml", message.as_bytes())
    assert any("nested too deeply" in doubt for doubt in loaded.doubts)
    assert loaded.text.count("See below.") >= 3


@pytest.mark.parametrize(
    "name", ["a.docx", "a.odt", "a.rtf", "a.pptx", "a.xlsx", "a.xls", "a.ods", "a.msg", "a.pdf"]
)
@pytest.mark.parametrize("data", [b"", b"PK nor a zip", bytes(600), zip_of({"x": "y"})])
def test_what_is_no_such_file_says_so(name: str, data: bytes) -> None:
    with pytest.raises(errors.KnowledgeError):
        _read(name, data)
