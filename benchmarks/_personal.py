"""Personal data of nobody: made-up values with valid checksums, ways to write them, look-alikes.

Everything comes from a seeded generator. Names are a small list of the world's most common ones.
"""

import random
import re
import string
from collections.abc import Callable, Iterator

from stdnum import luhn, numdb
from stdnum.iso7064 import mod_97_10

_GIVEN = (
    "Anna Jens Mária Łukasz Zoë Jürgen Françoise Søren Björn Chloé José Nguyen Wei Li Priya"
    " Ahmed Ivana Oğuz Müge Håkon Seán Aoife Piotr Zdeněk Élodie Renée Günther Käthe Ana-Lucía"
    " Jean-Pierre John Mary Fatima Yusuf Olga Dmitri Giulia Matteo Anneke Sjoerd"
)
_FAMILY = (
    "Müller Schäfer García Muñoz Kowalski Nováková Sørensen Åberg Lefèvre O'Brien MacDonald"
    " Größl Weiß Çelik Y\u0131lmaz Dvořák Jørgensen Öztürk Petrović Szabó Ionescu Papadopoulos"
    " Rossi Ferrari Bianchi Johansson Virtanen Ivanov Andersson Nielsen Dubois Moreau Fernández"
    " Silva Santos Costa Tanaka Smith-Jones Vandenberghe Hoffmann"
)
GIVEN = tuple(_GIVEN.split())
FAMILY = tuple(_FAMILY.split())
_LATIN = string.ascii_lowercase


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


def email(rng: random.Random) -> str:
    first, last = (
        rng.choice(("jane", "tom", "ola", "m.k", "info.desk")),
        rng.choice(("doe", "berg", "x9")),
    )
    host = "".join(rng.choice(_LATIN) for _ in range(rng.randint(3, 9)))
    end = rng.choice(("com", "de", "co.uk", "example", "lan"))
    return f"{first}{rng.choice('._-+')}{last}@{host}.{end}"


def iban(rng: random.Random) -> str:
    country, bank = rng.choice(
        (
            ("DE", 18),
            ("AT", 16),
            ("FR", 0),
            ("CH", 17),
            ("GB", 0),
            ("ES", 20),
            ("NL", 0),
            ("PL", 24),
            ("NO", 11),
        )
    )
    if country == "GB":
        body = "NWBK" + _digits(rng, 14)
    elif country == "NL":
        body = "ABNA" + _digits(rng, 10)
    elif country == "FR":
        body = (
            _digits(rng, 10)
            + "".join(rng.choice(string.ascii_uppercase) for _ in range(11))
            + _digits(rng, 2)
        )
    else:
        body = _digits(rng, bank)
    assert numdb.get("iban").info(country)
    number = country + mod_97_10.calc_check_digits(body + country) + body
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))


def card(rng: random.Random) -> str:
    prefix, size = rng.choice(
        (("4", 16), ("4", 19), ("51", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16),
         ("3530", 16), ("36", 14), ("5018", 12), ("6304", 13), ("6759", 18), ("62", 16), ("65", 16),
         ("2200", 16))
    )  # fmt: skip
    body = prefix + _digits(rng, size - len(prefix) - 1)
    number = body + luhn.calc_check_digit(body)
    if size == 15:
        return f"{number[:4]} {number[4:10]} {number[10:]}"
    return " ".join(number[at : at + 4] for at in range(0, size, 4)) if size == 16 else number


def phone(rng: random.Random) -> str:
    return rng.choice(
        (
            f"+49 {rng.choice((30, 89, 221))} {_digits(rng, 7)}",
            f"+41 44 {rng.randint(200, 999)} {rng.randint(10, 99)} {rng.randint(10, 99)}",
            f"+1-{rng.randint(201, 989)}-{rng.randint(201, 999)}-{_digits(rng, 4)}",
            f"0044 20 7{_digits(rng, 3)} {_digits(rng, 4)}",
            f"({rng.randint(201, 989)}) {rng.randint(201, 999)}-{_digits(rng, 4)}",
            f"0{rng.randint(151, 179)}/{rng.randint(1000000, 9999999)}",
            f"0{rng.randint(30, 99)} {rng.randint(100, 999)} {_digits(rng, 2)} {_digits(rng, 2)}",
            f"{rng.randint(201, 989)}.{rng.randint(201, 999)}.{_digits(rng, 4)}x{_digits(rng, 3)}",
        )
    )


def ip(rng: random.Random) -> str:
    return ".".join(str(rng.randint(low, 254)) for low in (31, 0, 10, 10))


def mac(rng: random.Random) -> str:
    return ":".join(f"{rng.randint(0, 255):02x}" for _ in range(6))


def url(rng: random.Random) -> str:
    token = "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(24))
    return rng.choice(
        (
            f"https://files.example.com/report.pdf?token={token}",
            f"https://admin:{token[:9]}@intranet.example.com/start",
            f"https://app.example.com/reset/{token}9xA1",
            f"https://s3.example.com/b/k?X-Amz-Signature={token}&X-Amz-Expires=300",
            f"ftp://tom:{token[:6]}@ftp.example.org/in",
            f"https://login.example.com/cb#access_token={token}&state=1",
        )
    )


def national_id(rng: random.Random) -> str:
    return rng.choice(NATIONAL)(rng)


def _ssn(rng: random.Random) -> str:
    return f"{rng.randint(1, 665):03}-{rng.randint(1, 99):02}-{rng.randint(1, 9999):04}"


def _nino(rng: random.Random) -> str:
    return (
        f"AB {rng.randint(10, 99)} {rng.randint(10, 99)} {rng.randint(10, 99)} {rng.choice('ABCD')}"
    )


def _dni(rng: random.Random) -> str:
    number = rng.randint(10_000_000, 99_999_999)
    return f"{number}-{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def _ahv(rng: random.Random) -> str:
    body = "756" + _digits(rng, 9)
    check = -sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(body)) % 10
    number = f"{body}{check}"
    return f"{number[:3]}.{number[3:7]}.{number[7:11]}.{number[11:]}"


def _personnummer(rng: random.Random) -> str:
    body = f"{rng.randint(50, 99)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}{_digits(rng, 3)}"
    return f"{body[:6]}-{body[6:]}{luhn.calc_check_digit(body)}"


def _cpf(rng: random.Random) -> str:
    body = _digits(rng, 9)
    for _ in range(2):
        total = sum(int(digit) * (len(body) + 1 - at) for at, digit in enumerate(body))
        body += str((11 - total % 11) % 11 % 10)
    return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"


NATIONAL: tuple[Callable[[random.Random], str], ...] = (
    _ssn, _nino, _dni, _ahv, _personnummer, _cpf,
)  # fmt: skip


def secret(rng: random.Random) -> str:
    alphabet = string.ascii_letters + string.digits
    body = "".join(rng.choice(alphabet) for _ in range(40))
    return rng.choice(
        (f"ghp_{body[:36]}", f"AKIA{body[:16].upper()}", f"sk-proj-{body}", f"glpat-{body[:20]}",
         f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI{body[:12]}.{body[:30]}")
    )  # fmt: skip


KINDS: dict[str, Callable[[random.Random], str]] = {
    "email": email,
    "iban": iban,
    "card": card,
    "phone": phone,
    "ip": ip,
    "mac": mac,
    "url": url,
    "national_id": national_id,
    "secret": secret,
}
# A sentence around a value, none of which says what it is.
FRAMES = (
    "Please look at {} today.",
    "{}",
    "Hello, it says {}, what now?",
    "As before: {}\nThank you",
    "Der Kunde schreibt {} und wartet.",
)


def _between(value: str, mark: str) -> str:
    """Put a mark into the middle of each word of a value."""
    return " ".join(
        word[: len(word) // 2] + mark + word[len(word) // 2 :] for word in value.split(" ")
    )


def _only(value: str, chars: str, made: Callable[[str], str]) -> str:
    return "".join(made(char) if char in chars else char for char in value)


_SIGNS = string.punctuation
_WIDE = {ord(char): ord(char) + 0xFEE0 for char in map(chr, range(0x21, 0x7F))}
# How the same value is written so that plain patterns miss it.
EVASIONS: dict[str, Callable[[str], str]] = {
    "no-break spaces": lambda value: value.replace(" ", "\u00a0"),
    "narrow no-break spaces": lambda value: value.replace(" ", "\u202f"),
    "ideographic spaces": lambda value: value.replace(" ", "\u3000"),
    "zero-width spaces": "\u200b".join,
    "zero-width joiners": lambda value: _between(value, "\u200d"),
    "word joiners": lambda value: _between(value, "\u2060"),
    "byte order marks": lambda value: _between(value, "\ufeff"),
    "soft hyphens": lambda value: _between(value, "\u00ad"),
    "bidi marks": lambda value: f"\u202a{_between(value, chr(0x200E))}\u202c",
    "full width": lambda value: value.translate(_WIDE),
    "mathematical digits": lambda value: _only(
        value, string.digits, lambda c: chr(0x1D7CE + int(c))
    ),
    "arabic digits": lambda value: _only(value, string.digits, lambda c: chr(0x660 + int(c))),
    "html decimal": lambda value: _only(value, _SIGNS, lambda c: f"&#{ord(c)};"),
    "html hexadecimal": lambda value: _only(
        value, _SIGNS + string.digits, lambda c: f"&#x{ord(c):x};"
    ),
    "percent escapes": lambda value: _only(value, "@:/ +", lambda c: f"%{ord(c):02X}"),
    "backslash escapes": lambda value: _only(value, _SIGNS, lambda c: f"\\u{ord(c):04x}"),
    "en dashes": lambda value: value.replace("-", "\u2013"),
    "minus signs": lambda value: value.replace("-", "\u2212"),
    "one dot leaders": lambda value: value.replace(".", "\u2024"),
    "line break at a space": lambda value: value.replace(" ", "\n", 1),
    "wrapped in the middle": lambda value: (
        value[: len(value) // 2] + "\n" + value[len(value) // 2 :]
    ),
    "inline tags": lambda value: f"<b>{value[:3]}</b>{value[3:]}",
    "tabs": lambda value: value.replace(" ", "\t"),
}


def separated(kind: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield a value of digits with its separators exchanged, as (way, text)."""
    if kind not in {"card", "iban"}:
        return
    for way, mark in (("dashes", "-"), ("dots", "."), ("nothing", ""), ("spaced dashes", " - ")):
        yield way, value.replace(" ", mark)


# d{n}: n digits; h{n}: n hexadecimal ones; {a-b}: a number; dates as Y, M and D.
_LOOK_ALIKES = (
    "part d{4}-d{3}-d{3}", "Teil X d{6}", "P/N d{3}-d{4}-d{2}", "SKF-d{5}", "DIN d{4}", "d{4}-d{4}",
    "bearing 6d{3}-2RS, seal d{2}xd{2}xd{1}", "order Yd{7}", "Auftrag 45d{8}",
    "PO d{10}, item 00d{2}0",
    "invoice RE-Y-d{5}", "ticket #d{7} and INCd{7}", "version {1-12}.{0-30}.{0-60}",
    "firmware {1-9}.{0-9}.{0-9}.{0-99}", "v{1-9}.{0-20}.{0-9}.d{4}",
    "Windows 10.0.{17000-22999}.d{4}",
    "lib@{0-9}.{0-20}.{0-9}", "{1-9}.d{3},d{2} EUR", "$ {1-9},d{3},d{3}.00",
    "{1-9} d{3} d{3} units",
    "CHF {1-9}'d{3}.d{2}", "Y-M-D {10-23}:{10-59}:{10-59}", "D.M.Y", "M/D/Y", "D.M.-D.M.Y",
    "Y-M-DT{10-23}:00:00Z", "YMD{10-23}{10-59}{10-59}", "17d{11}",
    "chapter {1-9}.{1-9}.{1-9}.{1-9}",
    "pressure {1-9}.d{2} bar at {20-90} \u00b0C, d{4} rpm",
    "torque {10-20} {21-30} {31-40} {41-50} {51-60}",
    "error 0x8d{7} in module 00d{4}", "serial Fd{9}", "lot d{6}-d{2}",
    "h{8}-h{4}-4h{3}-9h{3}-h{12}",
    "commit h{40}", "line {1-999}: d{5} of d{6} rows, d{3} ms",
)  # fmt: skip
_SLOT = re.compile(r"d\{(\d+)\}|h\{(\d+)\}|\{(\d+)-(\d+)\}|Y|M(?=[-./DT])|D(?=[-./ T{]|$)")


def not_personal(rng: random.Random) -> list[str]:
    """Return 500 texts of part numbers, order numbers, versions, prices and dates."""

    def filled(match: re.Match[str]) -> str:
        if match[1]:
            return _digits(rng, int(match[1]))
        if match[2]:
            return "".join(rng.choice("0123456789abcdef") for _ in range(int(match[2])))
        if match[3]:
            return str(rng.randint(int(match[3]), int(match[4])))
        ends = {"Y": (2000, 2026), "M": (1, 12), "D": (1, 28)}[match[0]]
        return f"{rng.randint(*ends):02}"

    return [_SLOT.sub(filled, _LOOK_ALIKES[at % len(_LOOK_ALIKES)]) for at in range(500)]


def moments(rng: random.Random) -> list[str]:
    """Return 330 dates and times of day, as people and machines write them."""
    made = []
    for _ in range(30):
        year, month, day = rng.randint(2010, 2029), rng.randint(1, 12), rng.randint(1, 28)
        hour, minute, second = rng.randint(0, 23), rng.randint(0, 59), rng.randint(0, 59)
        date, time = f"{year}-{month:02}-{day:02}", f"{hour:02}:{minute:02}:{second:02}"
        made += [
            f"due {date}", f"{date} {time}", f"{date}T{time}.{rng.randint(100000, 999999)}Z",
            f"{day:02}.{month:02}.{year}", f"{day}.{month}.{year} {hour}:{minute:02}",
            f"{month}/{day}/{year}", f"{day:02}.{month:02}.-{day:02}.{month:02}.{year}",
            f"{year}{month:02}{day:02}", f"{day:02}{month:02}{year}",
            f"{year}{month:02}{day:02}{hour:02}{minute:02}",
            f"{year}{month:02}{day:02}{hour:02}{minute:02}{second:02}",
        ]  # fmt: skip
    return made
