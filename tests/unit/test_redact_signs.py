"""What a text must have for a finder to look at it: nothing is missed for want of a sign."""

import random
from collections.abc import Iterator

import pytest

from benchmarks import _personal
from insights.governance import redact
from insights.governance.redact import entry
from insights.governance.redact.folding import fold, joined
from insights.governance.redact.signs import Sign, Signs, regular
from insights.model import Redaction

EVERY = tuple(entry._FINDERS)
TELLING = (
    "call",
    "tel.",
    "SSN",
    "Steuer-ID",
    "tax",
    "patient",
    "c.f.",
    "ein",
    "passport no",
    "Reisepass",
    "visa number",
    "green card",
    "dl",
    "Führerschein",
    "born on",
    "geb.",
    "née le",
    "DOB:",
    "card",
    "Bearer",
    "token is",
    "Passwort lautet",
    "пароль:",
    "密码:",
    "身份证号",
    "ИНН",
    "pin:",
    "mac",
    "wlan",
    "IP",
    "ip addr",
    "IBAN",
    "at",
    "dot",
    "ext.",
    "x",
    "version",
    "part no",
)
SECRETS = (
    "eyJhbGciOi.eyJzdWIiOi.c2ln",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + 36 * "a",
    "xoxb-1234567890",
    "sk-" + 20 * "b",
    "key-" + 32 * "c",
    "hunter2",
    '"let me in"',
    "4711",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    "dGhpcyBpcyBhIHRva2Vu12",
    "https://ann:secret@host/",
    "https://host/reset/0123456789abcdef0123",
    "192.168.7.12",
    "10 . 0 . 0 . 7",
    "fe80::1ff:fe23:4567:890a",
    "00:1b:44:11:3a:b7",
    "001b.4411.3ab7",
    "001b44113ab7",
    "a dot b at c dot de",
    "12.03.1971",
    "4 March 1971",
    "März 4, 1971",
    "C01X00T47",
    "MORGA657054SM9IJ",
    "D1234567",
    "CZ-123-456",
    "078-05-1120",
    "AB 12 34 56 C",
    "RSS MRA 85T10 A562S",
    "8912345678",
    "030 901820",
    "(030) 1234567",
)
BETWEEN = (
    " ",
    "\n",
    ": ",
    "-",
    "",
    "/",
    ".",
    ", ",
    "(",
    "\u00a0",
    "é",
    "ſ",
    "\u200b",
    "7",
    "_",
    "\U00011f02",
)


def sentences(seed: str, count: int) -> Iterator[str]:
    """Yield words that tell and values of all kinds, in any order, case and company."""
    rng = random.Random(seed)
    makers = list(_personal.KINDS.values())
    for _ in range(count):
        parts: list[str] = []
        for _ in range(rng.randint(1, 5)):
            parts += [
                rng.choice(TELLING) if rng.random() < 0.5 else "",
                rng.choice(BETWEEN[:4]),
                rng.choice(makers)(rng) if rng.random() < 0.5 else rng.choice(SECRETS),
                rng.choice(BETWEEN),
            ]
        text = "".join(parts)
        yield rng.choice((text, text, text, text.upper(), text.lower(), text[len(text) // 7 :]))


@pytest.mark.parametrize("regions", [(), ("DE", "US", "FR")])
def test_where_a_finder_is_not_asked_it_finds_nothing(regions: tuple[str, ...]) -> None:
    policy = entry._Policy(Redaction(kinds=EVERY, regions=regions))
    found = set()
    for text in sentences(f"{regions}", 200):
        for source in filter(None, (fold(text), joined(text))):
            asked = policy._signs.seen(source)
            for at, finder in enumerate(policy._finders):
                finds = [*finder(source, regions)]
                assert at in asked or not finds, (EVERY[at], text)
                found |= {EVERY[at]} if finds else set()
    assert found == {*EVERY}


@pytest.mark.parametrize("kind", EVERY)
def test_each_kind_would_be_missed_without_its_signs(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Redaction(kinds=(kind,), deny=(f"no {kind}",))  # of its own, so that it is made anew
    monkeypatch.setitem(entry._FINDERS, kind, (entry._FINDERS[kind][0], Sign("words", ("\u2603",))))
    found = [find for text in sentences("a", 300) for find in redact.finds(text, policy)]
    assert found == []


def test_prose_has_no_sign_of_anything() -> None:
    signs = Signs([signs for _, signs in entry._FINDERS.values()])
    prose = "The pump of line 3 stops under load, as it did on 12 March 2021; see order 4821."
    assert list(signs.seen(fold(prose))) == []


def test_a_walk_that_fails_leaves_it_to_the_finders(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def Match(self, text: bytes) -> None:  # noqa: N802 - RE2's name
            """Find nothing, not even the end."""

    signs = Signs([Sign("one", ("a",)), Sign("other", ("c",)), Sign("one", ("b",))])
    assert list(signs.seen(fold("only B"))) == [2]
    monkeypatch.setattr(signs, "_walks", [(Failing(), [0, 2]), *signs._walks[1:]])
    assert list(signs.seen(fold("only B"))) == [0, 2]


@pytest.mark.parametrize(
    ("expression", "made"),
    [
        (r"(?<![^\W_])a(?!b)c\Z", r"(?:^|[^0-9a-z])ac"),
        (r"(?P<x>[ .-])\d\1(?P=x)?", None),
        (r"([ .-])\d\1", r"(?:[ .-])\d(?:[ .-])"),
        (r"\d{4,64}+x{3}y{99}z{2,5}", r"\d{4,}x{3}y{16,}z{2,5}"),
        (r"[^a]\W(?-i:A)b*+", r"(?s:.)(?s:.)(?:A)b*"),
        (r"\u00e9[\w.]", r"\x{00e9}[\w\x{80}-\x{10ffff}.]"),
    ],
)
def test_patterns_lose_what_only_narrows_them(expression: str, made: str | None) -> None:
    if made is None:
        with pytest.raises(ValueError, match="P=x"):
            regular(expression)
    else:
        assert regular(expression) == made
