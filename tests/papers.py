"""Small files of many formats, made where a test needs them."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_NAMESPACES = (
    f'xmlns:w="{_W}" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    ' xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
    ' xmlns:v="urn:schemas-microsoft-com:vml"'
    ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)
_KINDS = "application/vnd.openxmlformats-officedocument.wordprocessingml."
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/"
_RELATIONS = 'ContentType="application/vnd.openxmlformats-package.relationships+xml"'
_LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"


def docx_of(body: str, **parts: str) -> bytes:
    """Write a Word document of this body; `parts` are others by name, such as `header1`, `styles`.

    Each part is the inside of its root element.
    """
    roots = {"header": "hdr", "footer": "ftr"}
    kinds = {name: name.rstrip("0123456789") for name in parts}
    types = "".join(
        f'<Override PartName="/word/{name}.xml" ContentType="{_KINDS}{kind}+xml"/>'
        for name, kind in kinds.items()
    )
    links = "".join(
        f'<Relationship Id="r{number}" Type="{_LINKS}{kind}" Target="{name}.xml"/>'
        for number, (name, kind) in enumerate(kinds.items())
    )
    files = {
        "[Content_Types].xml": (
            f'<Types xmlns="{_PACKAGE}content-types"><Default Extension="rels" {_RELATIONS}/>'
            '<Override PartName="/word/document.xml"'
            f' ContentType="{_KINDS}document.main+xml"/>{types}</Types>'
        ),
        "_rels/.rels": _relationships(
            f'<Relationship Id="r1" Type="{_LINKS}officeDocument" Target="word/document.xml"/>'
        ),
        "word/_rels/document.xml.rels": _relationships(links),
        "word/document.xml": f"<w:document {_NAMESPACES}><w:body>{body}</w:body></w:document>",
    }
    for name, kind in kinds.items():
        root = roots.get(kind, kind)
        files[f"word/{name}.xml"] = f"<w:{root} {_NAMESPACES}>{parts[name]}</w:{root}>"
    return zip_of(files)


def _relationships(inside: str) -> str:
    return (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f"{inside}</Relationships>"
    )


def zip_of(files: dict[str, str]) -> bytes:
    """Write a package of these parts."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in files.items():
            package.writestr(name, text)
    return made.getvalue()


def pdf_of(
    *streams: bytes, pages: int = 0, extra: str = "", objects: tuple[str, ...] = (), page: str = ""
) -> bytes:
    """Write a PDF with one page a content stream, or `pages` pages of the first one.

    Args:
        streams: Content streams; the font is /F1.
        pages: How many pages share the first stream.
        extra: More entries of the catalog.
        objects: More objects, numbered from 10,000 on.
        page: More entries of every page.
    """
    count = pages or len(streams)
    bodies: dict[int, bytes] = {
        1: f"<< /Type /Catalog /Pages 2 0 R {extra} >>".encode(),
        2: (
            f"<< /Type /Pages /Count {count} /Kids ["
            + " ".join(f"{100 + number} 0 R" for number in range(count))
            + "] >>"
        ).encode(),
        3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    }
    for number, stream in enumerate(streams):
        packed = zlib.compress(stream, 9)
        head = f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode()
        bodies[4 + number] = head + packed + b"\nendstream"
    for number in range(count):
        content = 4 if pages else 4 + number
        bodies[100 + number] = (
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font <<"
            f" /F1 3 0 R >> >> /Contents {content} 0 R {page} >>"
        ).encode()
    for number, text in enumerate(objects):
        bodies[10_000 + number] = text.encode()
    out, offsets = b"%PDF-1.7\n", {}
    for number, body in sorted(bodies.items()):
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"xref\n0 1\n0000000000 65535 f \n"
    for number, offset in offsets.items():
        table += b"%d 1\n%010d 00000 n \n" % (number, offset)
    end = f"trailer\n<< /Size {max(bodies) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + table + end.encode()


def reader_form_of(*parts: tuple[str, str]) -> bytes:
    """Write a form whose page asks for Adobe Reader, with these parts (XFA)."""
    entries = " ".join(f"({name}) {10_001 + at} 0 R" for at, (name, _) in enumerate(parts))
    streams = (f"<< /Length {len(text)} >>\nstream\n{text}\nendstream" for _, text in parts)
    return pdf_of(
        b"BT /F1 12 Tf 72 720 Td (Please wait...) Tj ET",
        extra="/AcroForm 10000 0 R /NeedsRendering true",
        objects=(f"<< /Fields [] /XFA [{entries}] >>", *streams),
    )


def xlsx_of(sheets: Mapping[str, Sequence[Sequence[str | float]]]) -> bytes:
    """Write a workbook of these sheets."""
    return workbook_of(
        {
            name: "<sheetData>"
            + "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
            + "</sheetData>"
            for name, rows in sheets.items()
        }
    )


def workbook_of(sheets: Mapping[str, str], styles: str = "") -> bytes:
    """Write a workbook of these sheets, each of which is the inside of its root element."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    names = list(sheets)
    listed = "".join(
        f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>'
        for number, name in enumerate(names, 1)
    )
    links = "".join(
        f'<Relationship Id="r{number}" Type="{_LINKS}worksheet" Target="worksheets/s{number}.xml"/>'
        for number in range(1, len(names) + 1)
    )
    files = {
        "[Content_Types].xml": (
            f'<Types xmlns="{_PACKAGE}content-types"><Default Extension="rels" {_RELATIONS}/>'
            '<Default Extension="xml" ContentType="application/xml"/></Types>'
        ),
        "_rels/.rels": _relationships(
            f'<Relationship Id="r1" Type="{_LINKS}officeDocument" Target="xl/workbook.xml"/>'
        ),
        "xl/workbook.xml": (
            f'<workbook xmlns="{main}" xmlns:r="{_LINKS.rstrip("/")}">'
            f"<sheets>{listed}</sheets></workbook>"
        ),
        "xl/_rels/workbook.xml.rels": _relationships(links),
    }
    if styles:
        files["xl/styles.xml"] = f'<styleSheet xmlns="{main}">{styles}</styleSheet>'
    for number, name in enumerate(names, 1):
        files[f"xl/worksheets/s{number}.xml"] = (
            f'<worksheet xmlns="{main}">{sheets[name]}</worksheet>'
        )
    return zip_of(files)


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
    return f"<c><v>{value}</v></c>"


def old_workbook_of(
    names: Sequence[str], cells: Sequence[tuple[float, int]], formats: Sequence[str | int]
) -> bytes:
    """Write a workbook of Excel 97 ([MS-XLS]): a line of names, one of numbers below.

    Args:
        names: Of the columns.
        cells: A number and which of the formats it has. Two and more whole ones stand in one
            record, as Excel writes them; a single one in one of its own.
        formats: Codes, or the numbers of built-in ones.
    """

    def record(kind: int, body: bytes) -> bytes:
        return struct.pack("<HH", kind, len(body)) + body

    def begun(kind: int) -> bytes:
        return record(0x809, struct.pack("<HHHHII", 0x600, kind, 0xDBB, 0x7CC, 0x41, 6))

    book, numbers = begun(5), []
    for at, form in enumerate(formats, 164):
        numbers.append(form if isinstance(form, int) else at)
        if isinstance(form, str):
            head = struct.pack("<HHB", at, len(form), 1)
            book += record(0x41E, head + form.encode("utf-16-le"))
    book += b"".join(record(0xE0, struct.pack("<HH", 0, number) + bytes(16)) for number in numbers)
    sheet = begun(0x10) + record(0x200, struct.pack("<IIHHH", 0, 2, 0, len(names), 0))
    for at, name in enumerate(names):
        label = struct.pack("<HHHHB", 0, at, 0, len(name), 0)
        sheet += record(0x204, label + name.encode("latin-1"))
    whole = b""
    for at, (number, style) in enumerate(cells):
        if number.is_integer():  # as 30 bits
            whole += struct.pack("<HI", style, (int(number) << 2 | 2) & 0xFFFFFFFF)
            if at + 1 < len(cells) and cells[at + 1][0].is_integer():
                continue
            first = at + 1 - len(whole) // 6
            many = struct.pack("<HH", 1, first) + whole + struct.pack("<H", at)
            single = struct.pack("<HH", 1, at) + whole
            sheet += record(0xBD, many) if first < at else record(0x27E, single)
            whole = b""
        else:
            sheet += record(0x203, struct.pack("<HHHd", 1, at, style, number))
    listed = struct.pack("<BBBB", 0, 0, len(b"Stock"), 0) + b"Stock"
    begin = len(book) + 4 + 4 + len(listed) + 4
    book += record(0x85, struct.pack("<I", begin) + listed) + record(0x0A, b"")
    return _compound({"Workbook": book + sheet + record(0x0A, b"")})


def msg_of(subject: str, html: bytes, attached: Mapping[str, bytes]) -> bytes:
    """Write an Outlook mail ([MS-OXMSG] in a compound file)."""
    streams: dict[str, bytes] = _properties(
        32, {(0x0037, 0x001F): subject.encode("utf-16-le"), (0x1013, 0x0102): html}
    )
    for number, (name, data) in enumerate(attached.items()):
        inner = {(0x3707, 0x001F): name.encode("utf-16-le"), (0x3701, 0x0102): data}
        for stream, content in _properties(8, inner).items():
            streams[f"__attach_version1.0_#{number:08}/{stream}"] = content
    return _compound(streams)


def _properties(header: int, values: dict[tuple[int, int], bytes]) -> dict[str, bytes]:
    listed = bytes(header)
    streams = {}
    for (identity, kind), value in values.items():
        listed += struct.pack("<HHIII", kind, identity, 6, len(value), 0)
        streams[f"__substg1.0_{identity:04X}{kind:04X}"] = value
    return {"__properties_version1.0": listed, **streams}


def _compound(streams: dict[str, bytes]) -> bytes:
    """Write a compound file ([MS-CFB]), its names chained to the right."""
    tree: dict[str, list[str]] = {"": []}
    for path in streams:
        folder, _, _ = path.rpartition("/")
        if folder not in tree:
            tree[folder] = []
            tree[""].append(folder)
        tree[folder].append(path)
    order = ["", *tree[""], *(path for folder in tree if folder for path in tree[folder])]
    large, small = _Sectors(512), _Sectors(64)
    starts = {
        path: (large if len(data) >= 4096 else small).add(data) for path, data in streams.items()
    }
    starts[""] = large.add(small.body)
    small_table = large.add(struct.pack(f"<{len(small.table)}I", *small.table), b"\xff")
    entries = b""
    for path in order:
        siblings = next((names for names in tree.values() if path in names), [path])
        at = siblings.index(path)
        right = order.index(siblings[at + 1]) if at + 1 < len(siblings) else _FREE
        child = order.index(tree[path][0]) if path in tree else _FREE
        name = (path.rpartition("/")[2] or "Root Entry").encode("utf-16-le") + b"\0\0"
        kind = 5 if not path else 1 if path in tree else 2
        size = len(small.body) if not path else len(streams.get(path, b""))
        entries += name.ljust(64, b"\0") + struct.pack("<HBB", len(name), kind, 1)
        entries += struct.pack("<III", _FREE, right, child) + bytes(36)
        entries += struct.pack("<IQ", starts.get(path, _END), size)
    directory = large.add(entries)
    fat = len(large.table)
    table = struct.pack(f"<{fat + 1}I", *large.table, 0xFFFFFFFD).ljust(512, b"\xff")
    head = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH", 62, 3, 65534, 9, 6)
    small_sectors = -(-len(small.table) * 4 // 512)
    head += bytes(6) + struct.pack("<IIII", 0, 1, directory, 0)
    head += struct.pack("<IIIIII", 4096, small_table, small_sectors, _END, 0, fat)
    return head + b"\xff" * 432 + large.body + table


_END, _FREE = 0xFFFFFFFE, 0xFFFFFFFF


class _Sectors:
    """Sectors of one size, and the table that chains them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.body = b""
        self.table: list[int] = []

    def add(self, data: bytes, padding: bytes = b"\0") -> int:
        """Append a stream and return its first sector."""
        start, count = len(self.table), -(-len(data) // self._size)
        self.table += [*range(start + 1, start + count), _END]
        self.body += data.ljust(count * self._size, padding)
        return start
