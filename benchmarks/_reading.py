"""What programs that people read with show of a file: the references of `benchmarks.documents`.

`pdftotext` (poppler-utils) for PDF, Chromium for HTML, LibreOffice (`soffice`) for office files and
workbooks, Python's `email` for mails with Chromium for their pages.
"""

import contextlib
import email
import email.policy
import hashlib
import json
import re
import subprocess
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple

import lxml.etree

from benchmarks import _cells
from tests.browser import Browser

_PAGES = {".html", ".htm", ".xhtml"}
_TEXTS = {".docx", ".docm", ".odt", ".rtf"}
_BOOKS = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"}
KINDS = {
    ".pdf": "PDF",
    **dict.fromkeys(_PAGES, "HTML"),
    ".docx": "DOCX",
    ".docm": "DOCX",
    ".odt": "ODT",
    ".rtf": "RTF",
    ".pptx": "PPTX",
    **dict.fromkeys(_BOOKS, "workbooks"),
    ".csv": "CSV",
    ".tsv": "CSV",
    ".eml": "mails",
}
# What LibreOffice makes of its files. Every sheet is CSV in UTF-8, in two forms: values as they are
# stored, and as a person sees them.
_CSV = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,{shown},false,false,-1"
_PLAIN, _PRINT, _FLAT, _STORED, _SEEN = "plain", "print", "flat", "stored", "seen"
_FORMS = {
    _PLAIN: ("txt:Text (encoded):UTF8", _TEXTS),
    _PRINT: ("pdf", _TEXTS),
    _FLAT: ("fodp", {".pptx"}),
    _STORED: (_CSV.format(shown="false"), _BOOKS),
    _SEEN: (_CSV.format(shown="true"), _BOOKS),
}
# No formula is calculated anew: what is stored is what its program showed last.
_NEVER = "1"
_SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>{never}</value></prop></item>
<item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="ODFRecalcMode" oor:op="fuse"><value>{never}</value></prop></item>
</oor:items>
"""
_EDGE = 3  # lines at the top and bottom of a page where one runs over all
_OFTEN = 3  # pages
_ENTRY = re.compile(r"^\W*(?:\d{1,4}|[ivxl]{1,5})\W*$|(?:\. ?){4,}\s*\w{1,4}$")
_CONTENTS = re.compile(r"\S\t\d{1,4}$")
# What the loader leaves out of a page on purpose: menus and lists of links to its own headings.
_MENUS = """
for (const one of document.querySelectorAll('nav,[role=navigation]')) one.remove();
for (const one of document.querySelectorAll('ul,ol')) {
  const links = [...one.querySelectorAll('a[href]')];
  if (links.length > 3 && links.every(link => link.getAttribute('href').startsWith('#'))) {
    const text = links.reduce((sum, link) => sum + link.textContent.trim().length, 0);
    if (text >= .7 * one.textContent.replace(/\\s+/g, ' ').trim().length) one.remove();
  }
}
"""
_SHOWN = "document.body ? document.body.innerText : ''"
_FILLED = (
    "[...document.querySelectorAll('input,textarea')].map(one => one.value && one.offsetParent &&"
    " !['hidden','submit','reset','checkbox','radio','image','button','password','range','color',"
    "'file'].includes(one.type) ? one.value : '').join(' ')"
)
# Numbers of lists, which a browser shows and does not tell.
_NUMBERED = (
    "[...document.querySelectorAll('ol')].map(list => [...list.children].map((_, at) =>"
    " list.type === 'a' || list.type === 'A' ? 'abcdefghijklmnopqrstuvwxyz'[list.start + at - 1]"
    " : list.start + at).join(' ')).join(' ')"
)
_UNSHOWN = ("text/calendar", "text/vcard", "text/x-vcard", "text/directory", "text/rfc822-headers")
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"

_SHOW = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_MARGINS = ("header", "footer", "date-time", "page-number")  # of the pages of notes
_DELETED = "//*[local-name() = 'delText']/text()"


class Reference(NamedTuple):
    """A file's text as a program shows it."""

    whole: str
    meant: str
    """Without what the loader leaves out on purpose: page numbers, running lines but for the first
    time, lists of contents, menus."""
    elsewhere: str = ""
    """What the program shows in print alone: boxes, headers and footers of a text."""
    cells: Sequence[Sequence[str]] = ()
    """Cells of a workbook that are stored and shown in different forms, all of which are right."""
    struck: str = ""
    """What a text's changes delete, and the program shows struck out."""


class Programs:
    """Asks the programs, and keeps what they said.

    Args:
        browser: A browser; its scripts are switched off.
        kept: A folder where answers are kept by the file's digest.
        scratch: An empty folder, for LibreOffice.
    """

    def __init__(self, browser: Browser, kept: Path, scratch: Path) -> None:
        self._browser = browser
        self._kept = kept
        self._scratch = scratch
        kept.mkdir(parents=True, exist_ok=True)
        browser.call("Emulation.setScriptExecutionDisabled", value=True)

    def prepare(self, paths: Sequence[Path]) -> None:
        """Have LibreOffice read all of its files in few processes, each of which takes seconds."""
        new = [path for path in paths if not (self._kept / f"{_digest(path)}.json").exists()]
        for form, (_, suffixes) in _FORMS.items():
            if asked := [path for path in new if path.suffix.lower() in suffixes]:
                self._convert(asked, form)

    def read(self, path: Path) -> Reference:
        """Return a file's reference.

        Raises:
            Exception: If the program cannot read it.
        """
        suffix = path.suffix.lower()
        kept = self._kept / f"{_digest(path)}.json"
        if kept.exists():
            return Reference(*json.loads(kept.read_text()))
        found = self._read(path, suffix)
        kept.write_text(json.dumps(found))
        return found

    def _read(self, path: Path, suffix: str) -> Reference:
        if suffix == ".pdf":
            return _pdf(path)
        if suffix in _PAGES:
            return self._page(path)
        if suffix == ".eml":
            return self._mail(path)
        if suffix in (".csv", ".tsv"):
            text = path.read_text(encoding="utf-8-sig", errors="replace")
            return Reference(text, text)
        return self._office(path, suffix)

    def _office(self, path: Path, suffix: str) -> Reference:
        if suffix == ".pptx":
            text = _show(self._converted(path, _FLAT)[0])
            return Reference(text, text)
        if suffix in _BOOKS:
            return self._book(path)
        if suffix == ".rtf" and not path.read_bytes().lstrip().startswith(b"{\\rtf"):
            raise ValueError("is no Rich Text")
        made = self._converted(path, _PLAIN)
        text = "\n".join(one.read_text(encoding="utf-8-sig", errors="replace") for one in made)
        meant = "\n".join(line for line in text.splitlines() if not _CONTENTS.search(line))
        printed = _pdf(self._converted(path, _PRINT)[0]).whole
        return Reference(text, meant, printed, struck=_struck(path))

    def _book(self, path: Path) -> Reference:
        stored, seen = self._converted(path, _STORED), self._converted(path, _SEEN)
        names = "\n".join(one.stem.partition("-")[2] for one in stored)  # of its sheets
        alike, cells, passed = _cells.compared(path, stored, seen)
        text = "\n".join(alike)
        every = "\n".join((*passed, *(form for forms in cells for form in forms)))
        return Reference(f"{text}\n{every}\n{names}\ntrue false", text, cells=cells)

    def _converted(self, path: Path, form: str) -> list[Path]:
        folder = self._scratch / form
        if not (made := sorted(folder.glob(f"{_digest(path)}*"))):
            self._convert([path], form)
            made = sorted(folder.glob(f"{_digest(path)}*"))
        if not made:
            raise ValueError("LibreOffice made nothing of it")
        return made

    def _convert(self, paths: Sequence[Path], form: str) -> None:
        folder = self._scratch / form
        settings = self._scratch / "office" / "user" / "registrymodifications.xcu"
        if not settings.exists():
            settings.parent.mkdir(parents=True)
            settings.write_text(_SETTINGS.format(never=_NEVER))
        profile = f"-env:UserInstallation={(self._scratch / 'office').as_uri()}"
        to = ["--convert-to", _FORMS[form][0], "--outdir", str(folder)]
        with tempfile.TemporaryDirectory() as named:
            copies = [Path(named) / f"{_digest(path)}{path.suffix.lower()}" for path in paths]
            for path, copy in zip(paths, copies, strict=True):
                copy.symlink_to(path.resolve())
            subprocess.run(
                ["soffice", profile, "--headless", *to, *map(str, copies)],
                check=False, capture_output=True, timeout=120 + 30 * len(paths),
            )  # fmt: skip

    def _page(self, path: Path) -> Reference:
        self._browser.open(path.resolve().as_uri())
        whole = f"{self._browser.js(_SHOWN)}\n{self._browser.js(_FILLED)}"
        numbered = f"{whole}\n{self._browser.js(_NUMBERED)}"
        self._browser.js(_MENUS)
        meant = f"{self._browser.js(_SHOWN)}\n{self._browser.js(_FILLED)}"
        return Reference(whole, meant, numbered)

    def _mail(self, path: Path) -> Reference:
        message = email.message_from_bytes(path.read_bytes().lstrip(), policy=email.policy.default)
        text = "\n".join(self._said(message))
        invitations = "\n".join(
            _content(part) for part in message.walk() if part.get_content_type() == "text/calendar"
        )
        return Reference(f"{text}\n{invitations}", text)

    def _said(self, message: EmailMessage) -> Iterator[str]:
        yield str(message.get("subject", ""))
        yield str(message.get("date", ""))
        yield from self._parts(message)

    def _parts(self, part: EmailMessage) -> Iterator[str]:
        kind = part.get_content_type()
        if kind == "multipart/alternative":
            kinds = [one for one in part.iter_parts() if isinstance(one, EmailMessage)]
            if kinds:
                yield from self._parts(kinds[-1])
        elif kind == "message/rfc822":
            yield from self._said(part.get_payload(0))  # type: ignore[arg-type]
        elif part.is_multipart():
            for one in part.iter_parts():
                yield from self._parts(one)  # type: ignore[arg-type]
        elif kind in ("text/plain", "text/html") and not part.is_attachment():
            text = _content(part)
            yield self._html(text) if kind == "text/html" else text
        else:
            yield self._attached(part)

    def _attached(self, part: EmailMessage) -> str:
        name = part.get_filename() or ""
        suffix = Path(name).suffix.lower()
        data = part.get_payload(decode=True)
        kind = part.get_content_type()
        if kind.startswith("text/") and suffix not in KINDS and kind not in _UNSHOWN:
            return f"{name}\n{_content(part)}"
        if suffix not in (*KINDS, ".txt") or not isinstance(data, bytes):
            return ""
        if suffix == ".txt":
            return f"{name}\n{data.decode(errors='replace')}"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"attached{suffix}"
            file.write_bytes(data)
            return f"{name}\n{self.read(file).meant}"

    def _html(self, text: str) -> str:
        with tempfile.NamedTemporaryFile("w", suffix=".html", encoding="utf-8") as file:
            file.write(f'<meta charset="utf-8">{text}')
            file.flush()
            self._browser.open(Path(file.name).as_uri())
            return str(self._browser.js(_SHOWN))


def _content(part: EmailMessage) -> str:
    """Return a part's text, in whose declared encoding some programs do not write."""
    data = part.get_payload(decode=True)
    declared = (part.get_content_charset() or "ascii").replace("us-ascii", "ascii")
    if isinstance(data, bytes):
        for encoding in (declared, "utf-8") if data.isascii() else ("utf-8", declared):
            with contextlib.suppress(LookupError, UnicodeDecodeError):
                return data.decode(encoding)
        return data.decode("cp1252", errors="replace")
    return str(part.get_content())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes() + path.suffix.lower().encode()).hexdigest()


def _pdf(path: Path) -> Reference:
    command = ["pdftotext", "-enc", "UTF-8", str(path), "-"]
    text = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    pages = [
        [line.strip() for line in page.splitlines() if line.strip()] for page in text.split("\f")
    ]
    edges = Counter(shape for page in pages for shape in {*map(_shape, _edges(page))})
    often = {shape for shape, count in edges.items() if count >= _OFTEN}
    met: set[str] = set()
    meant = []
    for page in pages:
        for at, line in enumerate(page):
            shape = _shape(line)
            runs = shape in often and not _EDGE <= at < len(page) - _EDGE
            if _ENTRY.search(line) or (runs and shape in met):
                continue
            if runs:
                met.add(shape)
            meant.append(line)
    return Reference(text, "\n".join(meant))


def _edges(page: list[str]) -> list[str]:
    return [*page[:_EDGE], *page[max(len(page) - _EDGE, _EDGE) :]]


def _shape(line: str) -> str:
    return re.sub(r"\d+|\b[ivxl]+\b", "#", line)


def _struck(path: Path) -> str:
    """Return what the changes of a Word document delete."""
    if path.suffix.lower() not in (".docx", ".docm"):
        return ""
    with zipfile.ZipFile(path) as package:
        parts = [one for one in package.namelist() if re.fullmatch(r"word/\w+\.xml", one)]
        roots = [lxml.etree.fromstring(package.read(part)) for part in parts]
    return "\n".join(text for root in roots for text in root.xpath(_DELETED))


def _show(path: Path) -> str:
    """Return the paragraphs of a flat OpenDocument presentation, with what its notes say."""
    root = lxml.etree.parse(path, lxml.etree.XMLParser(huge_tree=True, recover=True)).getroot()
    body = next(one for one in root if str(one.tag).endswith("}body"))
    hidden = {
        one.getparent().get(f"{_STYLE}name")
        for one in root.iter("{*}drawing-page-properties")
        if "hidden" in one.attrib.values()
    }
    for notes in body.iter("{*}notes"):
        for frame in list(notes.iter("{*}frame")):
            if frame.get(f"{_SHOW}class") in _MARGINS:
                frame.getparent().remove(frame)
    for one in (*body.iter("{*}annotation"), *body.iter("{*}page")):
        if str(one.tag).endswith("}annotation") or one.get(f"{_DRAW}style-name") in hidden:
            one.getparent().remove(one)
    lines = ["".join(_spoken(one)) for one in body.iter(f"{_TEXT}p", f"{_TEXT}h")]
    margins = ["".join(one.itertext()) for one in body.iter("{*}footer-decl", "{*}date-time-decl")]
    return "\n".join((*lines, *margins))


def _spoken(paragraph: lxml.etree._Element) -> Iterator[str]:
    yield paragraph.text or ""
    for one in paragraph:
        if one.tag in (f"{_TEXT}page-number", f"{_TEXT}date", f"{_TEXT}time"):
            pass  # when it was read
        elif one.tag in (f"{_TEXT}line-break", f"{_TEXT}tab", f"{_TEXT}s"):
            yield " "
        elif one.tag not in (f"{_TEXT}p", f"{_TEXT}h"):
            yield from _spoken(one)
        yield one.tail or ""
