"""Mails as a mail program shows them: each part of their text, attachments under any name."""

from email.message import EmailMessage

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
