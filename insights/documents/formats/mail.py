"""Mails (EML) with what is attached to them."""

import codecs
import email
import email.policy
from collections.abc import Iterable, Iterator
from email.message import EmailMessage, MIMEPart
from typing import cast

import msgspec

from insights import errors
from insights.documents import registry
from insights.documents.formats.cleaning import clean, one_line
from insights.documents.formats.encoding import decode
from insights.documents.formats.html import shown
from insights.documents.formats.titles import usable
from insights.documents.messages import Limits, Loaded

_DEEPEST = 3  # mails in mails
_nested = 0  # this process reads one document at a time


def load(data: bytes, limits: Limits) -> Loaded:
    """Return the text as a mail program shows it, its date, and each attachment as a section.

    Senders and receivers are left out: they are persons.
    """
    data = data.removeprefix(codecs.BOM_UTF8).lstrip()  # before a header there is nothing
    message = email.message_from_bytes(data, policy=email.policy.default)
    body = message.get_body(preferencelist=("html", "plain"))
    text, doubts = ("", ()) if body is None else _body(body)
    return together(
        str(message.get("subject", "")), str(message.get("date", "")), text, doubts,
        _attached(message), limits,
    )  # fmt: skip


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
    for name, data in attached:
        left -= len(data)
        if registry.suffix(name) not in registry.SUFFIXES:
            continue
        if left < 0:
            told.append(f"the attachment {name} and those after it are too large")
            break
        try:
            inner = _inner(name, data, limits)
        except Exception as exc:  # noqa: BLE001 - an attachment is a stranger's file as any other
            why = exc.what if isinstance(exc, errors.KnowledgeError) else type(exc).__name__
            told.append(f"the attachment {name} was left out: {why}")
            continue
        told.extend(f"{name}: {doubt}" for doubt in inner.doubts)
        parts.append(f"## {one_line(clean(name))}\n\n{inner.text}")
    return Loaded(title=usable(subject), text="\n\n".join(filter(None, parts)), doubts=tuple(told))


def _inner(name: str, data: bytes, limits: Limits) -> Loaded:
    global _nested  # noqa: PLW0603 - loaders take bytes alone
    if _nested >= _DEEPEST:
        raise errors.KnowledgeError("mails are nested too deeply")
    _nested += 1
    try:
        # Pages are recognised by their number in the whole file.
        return registry.read(name, data, msgspec.structs.replace(limits, ocr_pages=0))
    finally:
        _nested -= 1


def _body(part: MIMEPart) -> tuple[str, tuple[str, ...]]:
    data = cast("bytes | None", part.get_payload(decode=True)) or b""
    text, doubts = decode(data, part.get_content_charset("") or "")
    if part.get_content_type() == "text/html" and text.strip():
        page = shown(text, doubts)
        return page.text, page.doubts
    return text.strip(), doubts


def _attached(message: EmailMessage) -> Iterator[tuple[str, bytes]]:
    for part in message.iter_attachments():
        if part.get_content_type() == "message/rfc822":
            inner = part.get_payload(0)
            yield "message.eml", cast("EmailMessage", inner).as_bytes()
        else:
            payload = cast("bytes | None", part.get_payload(decode=True))
            yield part.get_filename() or "", payload or b""
