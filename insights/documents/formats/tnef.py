"""Outlook's `winmail.dat` (TNEF): the files in it, which other mail programs cannot show.

After MS-OXTNEF: a signature, then attributes of level, number, length, content and checksum. Those
of an attachment follow its `attAttachRendData`.
"""

import struct
from collections.abc import Iterable, Iterator

_SIGNATURE = struct.pack("<I", 0x223E9F78)
_HEAD = struct.Struct("<BII")  # level, number, length
_BEGINS, _TITLE, _DATA, _MORE = 0x00069002, 0x00018010, 0x0006800F, 0x00069005
_BODY = 0x0002800C
# Of the more properties an attachment has (MAPI), its long name, in one of two forms.
_LONG_NAMES: tuple[tuple[bytes, str], ...] = (
    (struct.pack("<HH", 0x001F, 0x3707), "utf-16-le"),
    (struct.pack("<HH", 0x001E, 0x3707), "cp1252"),
)


def unpacked(
    attached: Iterable[tuple[str, bytes]], *, body: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Yield attachments by name, those in a `winmail.dat` in its place.

    A damaged one yields what is whole of it. Its own text is that of the mail around it, and comes
    only with `body`.
    """
    for name, data in attached:
        if data.startswith(_SIGNATURE):
            yield from _files(data, body=body)
        else:
            yield name, data


def _files(data: bytes, *, body: bool) -> Iterator[tuple[str, bytes]]:
    name, content = "", None
    for number, value in _attributes(data):
        if number == _BEGINS:
            if content is not None:
                yield name, content
            name, content = "", None
        elif number == _BODY and body:
            yield "winmail.txt", value.rstrip(b"\0")
        elif number == _TITLE:
            name = name or value.rstrip(b"\0").decode("cp1252", "replace")
        elif number == _DATA:
            content = value
        elif number == _MORE:
            name = _long_name(value) or name
    if content is not None:
        yield name, content


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = len(_SIGNATURE) + 2  # and a key of no meaning
    while at + _HEAD.size <= len(data):
        _, number, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if at + length > len(data):
            return
        yield number, data[at : at + length]
        at += length + 2


def _long_name(properties: bytes) -> str:
    for sign, encoding in _LONG_NAMES:
        at = properties.find(sign)
        if at < 0 or at + 12 > len(properties):
            continue
        (length,) = struct.unpack_from("<I", properties, at + 8)
        text = properties[at + 12 : at + 12 + length]
        return text.decode(encoding, "replace").rstrip("\0")
    return ""
