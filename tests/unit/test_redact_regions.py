"""A stream's regions: ids and telephone numbers of a country are found, its other digits stay."""

import random
from collections.abc import Iterator

import pytest

from benchmarks import _personal
from insights.governance import redact
from insights.governance.redact import countries
from insights.model import Redaction

REGIONS = tuple(countries.OFFERED)


def found(text: str, region: str) -> list[str]:
    finds = redact.finds(text, Redaction(regions=(region,), kinds=("national_id", "phone")))
    return [text[one.start : one.end] for one in finds]


def prices(rng: random.Random) -> Iterator[str]:
    for digits in range(4, 9):
        whole = rng.randint(10**digits, 10 ** (digits + 1) - 1)
        yield from (f"cost {whole}.{rng.randint(10, 99)}", f"{whole:,}.00", f"RE-2026-{whole}")


@pytest.mark.parametrize("region", REGIONS)
def test_days_times_prices_and_ends_of_codes_are_no_ids(region: str) -> None:
    rng = random.Random(region)
    for text in (*_personal.moments(rng)[:44], *prices(rng)):
        assert found(text, region) == [], text


@pytest.mark.parametrize("region", REGIONS)
def test_nearly_all_look_alikes_stay(region: str) -> None:
    texts = _personal.not_personal(random.Random(region))[:140]  # four of each form
    assert sum(not found(text, region) for text in texts) >= 0.98 * len(texts)


@pytest.mark.parametrize(
    ("region", "number"),
    [
        ("DE", "36574261809"), ("DE", "181/815/08155"), ("NL", "1112.22.333"),
        ("SE", "8803200016"), ("IT", "00743110157"), ("PL", "44051401359"),
        ("IN", "2341 2341 2346"), ("GB", "943 476 5870"), ("BR", "39053344705"),
        ("NO", "15108695088"), ("ES", "54362315K"), ("PL", "856-734-62-15"),
    ],
)  # fmt: skip
def test_ids_of_a_strict_check_or_in_their_country_s_form_need_no_word(
    region: str, number: str
) -> None:
    assert found(f"it says {number} here", region) == [number]


@pytest.mark.parametrize(
    ("region", "number", "word"),
    [
        ("DE", "2774932573", "Steuernummer"), ("DE", "2774932573", "tax"),
        ("NL", "111222333", "BSN"), ("NL", "111222333", "employee"),
        ("NL", "111222333", "my number is"), ("US", "536904399", "SSN"),
        ("US", "12-3456789", "tax"), ("HR", "33392005961", "osoba, tax"),
        ("IL", "123456782", "insured person:"), ("RU", "7736050003", "taxpayer"),
        ("CA", "046-454-286", "his number"), ("AR", "20123456", "dni"),
    ],
)  # fmt: skip
def test_digits_of_a_weak_check_need_a_word(region: str, number: str, word: str) -> None:
    assert found(f"it says {number} here", region) == []
    assert found(f"{word} {number} here", region) == [number]
    assert found(f"order {number} here", region) == []


def test_a_word_for_a_person_makes_no_id_of_what_no_check_is_passed_by() -> None:
    assert found("employee 2774932573", "DE") == []
    assert found("employee 536904399", "US") == []
    assert found("employee 111222334", "NL") == []
    assert found("the employee reports that 111222333 hangs", "NL") == []


@pytest.mark.parametrize(
    ("region", "text", "numbers"),
    [
        ("CH", "see 0446681800 now", ["0446681800"]),
        ("US", "see 2125550187 now", ["2125550187"]),
        ("DK", "see 26182336 now", ["26182336"]),
        ("PL", "see 519783780 now", ["519783780"]),
        ("US", "see 1115550187 now", []),  # an area code that was never given out
        ("DK", "see 20100313 now", []),
        ("DK", "tel 20100313", ["20100313"]),
        ("EE", "costs 30017.97", []),
        ("EE", "call the supplier: 30017.97", []),
        ("CL", "RE-2026-65707", []),
        ("DE", "06868906/41", []),
    ],
)
def test_numbers_of_a_plan_that_are_written_as_something_else(
    region: str, text: str, numbers: list[str]
) -> None:
    assert found(text, region) == numbers
