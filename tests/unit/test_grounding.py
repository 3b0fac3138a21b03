"""Numbers, dates and identifiers stand in what the prompt showed, or the output is withheld."""

from typing import Any

import msgspec
import pytest

from insights.model import Generation, Passage
from insights.steps import grounding
from insights.steps.validate import validate

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "amount": {"type": "number", "x-grounded": True},
        "free": {"type": "number"},
        "quote": {"type": "string", "x-quote": "passages"},
        "cited_passages": {"type": "array", "items": {"type": "integer"}},
    },
}
_PASSAGES = (
    Passage(passage_id=11, number=1, uri="kb/KB-0042.md", title="Queue", text="Wait 15 minutes."),
    Passage(passage_id=12, number=2, uri="kb/KB-0007.md", title="Spooler", text="At most 40 psi."),
)


def _verdict(source: str, **output: object) -> str:
    """Return the verdict on an output about a row whose text is `source`."""
    generation = Generation(text=msgspec.json.encode(output).decode(), finish="stop", model="m")
    return validate(generation, _SCHEMA, {"body": source, "other": None}, _PASSAGES).status


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1,234", "12.34"),
        ("12.34", "1,234"),
        ("3.0", "30"),
        ("30", "3.0"),
        ("5", "-5"),
        ("-5", "5"),
        ("1,234.56", "1,23456"),
        ("12.5mm", "125 mm"),
        ("0.500", "500"),
        ("1234", "12 34"),
        ("1.2.3", "3.2.1"),
        ("v2.3.1", "v23.1"),
        ("10.0.0.7", "10.0.07"),
        ("KB-0042", "KB-0043"),
        ("E-1234", "E-1243"),
        ("2026-11-23", "2026-11-24"),
        ("2026-11-23", "24.11.2026"),
        ("2026-11-23", "November 24, 2026"),
        ("2026-11-23", "23 people"),
        ("14:30", "15:30"),
        ("14:30", "2:30 am"),
        ("between 10 and 15", "10-16"),
        ("100 and 200", "100 300"),
        ("1e3", "1e4"),
        ("a bearing", "...5 bearings"),
        ("a bearing", "x_5"),
        ("a bearing", "\u0665"),
        ("a bearing", "[7]"),
        ("", "-$5"),
    ],
)
def test_what_stands_nowhere_is_withheld(source: str, said: str) -> None:
    assert _verdict(source, answer=f"It says {said} there.") == "withheld"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1.234,56 EUR", "1,234.56"),
        ("1,234.50", "1234.5"),
        ("1 234,50", "1,234.50"),
        ("1\u202f234,50", "1234.5"),
        ("1'234.50", "1\u2019234.5"),
        ("1234567", "1 234 567"),
        ("12,34,567", "1234567"),
        ("3.0", "3"),
        ("007", "7"),
        (".5", "0.50"),
        ("0.500", ".5"),
        ("-5 °C", "\u22125"),
        ("(-5)", "-5"),
        ("5,00-", "-5"),
        ("12.5mm", "12.5 mm"),
        ("€1.500,00", "1500"),
        ("10\u201315 bar", "10 to 15"),
        ("between 10 and 15", "10-15"),
        ("100 200", "100 and 200"),
        ("1.5e3", "1500"),
        ("2e-3", "0.002"),
        ("E-1234", "e1234"),
        ("KB 0042", "KB-0042"),
        ("valve-7", "valve 7"),
        ("no.5", "no. 5"),
        ("0800-123456", "0800123456"),
        ("tcp/443", "port 443"),
        ("2026-11-23", "23.11.2026"),
        ("2026-11-23T14:30:25Z", "November 23, 2026 at 14:30"),
        ("2026-11-23 14:30:00", "23 Nov 2026, 2:30 pm"),
        ("23. November 2026", "2026-11-23"),
        ("3 März 2026", "03/03/2026"),
        ("le 14 juillet 2025", "14 July 2025"),
        ("2026-11-23", "in November 2026"),
        ("2026-11-23", "on 23 November"),
        ("2026-11-23", "in 2026"),
        ("3 pumps", "3 may fail"),
        ("\uff11\uff12", "12"),
        ("\u0661\u0662", "12"),
        ("", "KB-0042"),
        ("", "15 minutes, as [1] says, [2] too"),
    ],
)
def test_what_stands_there_in_another_form_passes(source: str, said: str) -> None:
    assert _verdict(source, answer=f"It says {said} there.") == "ok"


def test_every_passage_that_was_shown_is_a_source_whatever_is_cited() -> None:
    assert _verdict("", answer="Wait 15 minutes.", cited_passages=[2]) == "ok"
    assert _verdict("", answer="Wait 16 minutes.", cited_passages=[2]) == "withheld"


def test_only_shown_passages_are_cited() -> None:
    assert _verdict("", cited_passages=[1, 2]) == "ok"
    assert _verdict("", cited_passages=[1, 3]) == "withheld"
    assert _verdict("", cited_passages=[0]) == "withheld"


def test_a_number_field_is_free_unless_it_is_marked() -> None:
    assert _verdict("4.50", free=77) == "ok"
    assert _verdict("4.50", amount=4.5) == "ok"
    assert _verdict("4.50", amount=45) == "withheld"
    assert _verdict("250000000000000000000000", amount=2.5e23) == "ok"


def test_the_facts_of_a_passage_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    found = grounding.facts

    def counted(text: str) -> grounding.Facts:
        asked.append(text)
        return found(text)

    monkeypatch.setattr(grounding, "facts", counted)
    passage = Passage(passage_id=77, number=1, uri="kb/a.md", title="", text="A pressure of 81.")
    again = msgspec.structs.replace(passage, number=3, score=0.5)
    changed = msgspec.structs.replace(passage, text="A pressure of 82.")
    assert grounding.of_passage(passage) == grounding.of_passage(again)
    assert len(asked) == 1
    assert grounding.of_passage(changed) != grounding.of_passage(passage)
    assert len(asked) == 2


@pytest.mark.parametrize(
    "text",
    [
        "due on 3 march 2026",
        "le 1er de mars de 2026",
        "on march 3rd, 2026 it began",
        "in october 2025",
        "at 12:30 p.m. or 7:05 am",
        "1 234 567 units",
        "see KB 0042, then kb-17",
        "balance 5- and -7 and $3.50",
        "3 may, 4 june 5 july",
    ],
)
def test_words_far_from_a_digit_change_nothing_that_a_text_states(text: str) -> None:
    far = "the printer that stands beside the window of the room shows an error. "
    for padded in (f"{far}{text} {far}", f"{far}\n{text}\n{far}", f"{text} {far}{text}"):
        assert {claim.forms for claim in grounding.claims(padded)} == {
            claim.forms for claim in grounding.claims(text)
        }
        assert grounding.facts(padded) == grounding.facts(text)
