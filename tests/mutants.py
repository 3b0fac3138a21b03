"""Damaged files: good ones with bytes changed, cut, doubled or put in, inside packages too."""

import io
import random
import re
import zipfile
from collections.abc import Iterator
from email.message import EmailMessage

from tests.papers import docx_of, old_workbook_of, pdf_of, reader_form_of, xlsx_of, zip_of

_PUT_IN = (
    b"\x00", b"\xff\xfe", b"%PDF", b"<", b"</", b"&#", b"<!--", b"<![CDATA[", b'"', b"\n" * 9,
    b"endstream", b"999999999999", b"-1", b"<table>" * 50, b"[" * 99, b"(" * 99, b"{" * 99, b"\xf0",
    b"obj", b"<<" * 50, b"/Kids [1 0 R]", b"stream", b"PK\x03\x04", b";" * 500, b"'", b"e9999",
)  # fmt: skip


def originals() -> dict[str, bytes]:
    """Return a good file of each format, by suffix."""
    paragraph = "<w:p><w:r><w:t>Turn the valve</w:t></w:r></w:p>"
    cell = f"<w:tc>{paragraph}</w:tc>"
    mail = EmailMessage()
    mail["Subject"] = "Pump stops"
    mail.set_content("Plain words.")
    mail.add_alternative("<p>Shown words.", subtype="html")
    mail.add_attachment("A;B\n1;2\n", filename="list.csv")
    lines = b"".join(
        b"BT /F1 12 Tf 72 %d Td (Line %d of the confi-) Tj ET\n" % (700 - 20 * number, number)
        for number in range(20)
    )
    form = (
        "<< /Fields [10001 0 R] >>",
        "<< /Type /Annot /Subtype /Widget /FT /Tx /T (serial) /V (PX) /Rect [7 6 20 20] >>",
    )
    return {
        "pdf": pdf_of(
            lines, lines, objects=form, extra="/AcroForm 10000 0 R", page="/Annots [10001 0 R]"
        ),
        "docx": docx_of(
            f"{paragraph * 5}<w:tbl><w:tr>{cell * 3}</w:tr></w:tbl>", header1=paragraph
        ),
        "html": b"<html><title>Pump</title><body><h1>Pump</h1><table><tr><td>E7<td>Empty"
        b"</table><ul><li>one<li>two</ul><pre>a  b</pre><select><option>de</select><input>",
        "csv": b'Article;Name;Price\nA-100;"Toner, ""X""";89,90\nA-101;Drum;149,00\n' * 5,
        "xlsx": xlsx_of({"Stock": [["Part", "Count"], ["A-100", 12], ["A-101", 0.5]]}),
        "odt": zip_of({"content.xml": "<a><body><h>Pump</h><p>Turn <s/>it</p></body></a>"}),
        "eml": mail.as_bytes(),
        "rtf": rb"{\rtf1\ansi{\fonttbl{\f0 Arial;}}Gr\'f6\u1046?\par{\b bold}\par}",
        "md": b"---\ntitle: Pump\ntags: [a, b]\n---\n# Pump\n\nText.\n",
        "txt": "Gerät läuft nicht".encode("cp1252"),
        "xls": old_workbook_of(
            ["Share", "Part"], [(0.125, 1), (4711.0, 2), (12.0, 0)], ["General", "0.0%", "00000"]
        ),
        "xfa.pdf": reader_form_of(
            ("template", "<t><field name='part'><value><text>A-1</text></value></field></t>"),
            ("datasets", "<d><data><part>A-2</part></data></d>"),
        ),
        "ics": b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Service\nDTSTART;TZID=Europe/Berlin:2026"
        b"1201T080000\nDESCRIPTION:Pump\\, hall\n  3\nEND:VEVENT\nEND:VCALENDAR\n",
        "mht": b"MIME-Version: 1.0\nContent-Type: multipart/related; boundary=b\n\n--b\n"
        b"Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n"
        b"<p>Page =E4=\n</p>\n--b--\n",
    }


def mutants(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield damaged files by name, as many as asked for and always the same."""
    chance = random.Random(seed)
    good = originals()
    suffixes = sorted(good)
    for number in range(count):
        suffix = suffixes[number % len(suffixes)]
        yield f"{number:05}.{suffix}", _mutant(good[suffix], chance)


def _mutant(data: bytes, chance: random.Random) -> bytes:
    if data.startswith(b"PK") and chance.random() < 0.7:
        return _inside(data, chance)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        data = _changed(data, chance)
    return data


def _inside(data: bytes, chance: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    name = chance.choice(sorted(parts))
    for _ in range(chance.choice((1, 2, 5))):
        parts[name] = _changed(parts[name], chance)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as package:
        for part, content in parts.items():
            package.writestr(part, content)
    return made.getvalue()


def _changed(data: bytes, chance: random.Random) -> bytes:  # noqa: PLR0911 - one a change
    if not data:
        return b"\x00"
    at = chance.randrange(len(data))
    match chance.randrange(6):
        case 0:
            return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
        case 1:
            return data[:at] + chance.choice(_PUT_IN) + data[at:]
        case 2:
            return data[:at] + data[at + chance.randrange(1, 40) :]
        case 3:
            return data[: max(at, 1)]
        case 4:
            piece = data[at : at + chance.randrange(1, 200)]
            return data[:at] + piece * chance.randrange(1, 50) + data[at:]
        case _:
            numbers = list(re.finditer(rb"\d+", data))
            if not numbers:
                return data[::-1]
            one = chance.choice(numbers)
            value = chance.choice((b"0", b"-1", b"4294967295", b"99999999999999999999", b"7"))
            return data[: one.start()] + value + data[one.end() :]
