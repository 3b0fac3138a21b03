"""What a file is, by how it begins, where its name says otherwise or nothing.

Applications name what they export after the program that shall open it: a page with a table is
called `.xls`, a mail or a page `.doc`. Programs open them by their content, and so does this.
"""

import re
from pathlib import PurePath

_ZIP = b"PK\x03\x04"
OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # the container of the formats of 1997 to 2003
_BYTES = (
    (b"%PDF-", ".pdf"), (b"{\\rtf", ".rtf"), (b"\x89PNG\r\n", ".png"), (b"\xff\xd8\xff", ".jpg"),
    (b"II*\0", ".tif"), (b"MM\0*", ".tif"),
)  # fmt: skip
# A package is known by the folder of its parts, or by what it says in its first part.
_PACKAGES = (
    (b"word/", ".docx"), (b"xl/", ".xlsx"), (b"ppt/", ".pptx"),
    (b"application/vnd.oasis.opendocument.text", ".odt"),
    (b"application/vnd.oasis.opendocument.spreadsheet", ".ods"),
)  # fmt: skip
_STREAMS = (("Workbook", ".xls"), ("__properties_version1.0", ".msg"), ("WordDocument", ".doc"))
_LOOKED_AT = 64 * 1024  # bytes
_HEAD = 4096  # characters in which a page or a mail shows what it is

SHEETS = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})
_PACKED = frozenset({".docx", ".docm", ".odt", ".pptx", *SHEETS})
_BINARY = frozenset({".doc", ".msg", *_PACKED})
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})  # where letters are recognised
_BEFORE = "\ufeff\xef\xbb\xbf \r\n\t"
XML_SHEET = "spreadsheetml"  # Excel's XML of 2003: no suffix of its own
_XML_SHEET = "urn:schemas-microsoft-com:office:spreadsheet"
_PAGE = re.compile(r"<(?:!doctype html|html|head|body|table|meta|div|style|font)\b", re.IGNORECASE)
_MAIL = re.compile(
    r"\A(?:mime-version|received|return-path|message-id|from|to|subject|date|content-type"
    r"|x-[\w-]+|delivered-to):.*\n(?:.*\n)*?(?:mime-version|subject|content-type|from):",
    re.IGNORECASE,
)


def suffix(name: str) -> str:
    """Return a file name's suffix in small letters."""
    return PurePath(name).suffix.lower()


def meant(name: str, data: bytes) -> str:
    """Return the suffix of what a file is: its own, unless its content is plainly another's."""
    own = suffix(name)
    begin = data[:_LOOKED_AT].lstrip()
    found = next((end for sign, end in _BYTES if begin.startswith(sign)), "")
    if found in PICTURES and own:
        found = ""
    elif begin.startswith(_ZIP):
        found = "" if own in _PACKED else _package(data)
    elif begin.startswith(OLE):
        found = "" if own in _BINARY else _of_streams(data)
    elif not found and own in _BINARY:
        found = _told(data[:_LOOKED_AT], own)
    return found or own


def unnamed(data: bytes) -> str:
    """Return the suffix of a file whose name says nothing; empty: it is none that is known."""
    begin = data[:_LOOKED_AT]
    found = meant("", data)
    if not found and b"<html" in begin[:1024].lower():
        found = ".html"
    elif not found and not begin.startswith(_ZIP) and b"\0" not in begin:
        found = ".txt"
    return found


def _package(data: bytes) -> str:
    return next((end for folder, end in _PACKAGES if folder in data), "")


def _of_streams(data: bytes) -> str:
    return next((end for name, end in _STREAMS if name.encode("utf-16-le") in data), "")


def _told(begin: bytes, own: str) -> str:
    """Return what a text is that is called after a binary format."""
    wide = begin.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in begin and not wide:
        return ""  # an older binary form, or damaged
    text = begin.decode("utf-16" if wide else "latin-1", "ignore").lstrip(_BEFORE)
    found = ""
    if own != ".msg" and _XML_SHEET in text[:_HEAD] and "<Workbook" in text[:_HEAD]:
        found = XML_SHEET
    elif _MAIL.match(text[:_HEAD]):
        found = ".eml"
    elif _PAGE.search(text[:_HEAD]):
        found = ".html"
    elif own in SHEETS and re.search(r"[\t;,|]", text):
        found = ".csv"
    elif own == ".doc" and text.strip() and "<?xml" not in text[:100]:
        found = ".txt"
    return found
