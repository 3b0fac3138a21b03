"""The canonical text of a row's inputs, its keyed hash, and the COPY line that carries them.

A page and a fetch hash the same projection by the same code, so that an unchanged row has an
unchanged hash however it was read.
"""

import hashlib
import unicodedata
from collections.abc import Sequence

from insights import errors

_HASH_BYTES = 16
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Hasher:
    """BLAKE2b-128 keyed with the credential `hash_key`, so that short texts cannot be guessed."""

    def __init__(self, key: bytes) -> None:
        self._empty = hashlib.blake2b(digest_size=_HASH_BYTES, key=key)

    def digest(self, values: Sequence[str | None]) -> bytes:
        """Return the hash (16 bytes) of canonical values, each with its length, NULL apart.

        Raises:
            UnicodeEncodeError: If one holds a lone surrogate, which `clean` would replace.
        """
        return self._hash(_projection(values).encode())

    def digest_if_clean(self, values: Sequence[object], max_chars: int) -> bytes | None:
        """Return the hash of values that `clean` would leave as they are; None for any doubt.

        Most rows of a page are clean as they come: one look at all their text together.
        """
        try:
            text = _projection(values)  # type: ignore[arg-type]  # what is no text is refused
            if len(text) <= max_chars and _is_clean(text):
                return self._hash(text.encode())
        except (TypeError, UnicodeEncodeError):  # bytes, a driver's type, or a lone surrogate
            pass
        return None

    def hashes_if_clean(self, rows: Sequence[Sequence[object]], max_chars: int) -> list[str] | None:
        """Return the hash of each row, in hexadecimal; None for any doubt about one of them.

        What `digest_if_clean` asks of each row is asked of all their text together.
        """
        copied, hashes, whole = self._empty.copy, [], []
        try:
            for values in rows:
                text = _projection(values)  # type: ignore[arg-type]  # what is no text is refused
                if len(text) > max_chars:
                    return None
                whole.append(text)
            if not _is_clean("".join(whole)):
                return None
            for text in whole:
                hashed = copied()
                hashed.update(text.encode())
                hashes.append(hashed.hexdigest())
        except (TypeError, UnicodeEncodeError):  # bytes, a driver's type, or a lone surrogate
            return None
        return hashes

    def _hash(self, projection: bytes) -> bytes:
        hashed = self._empty.copy()  # keyed already: half the cost for a short row
        hashed.update(projection)
        return hashed.digest()


def _is_clean(text: str) -> bool:
    return "\0" not in text and (text.isascii() or unicodedata.is_normalized("NFC", text))


def _projection(values: Sequence[str | None]) -> str:
    """Return what is hashed: each value after its length, NULL apart.

    Raises:
        TypeError: If a value is no text.
    """
    parts: list[str] = []
    for value in values:
        if value is None:
            parts.append("-;")
        else:
            parts += (f"{len(value)}:", value)
    return "".join(parts)


def clean(value: object, max_chars: int) -> tuple[str | None, tuple[str, ...]]:
    """Return a database value as canonical text, and what had to be done to it.

    The notes are `invalid bytes replaced`, `control characters replaced` and `cut`; Unicode NFC is
    applied without one. Bytes are UTF-8 that the driver was asked not to decode.
    """
    if value is None:
        return None, ()
    notes: list[str] = []
    if isinstance(value, (bytes, bytearray)):
        cut = len(value) > 4 * max_chars  # the statement cuts bytes, maybe inside a character
        text = value.decode("utf-8", "replace")
        if _REPLACEMENT in text and not _is_utf8(value[: 4 * max_chars - 4] if cut else value):
            notes.append("invalid bytes replaced")
    else:
        text = str(value)
    if text.isascii():
        plain = "\0" not in text
    else:
        plain = "\0" not in text and unicodedata.is_normalized("NFC", text)
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-8", "replace").decode()
            notes.append("invalid bytes replaced")
    if not plain:
        if "\0" in text:  # PostgreSQL stores none, and no prompt wants one
            text = text.replace("\0", _REPLACEMENT)
            notes.append("NUL replaced")
        text = unicodedata.normalize("NFC", text)
    if len(text) > max_chars:
        text = text[:max_chars]
        notes.append("cut")
    return text, tuple(notes)


def copy_field(text: str | None, *, where: str) -> str:
    r"""Return one field of PostgreSQL's COPY text format; NULL is `\N`.

    Raises:
        errors.StreamError: If it holds a NUL or a lone surrogate, which the store cannot keep.
    """
    if text is None:
        return "\\N"
    if is_plain_field(text):
        return text
    if "\0" in text or (not text.isascii() and not _encodable(text)):
        raise errors.StreamError(
            "a key or cursor holds a NUL or an invalid character, which cannot be kept",
            where=where,
            fix="name another key, or read a query that leaves such rows out",
        )
    return text.translate(_COPY_ESCAPES)


def is_plain_field(text: str) -> bool:
    """Tell whether COPY reads text as it is."""
    return text.isascii() and text.isprintable() and "\\" not in text


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_utf8(value: bytes | bytearray) -> bool:
    """Tell whether bytes are UTF-8, apart from an incomplete last character of a cut."""
    try:
        value.decode()
    except UnicodeDecodeError as exc:
        return exc.reason == "unexpected end of data" and exc.end == len(value)
    return True
