"""Each structured kind: what it finds, with values made here and valid checksums."""

import random

import pytest

from benchmarks import _personal
from insights.governance import redact
from insights.model import Redaction


def found(text: str, **policy: object) -> list[tuple[str, str]]:
    made = Redaction(**policy)  # type: ignore[arg-type]
    return [(one.kind, text[one.start : one.end]) for one in redact.finds(text, made)]


@pytest.mark.parametrize("kind", list(_personal.KINDS))
@pytest.mark.parametrize("frame", _personal.FRAMES)
def test_values_without_a_word_that_tells_them(kind: str, frame: str) -> None:
    rng = random.Random(f"{kind} {frame}")
    for _ in range(25):
        value = _personal.KINDS[kind](rng)
        if (kind, value[:4]) == ("card", "6304"):
            continue
        text = frame.format(value)
        assert (kind, value) in found(text), text


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111", "4222222222222", "5105105105105100", "2223003122003222",
        "378282246310005", "3714 496353 98431", "6011111111111117", "30569309025904",
        "3530111333300000", "5018 0000 0009", "6759649826438453", "6304 0000 0000 0000",
        "6221 2612 3456 7892 0 15", "4111.1111.1111.1111", "4111/1111/1111/1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "41111111 11111111",
    ],
)  # fmt: skip
def test_cards_of_many_issuers(number: str) -> None:
    digits = "".join(filter(str.isdigit, number))
    total = sum(
        int(d) if at % 2 == 0 else sum(map(int, str(2 * int(d))))
        for at, d in enumerate(reversed(digits))
    )
    if total % 10:  # made valid by its last digit
        number = number[:-1] + str((int(number[-1]) - total) % 10)
    assert found(f"my credit card {number} please")[0][0] == "card"


@pytest.mark.parametrize(
    "text",
    [
        "tel. 030 901820", "call me at (96) 627-277", "Mobile: 041-412-293", "call 21 212 133 2727",
        "reach me on 4634592912", "fax 0449 817 623", "+41 44 668 18 00", "0041446681800",
        "+1 (415) 555-0132 ext. 12", "tel: 5551234567", "01 42 68 53 00", "01.42.68.53.00",
        "69 987 88 37 office", "0650/7763111", "T: 089-1234567", "Handy 0171 1234567",
        "whatsapp +55 11 91234-5678", "001-420-335-7509x38548", "(08) 9012 9833", "020 7946 0958",
    ],
)  # fmt: skip
def test_telephone_numbers_as_people_write_them(text: str) -> None:
    (kind, value), *more = found(text)
    assert (kind, more) == ("phone", [])
    wanted = text[next(at for at, char in enumerate(text) if char.isdigit()) :]
    assert "".join(filter(str.isdigit, value)) == "".join(filter(str.isdigit, wanted))


def test_a_streams_regions_find_national_numbers_without_a_word() -> None:
    text = "see 0446681800 and 0446681801"
    assert found(text) == []
    assert found(text, regions=("CH",)) == [("phone", "0446681800"), ("phone", "0446681801")]
    assert found("see 2125550187", regions=("US",)) == [("phone", "2125550187")]


@pytest.mark.parametrize(
    "text",
    [
        "his SSN is 123456789", "SSN: 536-90-4399", "social security number 536 90 4399",
        "NI number QQ 12 34 56 A belongs to AB123456C", "Steuer-ID 36 574 261 809",
        "BSN 111222333", "PESEL: 44051401359", "CPR-nr. 211062-5629", "personnummer 880320-0016",
        "AHV-Nr. 756.9217.0769.85", "codice fiscale RCCMNL83S18D969H", "DNI 54362315K",
        "NIE X-5253868-R", "NIR 2 95 10 99 126 111 93", "hetu 131052-308T", "CPF 390.533.447-05",
        "Aadhaar 2341 2341 2346", "PAN card ACUPA7085R", "CURP BOXW310820HNERXN09",
        "Steuernummer 181/815/08155", "CNP 1630615123457", "RRN 971013-9019902",
        "NRIC S1234567D", "HKID A123456(3)", "SNILS 112-233-445 95", "VAT no. DE136695976",
        "OIB 33392005961", "fødselsnummer 15108695088", "rodné číslo 710319/2745",
    ],
)  # fmt: skip
def test_national_ids_beside_their_words(text: str) -> None:
    assert ("national_id") in [kind for kind, _ in found(text)], found(text)


@pytest.mark.parametrize(
    "value",
    [
        "756.9217.0769.85", "RCCMNL83S18D969H", "54362315K", "X-5253868-R", "880320-0016",
        "131052-308T", "390.533.447-05", "15108695088", "BOXW310820HNERXN09", "AB 12 34 56 C",
        "710319/2745", "11010519491231002X", "85.07.30-033 28", "20-05536168-2", "12.531.909-2",
    ],
)  # fmt: skip
def test_national_ids_by_their_form(value: str) -> None:
    assert found(f"it says {value} here") == [("national_id", value)]


def test_a_word_against_a_number_ends_with_its_list() -> None:
    text = "order 45 001 234; 079 123 45 67"
    assert found(text, regions=("CH",)) == [("phone", "079 123 45 67")]


def test_a_streams_regions_find_ids_without_a_word() -> None:
    assert found("it says 1112.22.333 here") == []
    assert found("it says 1112.22.333 here", regions=("NL",)) == [("national_id", "1112.22.333")]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("passport no. C01X00T47", "passport", "C01X00T47"),
        ("Reisepass: X1234567", "passport", "X1234567"),
        ("Personalausweis L01X00T471", "passport", "L01X00T471"),
        ("My driver's license number is 481195160", "licence", "481195160"),
        ("Führerschein B072RRE2I55", "licence", "B072RRE2I55"),
        ("it is MORGA657054SM9IJ", "licence", "MORGA657054SM9IJ"),
        ("She was born on 12/27/1986.", "birth_date", "12/27/1986"),
        ("geb. 3.4.1971", "birth_date", "3.4.1971"),
        ("DOB: 1986-12-27", "birth_date", "1986-12-27"),
        ("Geburtsdatum 27. Dezember 1986", "birth_date", "27. Dezember 1986"),
        ("née le 3 avril 1971", "birth_date", "3 avril 1971"),
        ("mac 001a2b3c4d5e", "mac", "001a2b3c4d5e"),
        ("at 00-1A-2B-3C-4D-5E", "mac", "00-1A-2B-3C-4D-5E"),
        ("at 001a.2b3c.4d5e", "mac", "001a.2b3c.4d5e"),
        ("at ::ffff:192.0.2.128", "ip", "::ffff:192.0.2.128"),
        ("at 2001:db8::8a2e:370:7334", "ip", "2001:db8::8a2e:370:7334"),
        ("ping 1.2.3.4", "ip", "1.2.3.4"),
        ("from 10.0.0.5 and on", "ip", "10.0.0.5"),
        ('"ann berg"@mail.example', "email", '"ann berg"@mail.example'),
        ("jane at mail dot example", "email", "jane at mail dot example"),
        ("an müller@grüße.example", "email", "müller@grüße.example"),
        ("?to=jane@mail.example&x", "email", "jane@mail.example"),
    ],
)
def test_other_kinds(text: str, kind: str, value: str) -> None:
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("password: hunter2!", "hunter2"),
        ("Passwort ist Sommer2024", "Sommer2024"),
        ("PWD=s3cr3t;Database=x", "s3cr3t"),
        ('"api_key": "abcd1234efgh"', "abcd1234efgh"),
        ("DB_PASSWORD=abc$1", "abc$1"),
        ("PIN: 4711", "4711"),
        ("Authorization: Bearer abcdefghij1234567890", "abcdefghij1234567890"),
        ("mot de passe: Été2024", "Été2024"),
        ("AccountKey=abc123def456==;", "abc123def456=="),
    ],
)
def test_secrets_beside_their_words(text: str, value: str) -> None:
    assert found(text) == [("secret", value)]


def test_private_keys_go_as_a_whole() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKC\nAQEAx2b3\n-----END RSA PRIVATE KEY-----"
    assert redact.text(f"here:\n{key}\nthanks")[0] == "here:\n<SECRET_1>\nthanks"


@pytest.mark.parametrize(
    "url",
    [
        "https://tom:pw1@host.example/x",
        "https://host.example/x?access_token=abc",
        "https://host.example/cb#id_token=abc.def",
        "https://host.example/f?sv=2022&sig=abc%2Fdef%3D&se=1",
        "https://host.example/reset/9f86d081884c7d659a2feaa0",
        "https://hooks.example.com/services/T0001/B0001/abcDEF123ghiJKL456mnoPQR",
        "https://host.example/x?u=AbC123dEf456GhI789jKl012",
    ],
)
def test_urls_that_carry_a_login_or_a_token(url: str) -> None:
    assert found(f"open {url}, please") == [("url", url)]


def test_short_numbers_are_nobody_s_and_a_site_s_own_patterns_see_them() -> None:
    for number in ("7", "4711", "12345"):
        assert redact.finds(number) == []
    own = Redaction(patterns=(("badge", r"\d{4}"),))
    assert [one.kind for one in redact.finds("4711", own)] == ["badge"]
    named = Redaction(columns=("room",))
    assert redact.row({"room": "47110", "desk": "47110"}, named)[0]["desk"] == "<ROOM_1>"
