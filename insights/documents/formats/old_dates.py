"""Formats of old workbooks (XLS) that calamine takes for dates, told to be numbers.

It knows the numbers 27 to 36 and 50 to 58 as dates of East Asia (ECMA-376, 18.8.30) and does not
look whether the workbook gives them another meaning, as Gnumeric's do: `0.00` is 1900-01-14 then.
"""

import re

from insights.documents.signatures import OLE

_FORMAT = re.compile(
    rb"\x1e\x04(?P<size>[\x06-\xff]\x00)(?P<id>[\x1b-\x24\x32-\x3a]\x00)", re.DOTALL
)
_XF = re.compile(rb"\xe0\x00\x14\x00(?P<font>..)(?P<id>[\x1b-\x24\x32-\x3a]\x00)", re.DOTALL)
_QUOTED = re.compile(r'"[^"]*"|\\.|_.|\[[^\]]*\]|General|E[+-]', re.IGNORECASE)
_DATE = re.compile(r"[dmyhs年月日時分秒]", re.IGNORECASE)


def mended(data: bytes) -> bytes:
    """Return a workbook's bytes in which no cell's format is a date by its number alone."""
    if not data.startswith(OLE):
        return data
    plain = {match["id"] for match in _FORMAT.finditer(data) if not _is_date(data, match)}
    if not plain:
        return data
    return _XF.sub(
        lambda match: (
            b"\xe0\x00\x14\x00" + match["font"] + (b"\0\0" if match["id"] in plain else match["id"])
        ),
        data,
    )


def _is_date(data: bytes, match: re.Match[bytes]) -> bool:
    """Tell whether a FORMAT record (MS-XLS 2.4.126) says a date, or is none."""
    at = match.end()
    length = int.from_bytes(data[at : at + 2], "little")
    wide = data[at + 2 : at + 3] == b"\1"
    text = data[at + 3 : at + 3 + length * (1 + wide)]
    if int.from_bytes(match["size"], "little") != 5 + len(text):
        return True
    written = text.decode("utf-16-le" if wide else "latin-1", "replace")
    return bool(_DATE.search(_QUOTED.sub("", written)))
