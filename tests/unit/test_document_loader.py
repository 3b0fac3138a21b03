"""One document may crash, hang, fill the memory or lie: it is told by name, the others go on."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from insights import errors
from insights.documents.folder import Folder
from insights.documents.messages import Limits
from tests.mutants import mutants
from tests.papers import docx_of, pdf_of, zip_of

_MIB = 1024**2


@contextmanager
def _folder(root: Path, **limits: float) -> Iterator[Folder]:
    with Folder(root, limits=Limits(**limits)) as documents:  # type: ignore[arg-type]
        yield documents


def _refused(documents: Folder, uri: str) -> str:
    with pytest.raises(errors.KnowledgeError) as raised:
        documents.load(uri)
    assert raised.value.where.endswith(uri)
    return raised.value.what


def _is_alive(documents: Folder, root: Path) -> None:
    (root / "good.md").write_text("# Good\n\nStill read.\n")
    assert documents.load("good.md").title == "Good"


def test_a_document_is_read_in_a_child(tmp_path: Path) -> None:
    (tmp_path / "a_b.md").write_text("Hello\n")
    with _folder(tmp_path) as documents:
        assert documents.loader.pid is None
        assert documents.load("a_b.md").title == "a b"
        assert documents.loader.pid not in (None, os.getpid())
    assert documents.loader.pid is None


def test_a_stream_that_unpacks_to_70_megabytes_ends_within_its_time(tmp_path: Path) -> None:
    stream = b"BT /F1 12 Tf (x) Tj ET\n" * (70 * _MIB // 23)
    (tmp_path / "bomb.pdf").write_bytes(pdf_of(stream))
    with _folder(tmp_path, cpu_s=2, memory_bytes=700 * _MIB) as documents:
        what = _refused(documents, "bomb.pdf")
        assert any(word in what for word in ("processor time", "memory", "crash", "characters"))
        _is_alive(documents, tmp_path)


def test_many_pages_of_one_long_stream_end_within_their_time(tmp_path: Path) -> None:
    stream = b"BT /F1 12 Tf (word) Tj ET\n" * 100_000
    (tmp_path / "bomb.pdf").write_bytes(pdf_of(stream, pages=200))
    with _folder(tmp_path, cpu_s=2) as documents:
        assert "2 seconds of processor time" in _refused(documents, "bomb.pdf")
        _is_alive(documents, tmp_path)


def test_a_package_that_unpacks_to_more_than_it_may_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "bomb.docx").write_bytes(zip_of({"word/document.xml": " " * 64 * _MIB}))
    with _folder(tmp_path, expanded_bytes=32 * _MIB) as documents:
        assert "unpacks to 64 MiB" in _refused(documents, "bomb.docx")


def test_a_package_that_lies_about_its_size_is_unpacked_no_further(tmp_path: Path) -> None:
    data = bytearray(zip_of({"word/document.xml": " " * 64 * _MIB}))
    at = data.find(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 1_000)
    (tmp_path / "bomb.docx").write_bytes(bytes(data))
    with _folder(tmp_path, expanded_bytes=32 * _MIB, memory_bytes=300 * _MIB) as documents:
        assert "damaged" in _refused(documents, "bomb.docx")


def test_what_needs_more_memory_than_it_may_have_is_told(tmp_path: Path) -> None:
    row = "<w:p><w:r><w:t>x</w:t></w:r></w:p>"
    (tmp_path / "wide.docx").write_bytes(docx_of(row * 600_000))
    with _folder(tmp_path, memory_bytes=400 * _MIB) as documents:
        assert "400 MiB of memory" in _refused(documents, "wide.docx")
        _is_alive(documents, tmp_path)


@pytest.mark.parametrize("tag", ["div", "table><tr><td", "ul><li", "b"])
def test_nesting_without_end_does_not_hang_or_escape(tmp_path: Path, tag: str) -> None:
    opened = f"<{tag}>" * 50_000
    (tmp_path / "deep.html").write_text(f"<html><body>{opened}deep down")
    with _folder(tmp_path, cpu_s=10) as documents:
        try:
            assert "deep down" in documents.load("deep.html").text
        except errors.KnowledgeError as exc:
            assert exc.where.endswith("deep.html")  # noqa: PT017 - both are good answers
        _is_alive(documents, tmp_path)


def test_a_ring_of_styles_ends(tmp_path: Path) -> None:
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="s{at}"><w:name w:val="s{at}"/>'
        f'<w:basedOn w:val="s{(at + 1) % 2_000}"/></w:style>'
        for at in range(2_000)
    )
    paragraph = '<w:p><w:pPr><w:pStyle w:val="s7"/></w:pPr><w:r><w:t>word</w:t></w:r></w:p>'
    numbering = (
        '<w:abstractNum w:abstractNumId="0"/>'
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    )
    document = docx_of(paragraph * 500, styles=styles, numbering=numbering)
    (tmp_path / "ring.docx").write_bytes(document)
    with _folder(tmp_path, cpu_s=20) as documents:
        assert documents.load("ring.docx").text.count("word") == 500


def test_parts_of_a_mail_within_each_other_end(tmp_path: Path) -> None:
    mail = b"Content-Type: text/plain\r\n\r\ntold\r\n"
    for at in range(400):
        head = f'Content-Type: multipart/alternative; boundary="b{at}"\r\n\r\n--b{at}\r\n'.encode()
        mail = head + mail + f"--b{at}--\r\n".encode()
    (tmp_path / "deep.eml").write_bytes(b"Subject: Pump\r\n" + mail)
    with _folder(tmp_path, cpu_s=20) as documents:
        assert "nested too deeply" in _refused(documents, "deep.eml")
        _is_alive(documents, tmp_path)


def test_a_wide_page_is_read(tmp_path: Path) -> None:
    (tmp_path / "wide.html").write_text("<table><tr>" + "<td>x</td>" * 100_000)
    with _folder(tmp_path) as documents:
        assert documents.load("wide.html").text.count("x") == 100_000


def test_a_document_nested_too_deeply_for_its_library_is_told(tmp_path: Path) -> None:
    deep = "<w:sdt><w:sdtContent>" * 3_000 + "<w:p/>" + "</w:sdtContent></w:sdt>" * 3_000
    (tmp_path / "deep.docx").write_bytes(docx_of(deep))
    with _folder(tmp_path) as documents:
        assert "nested too deeply" in _refused(documents, "deep.docx")
        _is_alive(documents, tmp_path)


def test_locked_files_say_so(tmp_path: Path) -> None:
    ole = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)
    (tmp_path / "a.docx").write_bytes(ole + "EncryptedPackage".encode("utf-16-le"))
    (tmp_path / "b.docx").write_bytes(ole)
    package = bytearray(docx_of("<w:p/>"))
    at = package.find(b"PK\x01\x02")
    while at >= 0:  # the flag "encrypted" of each entry of the directory
        package[at + 8] |= 1
        at = package.find(b"PK\x01\x02", at + 1)
    (tmp_path / "c.docx").write_bytes(bytes(package))
    with _folder(tmp_path) as documents:
        assert _refused(documents, "a.docx") == "is encrypted"
        assert "of the old format" in _refused(documents, "b.docx")
        assert _refused(documents, "c.docx") == "is encrypted"


def test_a_file_larger_than_it_may_be_is_not_even_hashed(tmp_path: Path) -> None:
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(50 * 1024 * _MIB)  # sparse
    with _folder(tmp_path) as documents:
        ((uri, content),) = documents.listing()
        assert (uri, len(content)) == ("huge.csv", 16)
        assert "larger than 128 MiB" in _refused(documents, "huge.csv")


def test_a_refused_file_is_not_tried_again_until_it_changes(tmp_path: Path) -> None:
    now = [0.0]
    (tmp_path / "a.pdf").write_bytes(b"no pdf")
    with Folder(tmp_path, clock=lambda: now[0]) as documents:
        list(documents.listing())
        what = _refused(documents, "a.pdf")
        documents.loader.close()
        assert _refused(documents, "a.pdf") == what
        assert documents.loader.pid is None  # nobody was asked
        now[0] += 24 * 3600
        _refused(documents, "a.pdf")
        assert documents.loader.pid is not None
        (tmp_path / "a.pdf").write_bytes(pdf_of(b"BT /F1 12 Tf 72 700 Td (Good now) Tj ET"))
        list(documents.listing())
        assert documents.load("a.pdf").text.strip() == "Good now"


def test_a_loader_that_does_not_start_is_no_documents_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    (tmp_path / "a.md").write_text("text")
    with _folder(tmp_path) as documents, pytest.raises(errors.WorkerDied):
        documents.load("a.md")


def test_damaged_files_are_loaded_or_told(tmp_path: Path) -> None:
    for name, data in mutants(seed=7, count=300):
        (tmp_path / name).write_bytes(data)
    outcomes = {"loaded": 0, "told": 0}
    with _folder(tmp_path, cpu_s=5, memory_bytes=700 * _MIB, wall_s=60) as documents:
        for uri, _ in documents.listing():
            try:
                documents.load(uri)
            except errors.KnowledgeError as exc:
                assert exc.where == str(tmp_path / uri)  # noqa: PT017 - both are good answers
                outcomes["told"] += 1
            else:
                outcomes["loaded"] += 1
        assert sum(outcomes.values()) == 300
        assert min(outcomes.values()) > 30
        _is_alive(documents, tmp_path)
