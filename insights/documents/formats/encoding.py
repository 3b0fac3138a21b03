"""Bytes as text: byte order mark, then declaration, then UTF-8, then a guess that is told."""

import codecs
import re
from collections.abc import Iterator

import charset_normalizer

from insights.documents.formats.cleaning import clean

# UTF-32 first: its mark begins like UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
# What old software on servers wrote, the likelier first: charset-normalizer, left to choose among
# all that Python knows, takes short German for Farsi (cp1006) and Baltic (cp775).
_LIKELY = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp1255", "cp1256", "koi8_r",
    "cp932", "euc_jp", "gb18030", "big5", "cp949", "cp850", "cp852", "cp866", "mac_roman",
)  # fmt: skip
_CLOSE = 0.06  # scores nearer than this do not tell two encodings apart
_SAMPLE = 128 * 1024
# Browsers read these names so (WHATWG, Encoding Standard): files that say Latin-1 mean this.
_MEANT = {"iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030"}
_WITHIN = re.compile(
    r"(?<=[^\W\d_])[\u00a1-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf]+(?=[^\W\d_])"
)
_WIDE_SAMPLE = 4096
_WIDE_SHARE = 0.25  # zero bytes of all, in a Latin text of two bytes a character: a half


def decode(data: bytes, declared: str = "") -> tuple[str, tuple[str, ...]]:
    """Return the clean text, and what may be wrong with it.

    Args:
        data: The file's content.
        declared: The encoding that the file names, if it names one.
    """
    text, doubts = _decode(data, declared)
    return clean(text), doubts


def _decode(data: bytes, declared: str) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace"), ()
    for encoding in (*_declared(declared), "utf-8", *_wide(data)):
        try:
            return data.decode(encoding), ()
        except UnicodeDecodeError:
            continue
    return _guess(data)


def _declared(name: str) -> Iterator[str]:
    """Yield what a declaration means, if anything; the text that has it is no UTF-16."""
    try:
        known = codecs.lookup(name.strip()).name if name.strip() else ""
    except (LookupError, ValueError):
        return
    if known and not known.startswith(("utf-16", "utf-32")):
        yield _MEANT.get(known, known)


def _wide(data: bytes) -> Iterator[str]:
    """Yield UTF-16 without a mark, which shows by its zero bytes on one side."""
    sample = data[:_WIDE_SAMPLE]
    for encoding, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        if len(data) % 2 == 0 and zeros.count(0) > len(sample) * _WIDE_SHARE:
            yield encoding


def _guess(data: bytes) -> tuple[str, tuple[str, ...]]:
    sample = _sample(data)
    scores: dict[str, float] = {}
    texts: dict[str, str] = {}
    for match in charset_normalizer.from_bytes(sample, cp_isolation=list(_LIKELY)):
        for name in match.could_be_from_charset:
            scores[name] = match.coherence - 2 * match.chaos - _spoilt(str(match))
            texts[name] = str(match)
    if not scores:
        return data.decode("cp1252", errors="replace"), (
            "its encoding is unknown; it was read as windows-1252",
        )
    best = max(scores.values())
    close = [name for name in _LIKELY if scores.get(name, -9.0) >= best - _CLOSE]
    chosen, *others = close or [max(scores, key=lambda name: scores[name])]
    rivals = [name for name in others if texts[name] != texts[chosen]]
    told = f"its encoding was guessed as {chosen}"
    doubts = (f"{told}; it could be {rivals[0]}",) if rivals else ()
    return data.decode(chosen, errors="replace"), doubts


def _spoilt(text: str) -> float:
    """Return how much of a text are signs within words, as Polish read as French has: `urz¹d`."""
    return min(20 * len(_WITHIN.findall(text)) / max(len(text), 1), 1.0)


def _sample(data: bytes) -> bytes:
    """Return a piece that has what differs between encodings, cut at a line's end."""
    first = next((at for at, byte in enumerate(data[: 64 * _SAMPLE]) if byte >= 0x80), 0)  # noqa: PLR2004
    start = max(data.rfind(b"\n", 0, first) + 1, first - _SAMPLE // 2, 0)
    piece = data[start : start + _SAMPLE]
    return piece[: piece.rfind(b"\n") + 1] or piece if len(piece) == _SAMPLE else piece
