"""How redaction replaces: numbers, columns, a site's own words; what it leaves alone."""

import pytest

from insights import errors
from insights.governance import redact
from insights.governance.redact import custom
from insights.model import Document, Redaction, Verdict


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


def test_one_value_has_one_number_however_it_is_written() -> None:
    made, _ = redact.text(
        "4111 1111 1111 1111, 4111-1111-1111-1111, \uff14\uff11\uff11\uff11111111111111"
    )
    assert made == "<CARD_1>, <CARD_1>, <CARD_1>"


def test_a_columns_value_is_found_in_every_text() -> None:
    values = {
        "customer": "Ann Berg",
        "body": "ANN\nBERG, Ann Berger, ann berg's lamp",
        "phone": "12",
    }
    made, counts = redact.row(values, Redaction(columns=("customer", "phone")))
    assert made["customer"] == "<CUSTOMER_1>"
    assert made["body"] == "<CUSTOMER_1>, <CUSTOMER_1> Berger, <CUSTOMER_1>'s lamp"
    assert made["phone"] == "<PHONE_1>"  # whole, and too short to be looked for elsewhere
    assert counts == {"customer": 4, "phone": 1}


def test_overlapping_finds_leave_nothing_over() -> None:
    values = {"name": "berg", "body": "ann@berg.example"}
    made, _ = redact.row(values, Redaction(columns=("name",)))
    assert made["body"] == "<EMAIL_1>"


def test_it_can_be_turned_off() -> None:
    text = "x@y.de 4111 1111 1111 1111"
    assert redact.text(text, Redaction(kinds=()))[0] == text


def test_every_link_is_a_kind_that_has_to_be_asked_for() -> None:
    text = "see https://example.com/a, then"
    assert redact.text(text)[0] == text
    assert redact.text(text, Redaction(kinds=("link",)))[0] == "see <LINK_1>, then"


# --- a site's own --------------------------------------------------------------------------------


def test_own_patterns_make_placeholders_of_their_name() -> None:
    policy = Redaction(patterns=(("customer_no", r"\bK-\d{6}\b"), ("seat", r"seat (\d+[A-F])")))
    made, counts = redact.text("K-123456 and K\u2011123456 in seat 12A", policy)
    assert made == "<CUSTOMER_NO_1> and <CUSTOMER_NO_1> in seat <SEAT_1>"
    assert counts == {"customer_no": 2, "seat": 1}


def test_a_pattern_without_end_is_that_rows_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom, "PATTERN_LIMIT_S", 0.05)
    policy = Redaction(patterns=(("bad", r"(x+x+)+y"),))
    with pytest.raises(errors.RowError, match="the pattern bad took longer"):
        redact.text("x" * 5_000, policy)


@pytest.mark.parametrize(
    "text",
    ["support@acme.example", "SUPPORT@acme.example", "x@help.acme.example", "+41 44 000 11 22"],
)
def test_allowed_values_stay(text: str) -> None:
    policy = Redaction(allow=("Support@acme.example", "*@help.acme.example", "+41-44-0001122"))
    assert redact.text(f"write to {text} now", policy)[0] == f"write to {text} now"
    assert redact.text("write to y@acme.example", policy)[0] == "write to <EMAIL_1>"


def test_denied_words_go_in_any_case_and_spacing() -> None:
    policy = Redaction(deny=("Project Falcon", "Zeta"))
    made, _ = redact.text("PROJECT\nfalcon, project-falcon, zeta, zetas", policy)
    assert made == "<DENIED_1>, <DENIED_1>, <DENIED_2>, zetas"


def test_masked_placeholders_hide_most_of_the_value() -> None:
    made, _ = redact.text("write to ann.berg@mail.example", Redaction(masked=True))
    assert made == "write to <EMAIL_1:a••.b•••@m•••.e••••••>"


# --- documents and outputs -----------------------------------------------------------------------


def test_a_document_is_redacted_in_title_and_text_with_one_numbering() -> None:
    made, counts = redact.document(
        Document(uri="a.md", title="Ask x@y.de", text="z@y.de, x@y.de", filters={"tenant": "2"}),
        Redaction(),
    )
    assert (made.title, made.text) == ("Ask <EMAIL_1>", "<EMAIL_2>, <EMAIL_1>")
    assert (made.uri, made.filters, counts) == ("a.md", {"tenant": "2"}, {"email": 3})


def test_an_output_with_personal_data_of_its_own_is_withheld() -> None:
    verdict = Verdict(status="ok", output={"summary": "Write to x@y.de", "n": 2})
    made = redact.judged(verdict, ["the printer of <EMAIL_1>"], Redaction())
    assert made.status == "withheld"
    assert made.output is None
    assert made.reason == "/summary holds what looks like personal data (email)"
    assert "x@y.de" not in str(made)


def test_an_output_may_repeat_what_the_prompt_showed() -> None:
    verdict = Verdict(status="ok", output={"steps": ["Write to help@acme.example", "<EMAIL_1>"]})
    assert redact.judged(verdict, ["Our desk: HELP@acme.example"], Redaction()) == verdict
    assert redact.judged(verdict, [], Redaction(kinds=())) == verdict


def test_a_long_text_of_the_prompt_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def noted(text: str, redaction: Redaction) -> list[redact.Finding]:
        looked.append(text)
        return redact.finds(text, redaction)

    monkeypatch.setattr("insights.governance.redact.outputs.finds", noted)
    shown = "Ask help@acme.example before the pump is opened, whatever the panel says."
    kept = Verdict(status="ok", output={"cause": shown[4:]})
    assert redact.judged(kept, ["a row", shown], Redaction()) == kept
    assert not looked
    other = Verdict(status="ok", output={"cause": shown.replace("help", "jane")})
    assert redact.judged(other, ["a row", shown], Redaction()).status == "withheld"
    assert looked == [shown.replace("help", "jane")]


def test_a_value_put_together_from_pieces_is_withheld() -> None:
    verdict = Verdict(status="ok", output={"who": "jane@mail.example"})
    shown = ["her address is jane, then the sign, then mail.example"]
    assert redact.judged(verdict, shown, Redaction()).status == "withheld"
