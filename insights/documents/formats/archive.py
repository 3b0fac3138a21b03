"""Packed formats (DOCX, XLSX, ODT, …): what they unpack to is known before anything is unpacked."""

import io
import zipfile
import zlib

from insights import errors
from insights.documents.messages import Limits

_MOST_PARTS = 20_000
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_LOCKED = "EncryptedPackage".encode("utf-16-le")
_MIB = 1024 * 1024


def opened(data: bytes, limits: Limits, kind: str, newer: str) -> zipfile.ZipFile:
    """Open a package; `kind` is what it should be, `newer` the suffix to save an old one as.

    Raises:
        errors.KnowledgeError: If it is locked by a password, of the old format, damaged, or
            unpacks to more than it may. A package that lies about its sizes cannot be read
            further than it says: zipfile stops there.
    """
    if data.startswith(_OLE):
        if _LOCKED in data:
            raise errors.KnowledgeError("is encrypted", fix="store it without a password")
        raise errors.KnowledgeError(
            f"is no {kind} but of the old format", fix=f"save it again as {newer}"
        )
    try:
        package = zipfile.ZipFile(io.BytesIO(data))
        parts = package.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as exc:
        raise errors.KnowledgeError(
            f"is no readable {kind}", fix=f"save it again as {newer}"
        ) from exc
    if any(part.flag_bits & 1 for part in parts):
        raise errors.KnowledgeError("is encrypted", fix="store it without a password")
    size = sum(part.file_size for part in parts)
    if size > limits.expanded_bytes or len(parts) > _MOST_PARTS:
        raise errors.KnowledgeError(
            f"unpacks to {size // _MIB:,} MiB in {len(parts):,} parts, more than"
            f" {limits.expanded_bytes // _MIB:,} MiB or {_MOST_PARTS:,}",
            fix="split it, or leave it out",
        )
    return package


def part(package: zipfile.ZipFile, name: str) -> bytes:
    """Return one part's content; nothing where there is no such part.

    Raises:
        errors.KnowledgeError: If it is damaged.
    """
    try:
        return package.read(name)
    except KeyError:
        return b""
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as exc:
        raise errors.KnowledgeError(
            f"its part {name} is damaged", fix="open it and save it again"
        ) from exc
