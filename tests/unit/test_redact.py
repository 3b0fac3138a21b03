"""What redaction finds, what it leaves alone, and how it numbers what it found."""

import pytest

from insights.governance import redact
from insights.model import Redaction


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("write to a.b+c@mail.example.co.uk now", "write to <EMAIL_1> now"),
        ("scan@printer.lan is down", "<EMAIL_1> is down"),
        ("card 4111 1111 1111 1111.", "card <CARD_1>."),
        ("card 4111-1111-1111-1112.", "card 4111-1111-1111-1112."),
        ("to DE89 3704 0044 0532 0130 00 by Friday", "to <IBAN_1> by Friday"),
        ("GB82WEST12345698765432", "<IBAN_1>"),
        ("host 192.168.0.17, not 999.1.1.1", "host <IP_1>, not 999.1.1.1"),
        ("fe80::1ff:fe23:4567:890a at 12:30:45", "<IP_1> at 12:30:45"),
        ("call +49 (30) 901820-15", "call <PHONE_1>"),
        ("call (212) 555-0199 or 0171/555 1234", "call <PHONE_1> or <PHONE_2>"),
        ("on 2024-05-01 10:00:00 and 01.05.2024", "on 2024-05-01 10:00:00 and 01.05.2024"),
        ("order 20240511234, 1 234 567 units", "order 20240511234, 1 234 567 units"),
        ("version 10.11.19 of part 4711-0815", "version 10.11.19 of part 4711-0815"),
    ],
)
def test_kinds(text: str, made: str) -> None:
    assert redact.text(text)[0] == made


def test_one_value_has_one_number_in_a_row() -> None:
    made, counts = redact.row(
        {"a": "x@y.de, z@y.de", "b": "X@Y.DE again", "c": None, "d": ""}, Redaction()
    )
    assert made == {"a": "<EMAIL_1>, <EMAIL_2>", "b": "<EMAIL_1> again", "c": None, "d": ""}
    assert counts == {"email": 3}


def test_a_columns_value_is_found_in_every_text() -> None:
    values = {
        "customer": "Ann Berg",
        "body": "ANN\nBERG, Ann Berger, ann berg's lamp",
        "phone": "12",
    }
    made, counts = redact.row(values, Redaction(columns=("customer", "phone")))
    assert made["customer"] == "<CUSTOMER_1>"
    assert made["body"] == "<CUSTOMER_1>, Ann Berger, <CUSTOMER_1>'s lamp"
    assert made["phone"] == "<PHONE_1>"  # whole, and too short to be looked for elsewhere
    assert counts == {"customer": 3, "phone": 1}


def test_overlapping_finds_leave_nothing_over() -> None:
    values = {"name": "berg", "body": "ann@berg.example"}
    made, _ = redact.row(values, Redaction(columns=("name",)))
    assert made["body"] == "<EMAIL_1>"


def test_it_can_be_turned_off() -> None:
    text = "x@y.de 4111 1111 1111 1111"
    assert redact.text(text, ())[0] == text
