"""The small cases from the field that need no database and no document, as they were reported."""

import datetime as dt

import pytest

from insights.governance import redact
from insights.inference.chat import ChatTemplate
from insights.inference.constraint import check_schema
from insights.model import Json, Message, Redaction, Segment
from insights.steps.schema import closed, kind, normal, validator


class Vocabulary:
    bos, eos = 0, 1

    def piece(self, token: int, *, special: bool = False) -> bytes:
        return (b"<s>", b"</s>")[token] if special else b""


def rendered(template: str, *said: tuple[str, str]) -> str:
    segments = [
        Message(role=role, segments=(Segment(text=text, is_template=True),)) for role, text in said
    ]
    return "".join(part.text for part in ChatTemplate(template, Vocabulary()).render(segments))


def test_a_template_that_asks_for_the_date() -> None:
    template = (
        "{%- set today = strftime_now('%Y-%m-%d') %}{%- if messages[0]['role'] == 'system' %}"
        "{%- set s = messages[0]['content'] %}{%- set rest = messages[1:] %}{%- else %}"
        "{%- set s = 'The date is ' + today %}{%- set rest = messages %}{%- endif %}{{ s }}"
        "{%- for m in rest %}{{ m['content'] }}{%- endfor %}"
    )
    assert rendered(template, ("system", "Be brief."), ("user", "What?")) == "Be brief.What?"
    year = str(dt.datetime.now(tz=dt.UTC).year)
    assert rendered(template, ("user", "What?")).startswith(f"The date is {year[:3]}")


def test_a_template_that_prints_the_user_alone() -> None:
    template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}\n"
        "{% endif %}{% endfor %}"
    )
    made = rendered(template, ("system", "Be brief."), ("user", "What?"))
    assert made.index("Be brief.") < made.index("What?")


def test_enumerations_and_dates_behind_references_and_choices() -> None:
    schema: Json = {
        "type": "object",
        "$defs": {
            "Severity": {
                "enum": ["S1 critical", "S2 major", "S3 minor"],
                "title": "Severity",
                "type": "string",
            }
        },
        "properties": {
            "severity": {"$ref": "#/$defs/Severity"},
            "team": {"anyOf": [{"enum": ["team 1", "team 2"], "type": "string"}, {"type": "null"}]},
            "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        },
        "required": ["severity", "team", "due"],
        "additionalProperties": False,
    }
    assert check_schema(schema) == []
    kinds = {name: kind(part) for name, part in normal(schema)["properties"].items()}
    assert kinds == {"severity": "enum", "team": "enum", "due": "date"}
    assert validator(schema).is_valid({"severity": "S2 major", "team": None, "due": None})
    assert not validator(schema).is_valid({"severity": "S4", "team": None, "due": None})
    assert closed(normal(schema))["additionalProperties"] is False


@pytest.mark.parametrize(
    "text",
    [
        "After the update to firmware 2.4.1.0 the pump stops; BIOS 1.84.1.0; see chapter 4.2.1.3",
        "vom 05.10-09.10.2015, 04.06-07.06; Urlaub 03.06.-07.06.; shift 0600-1400",
        "readings 0123-0987 mm; torque 12 15 18 21 25; latencies 250 300 1000",
        "part 0445-110-376, 047-115-561",
        "npm fails: lodash@4.17.21, @types/node@20.1.0; git@github.com:acme/repo.git",
        "IMEI 490154203237518; SIM 8944110068256270054",
    ],
)
@pytest.mark.parametrize("region", ["", "DE", "NL", "AR", "PE", "US"])
def test_what_is_no_personal_data(text: str, region: str) -> None:
    policy = Redaction(regions=(region,) if region else ())
    assert redact.text(text, policy)[0] == text
