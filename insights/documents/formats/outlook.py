"""The door to python-oxmsg: Outlook's mails (MSG) with what is attached to them."""

import io

import oxmsg
from oxmsg.attachment import Attachment
from oxmsg.domain import constants

from insights import errors
from insights.documents.formats import html
from insights.documents.formats.cleaning import clean
from insights.documents.formats.mail import together
from insights.documents.messages import Limits, Loaded


def load(data: bytes, limits: Limits) -> Loaded:
    """Return the text as Outlook shows it, its date, and each attachment as a section.

    Raises:
        errors.KnowledgeError: If the file is damaged.
    """
    try:
        message = oxmsg.Message.load(io.BytesIO(data))
        # As bytes: the page declares its encoding better than the properties do.
        page = message.properties.binary_prop_value(constants.PID_HTML)
        shown = html.load(page, limits) if page else None
        text = clean(message.body or "").strip() if shown is None else shown.text
        sent = message.sent_date.isoformat(" ") if message.sent_date else ""
        attached = [
            (_name(attachment), attachment.file_bytes or b"") for attachment in message.attachments
        ]
        subject = message.subject
    except (OSError, KeyError, ValueError, IndexError, AttributeError, TypeError) as exc:
        raise errors.KnowledgeError("is no readable Outlook mail", fix="save it as .eml") from exc
    return together(subject, sent, text, () if shown is None else shown.doubts, attached, limits)


def _name(attachment: Attachment) -> str:
    short = attachment.properties.str_prop_value(constants.PID_ATTACH_FILENAME)
    return attachment.file_name or short or ""
