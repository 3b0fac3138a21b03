"""Mails as a mail program shows them: each part of their text, attachments under any name."""

import base64
import time
from email.message import EmailMessage

import pytest

from insights import errors
from insights.documents.messages import Limits, Loaded
from insights.documents.registry import read


def _read(message: EmailMessage | bytes) -> Loaded:
    data = message if isinstance(message, bytes) else message.as_bytes()
    return read("a.eml", data, Limits())


def _of(*parts: str, kind: str = "mixed") -> bytes:
    """Write a mail of these parts, each its header and body."""
    body = "".join(f"--cut\r\n{part}\r\n" for part in parts)
    head = f'Subject: Pump\r\nContent-Type: multipart/{kind}; boundary="cut"\r\n\r\n'
    return f"{head}{body}--cut--\r\n".encode()


def test_every_part_of_a_text_is_shown() -> None:
    plain = "Content-Type: text/plain\r\n\r\n"
    text = _read(
        _of(
            f"{plain}The pump stops.",
            "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=",
            "Content-Type: text/html\r\n\r\n<p>It <b>leaks</b>.",
            f"{plain}____\r\nThe list's footer.",
        )
    ).text
    assert text == "# Pump\n\nThe pump stops.\n\nIt leaks.\n\n____\nThe list's footer."


def test_of_alternatives_the_best_is_shown_with_all_that_it_has() -> None:
    inner = (
        'Content-Type: multipart/mixed; boundary="in"\r\n\r\n'
        "--in\r\nContent-Type: text/html\r\n\r\n<p>before\r\n"
        "--in\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\n"
        "Part,Count\r\nA-1,2\r\n"
        "--in\r\nContent-Type: text/html\r\n\r\n<p>behind\r\n--in--"
    )
    loaded = _read(
        _of(
            "Content-Type: text/plain\r\n\r\nthe plain words",
            inner,
            "Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR",
            kind="alternative",
        )
    )
    assert loaded.text == "# Pump\n\nbefore\n\nbehind\n\n## a.csv\n\n## A-1\n\nPart: A-1\nCount: 2"
    plain = _of(
        "Content-Type: text/plain\r\n\r\nonly", "Content-Type: x/y\r\n\r\n?", kind="alternative"
    )
    assert _read(plain).text == "# Pump\n\nonly"


def test_a_digest_has_all_its_mails() -> None:
    text = _read(
        _of("\r\nSubject: one\r\n\r\nfirst", "\r\nSubject: two\r\n\r\nsecond", kind="digest")
    ).text
    assert "first" in text
    assert "second" in text


def test_an_attachment_is_known_by_its_kind_where_its_name_says_nothing() -> None:
    message = EmailMessage()
    message["Subject"] = "Order"
    message.set_content("See below.")
    message.add_attachment("Count the valves.", filename="note")
    message.add_attachment("A;B\n1;2\n", subtype="csv")
    text = _read(message).text
    assert "## note.txt\n\nCount the valves." in text
    assert "## csv.csv\n\n## 1\n\nA: 1\nB: 2" in text


def test_a_mail_whose_parts_have_no_boundary_is_a_text() -> None:
    data = b"Subject: Pump\r\nContent-Type: multipart/mixed\r\n\r\nIt stops.\r\n"
    assert _read(data).text == "# Pump\n\nIt stops."


_PLAIN = "Content-Type: text/plain\r\n\r\nSee below."
_EVENT = (
    "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Review\\, pump\r\n"
    "ORGANIZER;CN=Ann:mailto:a@x.example\r\nDTSTART;TZID=Europe/Zurich:20240501T100000\r\n"
    "DTEND:20240501T090000Z\r\nLOCATION:Hall\r\n  3\r\n"
    "DESCRIPTION:Bring\\nthe seal\r\nBEGIN:VALARM\r\nDESCRIPTION:Reminder\r\nEND:VALARM\r\n"
    "STATUS:CANCELLED\r\nEND:VEVENT\r\nEND:VCALENDAR"
)
_SHOWN = (
    "## Review, pump\n\nWhen: 2024-05-01 10:00 Europe/Zurich to 2024-05-01 09:00 UTC\n"
    "Where: Hall 3\nStatus: cancelled\n\nBring\nthe seal"
)


def test_an_invitation_says_when_and_where_beside_its_text() -> None:
    mail = _of(_PLAIN, f"Content-Type: text/calendar\r\n\r\n{_EVENT}", kind="alternative")
    assert _read(mail).text == f"# Pump\n\nSee below.\n\n## calendar.ics\n\n{_SHOWN}"
    assert read("a.ics", _EVENT.encode(), Limits()).text == _SHOWN
    whole_day = _EVENT.replace(";TZID=Europe/Zurich:20240501T100000", ";VALUE=DATE:20240501")
    assert "When: 2024-05-01 to" in read("a.ics", whole_day.encode(), Limits()).text


def test_what_is_no_calendar_says_so() -> None:
    with pytest.raises(errors.KnowledgeError, match="is no calendar"):
        read("a.ics", b"Hello", Limits())


def test_a_damaged_calendar_takes_no_longer_than_another() -> None:
    """Each further `;` doubled the time that a line without its value took."""
    damaged = _EVENT.replace("DTSTART", f"X-A{';' * 30}\nDTSTART")
    began = time.process_time()
    assert read("a.ics", damaged.encode(), Limits()).text == _SHOWN
    assert time.process_time() - began < 5


def test_a_mail_in_a_mail_may_be_packed_as_a_file_is() -> None:
    packed = base64.b64encode(b"Subject: Inner\r\n\r\nInner words.").decode()
    head = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    text = _read(_of(_PLAIN, f"{head}{packed}")).text
    assert text == "# Pump\n\nSee below.\n\n## message.eml\n\n# Inner\n\nInner words."


@pytest.mark.parametrize(
    ("declared", "written"),
    [("iso-8859-1", "utf-8"), ("us-ascii", "utf-8"), ("utf-8", "cp1252"), ("us-ascii", "cp1252")],
)
def test_an_encoding_that_is_none_of_the_texts_does_not_spoil_it(
    declared: str, written: str
) -> None:
    head = f"Subject: Pump\r\nContent-Type: text/plain; charset={declared}\r\n\r\n"
    text = _read(head.encode() + "Größe der Düse für Öl".encode(written)).text
    assert text == "# Pump\n\nGröße der Düse für Öl"


def test_a_subject_that_is_not_encoded_is_read() -> None:
    assert _read("Subject: Größe\r\n\r\nx".encode("cp1252")).title == "Größe"
    assert _read("Subject: Größe\r\n\r\nx".encode()).title == "Größe"


def test_blanks_behind_a_soft_break_part_no_words() -> None:
    head = b"Subject: Pump\r\nContent-Type: text/plain; charset=utf-8\r\n"
    head += b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    text = _read(head + b"put to=\r\ngether= \t\r\n in Z=C3=BCrich= \r\n").text
    assert text == "# Pump\n\nput together in Zürich"


def test_a_text_of_an_unknown_kind_is_a_text_and_a_visiting_card_is_none() -> None:
    text = _read(
        _of(
            _PLAIN,
            "Content-Type: text/x-log\r\n\r\nE7 at 10:00",
            "Content-Type: text/vcard\r\n\r\nBEGIN:VCARD",
        )
    ).text
    assert text == "# Pump\n\nSee below.\n\n## x-log.txt\n\nE7 at 10:00"


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("application/octet-stream", "SMIME.P7M", "SMIME.P7M is encrypted or packed (S/MIME)"),
        ("application/pkcs7-mime", "smime.p7m", "smime.p7m is encrypted or packed (S/MIME)"),
        ("application/pgp-encrypted", "", "is encrypted (PGP)"),
    ],
)
def test_what_cannot_be_looked_into_is_told_with_the_way_out(
    kind: str, name: str, told: str
) -> None:
    named = f"; name={name}" if name else ""
    loaded = _read(_of(_PLAIN, f"Content-Type: {kind}{named}\r\n\r\nx"))
    assert loaded.text == "# Pump\n\nSee below."
    assert [told in doubt and ": " in doubt for doubt in loaded.doubts] == [True]
