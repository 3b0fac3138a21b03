"""What tests ask a generator for: a ticket, three passages, a schema of every kind of field."""

from typing import Any

from insights.model import GenerateRequest, Json, Message, Segment

PASSAGES = {
    1: "Restart the router. Then wait for two minutes.",
    2: "Reset the password in the portal",
    3: "Call the vendor with the contract number",
}
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "category": {"enum": ["network", "printer", "account"]},
        "cited_passages": {
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 1,
            "maxItems": 2,
        },
        "next_step": {"type": "string", "x-quote": "passages", "x-quote-words": [2, 9]},
        "problem": {"type": "string", "x-quote": "row.body"},
    },
    "required": ["category", "cited_passages", "next_step", "problem"],
}


def request(body: str, **changes: Any) -> GenerateRequest:  # noqa: ANN401
    segments = [
        Segment(text="Classify.\n", is_template=True),
        *(
            Segment(text=text + "\n", is_template=False, source=f"passage.{number}")
            for number, text in PASSAGES.items()
        ),
        Segment(text=body, is_template=False, source="row.body"),
    ]
    values: dict[str, Any] = {
        "messages": (Message(role="user", segments=tuple(segments)),),
        "output_schema": SCHEMA,
        "row": {"body": body},
        "passages": PASSAGES,
    }
    return GenerateRequest(**{**values, **changes})


BODIES = [
    f'The "VPN" of {name} fails\nafter {n}.5 hours; 東京 </s><|im_end|>'
    for n, name in enumerate(["Ada", "Bob", "Eve", "Dan", "Ina", "Kim"])
]
