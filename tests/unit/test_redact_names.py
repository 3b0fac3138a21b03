"""Names that a column gives, in every form people write them."""

import pytest

from insights.governance import redact
from insights.model import Redaction


def body(text: str, **columns: str) -> str:
    policy = Redaction(kinds=(), columns=tuple(columns))
    made, _ = redact.row({**columns, "body": text}, policy)
    return made["body"] or ""


@pytest.mark.parametrize(
    ("name", "text", "made"),
    [
        ("Ann Berg", "Berg, Ann called", "<CUSTOMER_1> called"),
        ("Berg, Ann", "Ann Berg called", "<CUSTOMER_1> called"),
        ("Ann Berg", "Ms Berg and Ann", "Ms <CUSTOMER_1> and <CUSTOMER_1>"),
        ("Ann Berg", "BERG, ann", "<CUSTOMER_1>"),
        ("Ann Berg", "A. Berg; Berg, A.", "<CUSTOMER_1>; <CUSTOMER_1>"),
        ("Ann Berg", "A.B. says", "<CUSTOMER_1> says"),
        ("Ann Berg", "Bergs lamp, Berg's lamp", "<CUSTOMER_1>s lamp, <CUSTOMER_1>'s lamp"),
        ("Ann Berg", "Berg\u2019s", "<CUSTOMER_1>\u2019s"),
        ("Jürgen Müller", "Juergen Mueller; Jurgen Muller", "<CUSTOMER_1>; <CUSTOMER_1>"),
        ("Jürgen Müller", "MÜLLER, müller", "<CUSTOMER_1>, <CUSTOMER_1>"),
        ("Juergen Mueller", "Jürgen Müller", "<CUSTOMER_1>"),
        ("Søren Åberg", "Soeren Aaberg, Soren Aberg", "<CUSTOMER_1>, <CUSTOMER_1>"),
        ("Łukasz Żółty", "Lukasz Zolty", "<CUSTOMER_1>"),
        ("Dr. Jan-Willem van der Berg", "Van der Berg, Jan Willem", "<CUSTOMER_1>"),
        ("Ann Berg", "login aberg or ann.berg", "login <CUSTOMER_1> or <CUSTOMER_1>"),
        ("Ann Berg", "BERGANN", "<CUSTOMER_1>"),
        ("Li Wei", "Li asked; a list; Wei", "<CUSTOMER_1> asked; a list; <CUSTOMER_1>"),
        ("王小明", "客户王小明来电", "客户<CUSTOMER_1>来电"),
        ("Иванов Пётр", "для Иванова", "для <CUSTOMER_1>"),
        ("Ann Be\u200brg", "A\u200bnn B\uff45rg", "<CUSTOMER_1>"),
    ],
)  # fmt: skip
def test_one_column(name: str, text: str, made: str) -> None:
    assert body(text, customer=name) == made


def test_two_columns_joined() -> None:
    columns = {"first_name": "Ann", "last_name": "Berg"}
    assert body("Ann Berg", **columns) == "<FIRST_NAME_1> <LAST_NAME_1>"
    assert body("Berg, A.", **columns) == "<LAST_NAME_1>, <FIRST_NAME_1>"
    assert body("annberg or aberg", **columns) == "<LAST_NAME_1> or <LAST_NAME_1>"


@pytest.mark.parametrize(
    "text",
    [
        "Bergen, Bergmann and Annette",
        "an iceberg; annual; A. and B. and AB",
    ],
)
def test_other_words_stay(text: str) -> None:
    assert body(text, customer="Ann Berg") == text


def test_a_name_that_is_a_word_stays_a_word_in_lower_case() -> None:
    assert body("it will not take long", customer="Will Long") == "it will not take long"
    assert body("Will said Long", customer="Will Long") == "<CUSTOMER_1> said <CUSTOMER_1>"


def test_what_is_no_name_is_found_as_a_whole() -> None:
    address = "Hauptstr. 12, 8001 Zürich"
    assert (
        body("in Hauptstr 12; at 8001 Zuerich", address=address) == "in <ADDRESS_1>; at <ADDRESS_1>"
    )
    assert body("the city of Zürich", address=address) == "the city of Zürich"
    assert body("ring 030 90 18 20", phone_no="030/901820") == "ring <PHONE_NO_1>"
    firm = "Meier Maschinenbau AG"
    assert (
        body("Maschinenbau by Meier Maschinenbau AG", firm_name=firm)
        == "Maschinenbau by <FIRM_NAME_1>"
    )


def test_a_long_value_is_known_by_its_first_words() -> None:
    note = " ".join(f"word{number} of the note" for number in range(200))
    assert body(f"x {note}", note=note).startswith("x <NOTE_1>")
