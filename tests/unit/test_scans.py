"""Pages that are pictures: recognised one at a time, in their place, redacted, and gone on with."""

import io
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pypdfium2
import pytest

from insights import errors
from insights.documents import client, registry
from insights.documents.client import LoaderClient
from insights.documents.folder import Folder
from insights.documents.formats import pdf
from insights.documents.messages import (
    Limits,
    Loaded,
    LoadReply,
    LoadRequest,
    PageRequest,
    limits,
    scan_mark,
)
from insights.documents.registry import read
from insights.model import Redaction
from insights.site import files as settings_files
from insights.wiring import knowledge
from insights.wiring.app import App  # noqa: TC001 - named in a cast only

_LINES = (
    "Maintenance report, pump P-200, hall 3.",
    "The mechanical seal was worn after 2,140 hours.",
    "Replace it before 3,000 hours; torque 45 Nm.",
    "Report to ann.berg@example.com in writing.",
    "Next inspection on 14 March 2027 by the shift leader.",
)


def _picture(lines: tuple[str, ...]) -> PIL.Image.Image:
    made = PIL.Image.new("L", (1300, 120 + 80 * len(lines)), "white")
    drawing = PIL.ImageDraw.Draw(made)
    for number, line in enumerate(lines):
        drawing.text((60, 60 + 80 * number), line, 0, font=PIL.ImageFont.load_default(36))
    return made


def _scan(*pages: tuple[str, ...]) -> bytes:
    pictures = [_picture(page) for page in pages]
    made = io.BytesIO()
    pictures[0].save(made, "PDF", resolution=150, save_all=True, append_images=pictures[1:])
    return made.getvalue()


def test_letters_are_recognised_in_the_child_and_redacted_there() -> None:
    told: list[None] = []
    data = _scan(_LINES)
    with closing(LoaderClient(None, limits(3), redaction=Redaction())) as loader:
        loaded = loader.load(LoadRequest("scan.pdf", data), lambda: told.append(None))
        assert loader.held().can == ()
    wanted = " ".join(_LINES).replace("ann.berg@example.com", "<EMAIL_1>").split()
    kept = sum(word in loaded.text.split() for word in wanted)
    assert kept / len(wanted) >= 0.95, loaded.text
    assert len(loaded.text.split()) <= 1.03 * len(wanted)
    assert loaded.redactions == {"email": 1}
    assert "ann.berg" not in loaded.text
    assert loaded.doubts == ("1 of its pages were read by character recognition",)
    assert len(told) == 1


def test_pictures_are_read_where_letters_are_recognised_and_are_no_documents_else(
    tmp_path: Path,
) -> None:
    turned, frames, exif = io.BytesIO(), io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = 3  # upside down, says the camera
    _picture(_LINES[:2]).rotate(180).save(turned, "JPEG", exif=exif)
    _picture(_LINES[:1]).save(frames, "TIFF", save_all=True, append_images=[_picture(_LINES[2:3])])
    (tmp_path / "photo.jpg").write_bytes(turned.getvalue())
    (tmp_path / "fax.tif").write_bytes(frames.getvalue())
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with closing(Folder(tmp_path)) as folder:
        assert list(folder.listing()) == []
    with closing(Folder(tmp_path, limits=limits(5))) as folder:
        assert [uri for uri, _ in folder.listing()] == ["broken.png", "fax.tif", "photo.jpg"]
        assert "seal was worn" in folder.load("photo.jpg").text
        assert folder.load("fax.tif").text.split("\n\n") == [_LINES[0], _LINES[2]]
        with pytest.raises(errors.KnowledgeError, match="no readable picture"):
            folder.load("broken.png")


def test_a_picture_without_the_setting_says_what_would_read_it() -> None:
    data = io.BytesIO()
    _picture(_LINES).save(data, "PNG")
    named = registry.named("attachment", data.getvalue())
    assert named == "attachment.png"
    with pytest.raises(errors.KnowledgeError, match="is a picture") as caught:
        read(named, data.getvalue(), Limits())
    assert "ocr_pages" in caught.value.fix


def test_without_the_setting_a_scan_is_refused_as_it_was() -> None:
    with pytest.raises(errors.KnowledgeError, match="holds no text"):
        read("scan.pdf", _scan(_LINES), Limits())


def test_a_page_is_waited_for_in_its_place_and_no_more_than_asked_for() -> None:
    data = _scan(*[(f"Page {number}",) for number in range(4)])
    found = pdf.load(data, Limits(ocr_pages=3))
    assert found.scans == (0, 1, 2)
    assert found.text.split() == [scan_mark(number) for number in range(3)]
    assert found.doubts == ("1 of its 4 pages show a picture and hold no text",)
    assert len({scan_mark(number) for number in range(2_000)}) == 2_000
    assert pypdfium2.PdfDocument(data)[3] is not None


class _Worker:
    """A child that knows four scanned pages; what becomes of each, the test says."""

    answers: ClassVar[dict[int, Callable[[], LoadReply]]] = {}
    asked: ClassVar[list[PageRequest]] = []

    def __init__(self, **_: object) -> None:
        self.pid = 1

    def start(self) -> None: ...

    def close(self) -> None: ...

    def call(self, method: str, request: Any, reply: object, *, deadline_s: float) -> LoadReply:  # noqa: ANN401
        del reply, deadline_s
        if method == "load":
            text = "<EMAIL_1>\n" + "\n".join(scan_mark(page) for page in range(4))
            loaded = Loaded(text, redactions={"email": 1}, scans=(0, 1, 2, 3), digest=b"d")
            return LoadReply(loaded)
        self.asked.append(request)
        default = LoadReply(Loaded(f"text of {request.page}", redactions={"email": 2}))
        return self.answers.get(request.page, lambda: default)()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> type[_Worker]:
    monkeypatch.setattr(client, "Worker", _Worker)
    monkeypatch.setattr(client, "find_spec", lambda _: True)
    _Worker.answers, _Worker.asked = {}, []
    return _Worker


def test_a_page_that_cannot_be_read_is_told_and_the_next_is(worker: type[_Worker]) -> None:
    def dies() -> LoadReply:
        raise errors.WorkerDied("the document loader died of signal 9")

    worker.answers = {1: dies, 2: lambda: LoadReply(what="a page of it cannot be shown")}
    with closing(LoaderClient(None, limits(9))) as loader:
        loaded = loader.load(LoadRequest("scan.pdf", b"x"))
    assert loaded.text.split("\n") == ["<EMAIL_1>", "text of 0", "", "", "text of 3"]
    assert loaded.doubts[0].startswith("page 2 was left out: made its reader crash (SIGKILL)")
    assert loaded.doubts[1] == "page 3 was left out: a page of it cannot be shown"
    assert loaded.doubts[2] == "2 of its pages were read by character recognition"
    assert loaded.redactions == {"email": 5}


def test_no_two_pages_give_two_people_one_number(worker: type[_Worker]) -> None:
    with closing(LoaderClient(None, limits(9))) as loader:
        loader.load(LoadRequest("scan.pdf", b"x", taken={"email": 1, "phone": 4}))
    assert [one.file.taken for one in worker.asked] == [
        {"email": 2 + 2 * page, "phone": 4} for page in range(4)
    ]


def test_what_was_recognised_is_not_read_again(worker: type[_Worker]) -> None:
    told: list[int] = []

    def alive() -> None:
        told.append(len(worker.asked))
        if len(told) == 3:
            raise errors.StoreUnavailable("the lease could not be renewed")

    with closing(LoaderClient(None, limits(9))) as loader:
        with pytest.raises(errors.StoreUnavailable):
            loader.load(LoadRequest("scan.pdf", b"x"), alive)
        loaded = loader.load(LoadRequest("scan.pdf", b"x"))
        assert [one.page for one in worker.asked] == [0, 1, 2, 3]
        assert "text of 3" in loaded.text
        loader.load(LoadRequest("scan.pdf", b"x"))  # a document that is complete is forgotten
    assert len(worker.asked) == 8


def test_the_setting_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "find_spec", lambda _: None)
    with pytest.raises(errors.SettingsError, match="not installed"):
        LoaderClient(None, limits(1))


def test_a_collection_of_the_settings_recognises_as_many_pages_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "find_spec", lambda _: True)
    (tmp_path / "insights.toml").write_text('[collection.kb]\nfolder = "kb"\nocr_pages = 7\n')
    settings = settings_files.load(tmp_path / "insights.toml")
    with ExitStack() as stack:
        app = SimpleNamespace(settings=settings, stack=stack, recognizer=None)
        folder = knowledge._documents(cast("App", app), "kb")
        assert isinstance(folder, Folder)
        assert folder.loader.limits == limits(7)
