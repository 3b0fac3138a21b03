"""Loaders: every format gives its title, its headings and its text; broken files say so."""

from pathlib import Path

import docx
import pytest

from insights import errors
from insights.documents.filters import FilterType, canonical
from insights.documents.folder import Folder
from insights.documents.registry import load


def _write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_markdown_has_front_matter_and_title(tmp_path: Path) -> None:
    text = "---\nproduct: 'Printer'\n# note\n---\n# Reset the queue\n\nStop it.\n"
    loaded = load(_write(tmp_path, "a.md", text))
    assert loaded.title == "Reset the queue"
    assert loaded.properties == {"product": "Printer"}
    assert loaded.text == "# Reset the queue\n\nStop it.\n"


def test_text_in_windows_1252_with_nul_and_old_newlines(tmp_path: Path) -> None:
    loaded = load(_write(tmp_path, "a.txt", b"Gr\xfc\xdfe\r\nvon \x00hier\r"))
    assert loaded.text == "Grüße\nvon hier\n"
    assert not loaded.is_markdown


def test_html_keeps_headings_and_drops_what_nobody_reads(tmp_path: Path) -> None:
    page = """<html><head><title>Intranet</title><style>p {}</style></head><body>
    <nav><a href=x>Home</a></nav><main><h1>VPN</h1><p>Sign <b>in</b>
    again.</p><!-- hidden --><h2>Token</h2><ul><li>Reset</li><li>Wait</li></ul>
    <table><tr><th>Code</th><td>E12</td></tr></table><script>alert(1)</script></main></body></html>"""
    loaded = load(_write(tmp_path, "a.html", page))
    assert loaded.title == "VPN"
    assert "# VPN\n\nSign in again.\n\n## Token\n\n- Reset\n- Wait" in loaded.text
    assert "Code | E12" in loaded.text
    for gone in ("alert", "Home", "hidden", "p {}"):
        assert gone not in loaded.text


def test_docx_keeps_headings_lists_and_tables(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("Toner", level=1)
    document.add_paragraph("Open the flap.")
    document.add_paragraph("Shake it", style="List Bullet")
    document.add_table(rows=1, cols=2).rows[0].cells[0].text = "E7"
    document.save(str(tmp_path / "a.docx"))
    loaded = load(tmp_path / "a.docx")
    assert loaded.title == "Toner"
    assert loaded.text.startswith("# Toner\n\nOpen the flap.\n\n- Shake it\n\nE7 | ")


def test_pdf(tmp_path: Path) -> None:
    loaded = load(_write(tmp_path, "a.pdf", _pdf("Drum unit E52 is worn out")))
    assert loaded.text.strip() == "Drum unit E52 is worn out"


def test_csv_makes_a_section_of_each_record(tmp_path: Path) -> None:
    text = 'question;answer\n"How; long?";two days\nWho?;\n'
    loaded = load(_write(tmp_path, "a.csv", text))
    assert loaded.text.startswith("## How; long?\n\nquestion: How; long?\nanswer: two days")
    assert "answer:" not in loaded.text.split("## Who?")[1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", b"not a pdf"),
        ("a.docx", b"PK nor a zip"),
        ("a.md", b" \n"),
        ("a.csv", b"only,a,header\n"),
        ("a.xyz", b"what"),
    ],
)
def test_what_cannot_be_used_names_file_and_fix(tmp_path: Path, name: str, content: bytes) -> None:
    path = _write(tmp_path, name, content)
    with pytest.raises(errors.KnowledgeError) as raised:
        load(path)
    assert raised.value.where == str(path)


def test_folder_lists_readable_formats_and_leaves_hidden_files_out(tmp_path: Path) -> None:
    for name in ("b.md", ".git.md", "c.exe", "~$d.docx", "sub/e.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("text")
    assert [uri for uri, _ in Folder(tmp_path).listing()] == ["b.md", "sub/e.txt"]


def test_a_folder_that_is_not_there_is_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.KnowledgeError, match="no such folder"):
        list(Folder(tmp_path / "unmounted").listing())


def test_folder_takes_declared_filters_only(tmp_path: Path) -> None:
    (tmp_path / "a_b.md").write_text("---\nTenant: x\ntenant: 007\nowner: Ann\n---\nHello\n")
    document = Folder(tmp_path, filters={"tenant": "integer"}).load("a_b.md")
    assert document.filters == {"tenant": "7"}
    assert document.title == "a b"


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("text", " Laser PRINTER ", "laser printer"),
        ("integer", "007", "7"),
        ("boolean", "Yes", "true"),
        ("date", "2026-01-05 10:00:00", "2026-01-05"),
    ],
)
def test_filter_values_have_one_form(kind: FilterType, value: str, wanted: str) -> None:
    assert canonical("f", kind, value) == wanted


def test_a_filter_value_of_another_type_is_refused() -> None:
    with pytest.raises(errors.KnowledgeError, match="declared integer"):
        canonical("tenant", "integer", "seven")


def _pdf(text: str) -> bytes:
    """Write the smallest PDF with one line of text."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources 6 0 R >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        "<< /Font << /F1 5 0 R >> >>",
    ]
    out, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    return (
        f"{out}xref\n0 7\n0000000000 65535 f \n{table}"
        f"trailer\n<< /Size 7 /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    ).encode()
