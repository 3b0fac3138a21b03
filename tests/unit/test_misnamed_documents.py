"""Files whose name says another format than their content, and files within files."""

import base64
import html
import io
import struct
import zipfile

import pytest

from insights import errors
from insights.documents.messages import Limits, Loaded
from insights.documents.registry import read
from tests.papers import docx_of, msg_of, pdf_of, xlsx_of

TABLE = "<html><meta charset='utf-8'><table><tr><th>Nr<th>Text<tr><td>7<td>Größe</table>"
SHEET_2003 = """<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>
<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"
 xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"
 xmlns:x="urn:schemas-microsoft-com:office:excel">
<Worksheet ss:Name="S"><Table>
<Row><Cell><Data ss:Type="String">Nr</Data></Cell><Cell><Data ss:Type="String">Gap</Data></Cell>
<Cell><Data ss:Type="String">Text</Data></Cell></Row>
<Row><Cell><Data ss:Type="Number">7</Data></Cell>
<Cell ss:Index="3"><Data ss:Type="String">Größe</Data></Cell></Row>
</Table></Worksheet>
<Worksheet ss:Name="H"><Table><Row><Cell><Data ss:Type="String">unseen</Data></Cell></Row></Table>
<x:WorksheetOptions><x:Visible>SheetHidden</x:Visible></x:WorksheetOptions></Worksheet>
</Workbook>"""
ARCHIVE = (
    b'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="b"\r\nSubject: Wiki\r\n\r\n'
    b'--b\r\nContent-Type: text/html; charset="UTF-8"\r\n'
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"<html><body><h1>Reset</h1><p>7 Gr=C3=B6=\r\n=C3=9Fe</p></body></html>\r\n--b--\r\n"
)
RICH = rb"{\rtf1\ansi\ansicpg1252 7 Gr\'f6\'dfe\par}"
PAGE = pdf_of(b"BT /F1 12 Tf 72 700 Td (7 Gr\xf6\xdfe) Tj ET")
BOOK = xlsx_of({"S": [["Nr", "Text"], [7, "Größe"]]})
OLD = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600) + "WordDocument".encode("utf-16-le")


def _read(name: str, data: bytes | str) -> Loaded:
    return read(name, data if isinstance(data, bytes) else data.encode(), Limits())


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("export.xls", TABLE),
        ("export.xlsx", TABLE.replace("<html>", "")),
        ("export.xls", "Nr\tText\n7\tGröße\n8\tb\n".encode("cp1252")),
        ("export.xls", "Nr\tText\r\n7\tGröße\r\n".encode("utf-16")),
        ("export.xls", SHEET_2003),
        ("export.xls", BOOK),
        ("list.csv", BOOK),
        ("page.doc", TABLE),
        ("page.doc", ARCHIVE),
        ("page.mht", ARCHIVE),
        ("letter.doc", RICH),
        ("letter.docx", RICH),
        ("letter.docx", TABLE),
        ("letter.doc", docx_of("<w:p><w:r><w:t>7 Größe</w:t></w:r></w:p>")),
        ("notes.txt", RICH),
        ("notes.txt", PAGE),
        ("mail.msg", b"Subject: 7\r\nFrom: a@b\r\n\r\nGr\xc3\xb6\xc3\x9fe\r\n"),
        ("mail.txt", msg_of("7", "<p>Größe".encode(), {})),
    ],
)
def test_a_file_is_read_by_what_it_is(name: str, data: bytes | str) -> None:
    text = _read(name, data).text
    assert "7" in text
    assert "Größe" in text
    assert "rtf1" not in text
    assert "unseen" not in text


def test_cells_of_excels_xml_stand_where_they_say() -> None:
    assert _read("export.xls", SHEET_2003).text == (
        "# S\n\nWithout values: Gap\n\n## 7\n\nNr: 7\nText: Größe"
    )


@pytest.mark.parametrize(
    ("name", "data", "fix"),
    [
        (
            "old.doc",
            OLD,
            "save it again as .docx",
        ),
        ("broken.doc", b"\x00\x01\x02", "save it again as .docx"),
        ("text.xlsx", b"a word", "save it again as .xlsx"),
    ],
)
def test_what_cannot_be_read_by_its_content_either_says_so(
    name: str, data: bytes, fix: str
) -> None:
    with pytest.raises(errors.KnowledgeError) as caught:
        _read(name, data)
    assert caught.value.fix == fix


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.txt", "<html> is the first tag of a page\n"), ("a.md", "Subject: a\nFrom: b\n\ntext\n")],
)
def test_a_text_that_speaks_of_another_format_stays_a_text(name: str, text: str) -> None:
    assert _read(name, text).text.strip() == text.strip()


def _packed(document: bytes, name: str, chunk: bytes) -> bytes:
    """Put a file into a Word document as a chunk."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(document)) as old, zipfile.ZipFile(made, "w") as new:
        for part in old.namelist():
            data = old.read(part)
            if part.endswith("document.xml.rels"):
                link = f'<Relationship Id="c" Type="…/aFChunk" Target="{name}"/></Relationships>'
                data = data.replace(b"</Relationships>", link.encode())
            new.writestr(part, data)
        new.writestr(f"word/{name}", chunk)
    return made.getvalue()


def test_files_within_a_word_document_stand_in_their_place() -> None:
    def _said(text: str) -> str:
        return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"

    whole = docx_of(_said("Before.") + '<w:altChunk r:id="c"/>' + _said("After."))
    page = _packed(whole, "c.html", b"<html><p>Within.<p>And more.</html>")
    assert _read("a.docx", page).text == "Before.\n\nWithin.\n\nAnd more.\n\nAfter."
    damaged = _read("a.docx", _packed(whole, "c.rtf", b"\x00"))
    assert damaged.text == "Before.\n\nAfter."
    assert "c.rtf within it was left out" in damaged.doubts[0]


def test_a_ticked_box_is_told_from_an_empty_one() -> None:
    def _box(ticked: str) -> str:
        return (
            "<w:p><w:sdt><w:sdtPr><w14:checkbox xmlns:w14="
            '"http://schemas.microsoft.com/office/word/2010/wordml">'
            f'<w14:checked w14:val="{ticked}"/></w14:checkbox></w:sdtPr><w:sdtContent><w:r>'
            "<w:t>x</w:t></w:r></w:sdtContent></w:sdt><w:r><w:t> Power off</w:t></w:r></w:p>"
        )

    assert _read("a.docx", docx_of(_box("1") + _box("0"))).text == "☒ Power off\n\n☐ Power off"
    page = "<p><input type=checkbox checked> On <input type=radio> Off <input type=hidden value=z>"
    assert _read("a.html", page).text == "☒ On ○ Off"


def test_a_frame_that_a_page_holds_is_shown() -> None:
    page = "<p>out<iframe srcdoc='&lt;p&gt;within&lt;script&gt;x()&lt;/script&gt;'></iframe><p>end"
    assert _read("a.html", page).text == "out\n\nwithin\n\nend"


def test_frames_within_frames_are_shown_and_none_is_cut_in_silence() -> None:
    page = "<p>end"
    for number in range(5):
        page = f'<p>{number}<iframe srcdoc="{html.escape(page)}"></iframe>'
    assert _read("a.html", page).text.split() == ["4", "3", "2", "1", "0", "end"]
    deep = html.escape("<ul><li>" * 2_000 + "words")
    with pytest.raises((errors.KnowledgeError, RecursionError)):
        _read("a.html", f'<p>out<iframe srcdoc="{deep}"></iframe>')


def _winmail(*files: tuple[str, bytes]) -> bytes:
    def _attribute(number: int, data: bytes, level: int = 2) -> bytes:
        head = struct.pack("<BII", level, number, len(data))
        return head + data + struct.pack("<H", sum(data) & 0xFFFF)

    made = struct.pack("<IH", 0x223E9F78, 1) + _attribute(0x0002800C, b"The text.\0", 1)
    for name, data in files:
        long = name.encode("utf-16-le") + b"\0\0"
        more = struct.pack("<IHHII", 1, 0x001F, 0x3707, 1, len(long)) + long
        made += _attribute(0x00069002, bytes(14)) + _attribute(0x00018010, b"SHORT~1.TXT\0")
        made += _attribute(0x0006800F, data) + _attribute(0x00069005, more)
    return made


def _with_winmail(text: str, attached: bytes) -> bytes:
    packed = base64.encodebytes(attached).decode()
    return (
        "Subject: Pump\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        f"--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--b\r\n"
        "Content-Type: application/ms-tnef; name=winmail.dat\r\n"
        f"Content-Transfer-Encoding: base64\r\n\r\n{packed}--b--\r\n"
    ).encode()


def test_files_in_a_winmail_are_attachments() -> None:
    files = _winmail(("Größe.txt", b"First words."), ("list.csv", b"A;B\n1;2\n"))
    said = _read("a.eml", _with_winmail("The text.", files)).text
    assert said.count("The text.") == 1
    assert "## Größe.txt\n\nFirst words." in said
    assert "## list.csv\n\n## 1\n\nA: 1\nB: 2" in said
    assert "The text." in _read("a.eml", _with_winmail("", files)).text
    for end in range(0, len(files), 7):  # cut anywhere, it gives what is whole
        _read("a.eml", _with_winmail("The text.", files[:end]))
