"""Mails (EML) with what is attached to them."""

import binascii
import codecs
import email
import email.policy
import quopri
import re
from collections.abc import Iterable, Iterator
from email.message import EmailMessage, MIMEPart
from typing import cast

from insights import errors
from insights.documents import registry
from insights.documents.formats import tnef
from insights.documents.formats.cleaning import clean, one_line
from insights.documents.formats.encoding import decode
from insights.documents.formats.html import shown
from insights.documents.formats.titles import usable
from insights.documents.messages import Limits, Loaded
from insights.documents.signatures import suffix

_DEEPEST_PART = 20  # parts in parts of one mail
_SHOWN = ("text/html", "text/plain")  # of two forms of a text the better first
# What an attachment is whose name does not say it.
_KINDS = {
    "text/plain": ".txt", "text/html": ".html", "text/csv": ".csv", "text/markdown": ".md",
    "application/pdf": ".pdf", "application/rtf": ".rtf", "text/rtf": ".rtf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.oasis.opendocument.text": ".odt", "application/vnd.ms-excel": ".xls",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods", "message/rfc822": ".eml",
    "text/calendar": ".ics",
}  # fmt: skip
_PERSONS = frozenset({"text/vcard", "text/x-vcard", "text/directory", "text/rfc822-headers"})
# What holds a text or files that are not read, and what helps.
_CLOSED = {
    "application/pkcs7-mime": "is encrypted or packed (S/MIME): store the mail as it is shown",
    "application/x-pkcs7-mime": "is encrypted or packed (S/MIME): store the mail as it is shown",
    "application/pgp-encrypted": "is encrypted (PGP): store the mail as it is shown",
}
_CLOSED_NAMES = {"smime.p7m": "application/pkcs7-mime"}
_LATIN = frozenset({"iso8859-1", "iso8859-15", "cp1252", "ascii"})
_LOOSE_END = re.compile(rb"[ \t]+(?=\r?\n|\Z)")


def load(data: bytes, limits: Limits) -> Loaded:
    """Return the text as a mail program shows it, its date, and each attachment as a section.

    Senders and receivers are left out: they are persons.
    """
    data = data.removeprefix(codecs.BOM_UTF8).lstrip()  # before a header there is nothing
    message = email.message_from_bytes(data, policy=email.policy.default)
    parts = list(_parts(message))
    texts: list[str] = []
    doubts: list[str] = []
    for part in parts:
        if _is_shown(part):
            text, told = _body(part)
            texts.append(text)
            doubts.extend(told)
    attached = (_file(part) for part in parts if not _is_shown(part))
    doubts.extend(filter(None, map(closed, map(_named, parts))))
    return together(
        _subject(message), str(message.get("date", "")),
        "\n\n".join(filter(None, texts)), tuple(doubts), attached, limits,
    )  # fmt: skip


def closed(file: tuple[str, str]) -> str:
    """Return what is wrong with an attachment, by name and kind, that cannot be looked into."""
    name, kind = file
    why = _CLOSED.get(_CLOSED_NAMES.get(name.lower(), kind))
    return f"the attachment {name} {why}" if why else ""


def together(
    subject: str,
    date: str,
    text: str,
    doubts: tuple[str, ...],
    attached: Iterable[tuple[str, bytes]],
    limits: Limits,
) -> Loaded:
    """Return one document of a mail's parts; what is attached and cannot be read is a doubt."""
    subject = one_line(clean(subject))
    parts = [f"# {subject}" if subject else "", f"Date: {one_line(date)}" if date else "", text]
    told, left = list(doubts), limits.expanded_bytes
    for name, data in tnef.unpacked(attached, body=not text):
        left -= len(data)
        if suffix(name) not in registry.SUFFIXES:
            continue
        if left < 0:
            told.append(f"the attachment {name} and those after it are too large")
            break
        try:
            inner = registry.inner(name, data, limits)
        except Exception as exc:  # noqa: BLE001 - an attachment is a stranger's file as any other
            why = exc.what if isinstance(exc, errors.KnowledgeError) else type(exc).__name__
            told.append(f"the attachment {name} was left out: {why}")
            continue
        told.extend(f"{name}: {doubt}" for doubt in inner.doubts)
        parts.append(f"## {one_line(clean(name))}\n\n{inner.text}")
    return Loaded(title=usable(subject), text="\n\n".join(filter(None, parts)), doubts=tuple(told))


def _body(part: MIMEPart) -> tuple[str, tuple[str, ...]]:
    data = _bytes(part)
    text, doubts = decode(data, _encoding(data, part.get_content_charset("") or ""))
    if part.get_content_type() == "text/html" and text.strip():
        page = shown(text, doubts)
        return page.text, page.doubts
    return text.strip(), doubts


def _parts(message: EmailMessage) -> Iterator[MIMEPart]:
    """Yield what is shown or attached in its order, of alternatives the best one.

    A text may have many parts: a mailing list adds its footer, a gateway its warning, a program
    shows pictures between two.
    """
    waiting: list[tuple[MIMEPart, int]] = [(message, 0)]
    while waiting:
        part, depth = waiting.pop()
        kind = part.get_content_type()
        if depth > _DEEPEST_PART:
            raise errors.KnowledgeError("its parts are nested too deeply")
        if kind == "message/rfc822" or not part.is_multipart():
            yield part
        elif kind == "multipart/alternative":
            waiting.extend((one, depth + 1) for one in _best(list(part.iter_parts())))
        else:
            waiting.extend((one, depth + 1) for one in reversed(list(part.iter_parts())))


def _best(forms: list[MIMEPart]) -> list[MIMEPart]:
    for kind in _SHOWN:
        for form in reversed(forms):
            if any(_is_shown(part) and part.get_content_type() == kind for part in form.walk()):
                return [form, *_invitations(forms)]
    return forms[-1:]


def _invitations(forms: list[MIMEPart]) -> list[MIMEPart]:
    """Return what says when and where, which the text beside it seldom does."""
    return [form for form in forms if form.get_content_type() == "text/calendar"]


def _is_shown(part: MIMEPart) -> bool:
    broken = part.get_content_maintype() == "multipart"  # without a boundary: a text
    kind = part.get_content_type()
    return broken or (kind in _SHOWN and part.get_content_disposition() != "attachment")


def _file(part: MIMEPart) -> tuple[str, bytes]:
    """Return an attachment's name, with a suffix of the list where its kind tells it, and bytes."""
    name, kind = _named(part)
    if suffix(name) not in registry.SUFFIXES:
        # An unknown text is shown as it is (RFC 2046, 4.1.4).
        unknown = kind.startswith("text/") and kind not in _PERSONS
        name += _KINDS.get(kind, ".txt" if unknown else "")
    if kind == "message/rfc822" and part.is_multipart():
        try:
            return name, _unpacked(part, cast("EmailMessage", part.get_payload(0)).as_bytes())
        except (LookupError, ValueError):  # a broken one cannot be written
            return name, b""
    return name, _bytes(part)


def _named(part: MIMEPart) -> tuple[str, str]:
    """Return an attachment's name, made of its kind where it has none, and its kind."""
    kind = part.get_content_type()
    return part.get_filename() or kind.replace("/rfc822", "").rpartition("/")[2], kind


def _unpacked(part: MIMEPart, mail: bytes) -> bytes:
    """Return a mail within a mail that was packed as a file is, which RFC 2046 forbids."""
    packed = str(part.get("content-transfer-encoding", "")).strip().lower() == "base64"
    try:
        return binascii.a2b_base64(mail) if packed else mail
    except binascii.Error:
        return mail


def _bytes(part: MIMEPart) -> bytes:
    """Return a part's content; blanks at a line's end were added on the way (RFC 2045, 6.7)."""
    quoted = str(part.get("content-transfer-encoding", "")).strip().lower() == "quoted-printable"
    raw = part.get_payload() if quoted and not part.is_multipart() else None
    if isinstance(raw, str) and raw.isascii():
        return quopri.decodestring(_LOOSE_END.sub(b"", raw.encode()))
    return cast("bytes | None", part.get_payload(decode=True)) or b""


def _encoding(data: bytes, declared: str) -> str:
    """Return a text's encoding: UTF-8 where a program says Latin-1 whatever it writes."""
    try:
        latin = codecs.lookup(declared.strip()).name in _LATIN if declared.strip() else False
        data.decode("utf-8")
    except (LookupError, ValueError):
        return declared
    return "utf-8" if latin and not data.isascii() else declared


def _subject(message: EmailMessage) -> str:
    """Return the subject; where it has letters that no header may have, as they are meant."""
    raw = next((value for name, value in message.raw_items() if name.lower() == "subject"), "")
    data = str(raw).encode("utf-8", "surrogateescape")
    if any("\udc80" <= letter <= "\udcff" for letter in str(raw)):
        return decode(data)[0]
    return str(message.get("subject", ""))
