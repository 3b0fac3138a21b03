"""What `benchmarks.engine` generates from: tickets, passages, and one output schema for all."""

import json
import random

from insights.model import GenerateRequest, Json, Message, Sampling, Segment

PASSAGES, CITED = 20, 3
_TAG = ("network", "printer", "account", "billing", "phone", "mail", "storage", "other")

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "category": {"enum": list(_TAG)},
        "priority": {"enum": ["low", "normal", "high", "urgent"]},
        "sentiment": {"enum": ["calm", "annoyed", "angry"]},
        "affected_component": {"enum": ["hardware", "software", "permissions", "configuration"]},
        "customer_summary": {"type": "string", "minLength": 60, "maxLength": 90},
        "recommended_step": {"enum": ["restart", "reset password", "replace", "call vendor"]},
    },
    "required": [
        "category",
        "priority",
        "sentiment",
        "affected_component",
        "customer_summary",
        "recommended_step",
    ],
    "additionalProperties": False,
}
_WORDS = (  # noqa: SIM905 - prose
    "the printer in room shows an error after update and user cannot connect to network drive "
    "please restart service check cable reset password open ticket with vendor contract number "
    "when screen stays black call support invoice was sent twice account locked since morning "
    "router blinks red light before login page loads mail client asks again for certificate"
).split()


def text(seed: str, words: int) -> str:
    """Return as many words, the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    return " ".join(draw.choice(_WORDS) for _ in range(words)) + "."


HEAD = "Read the ticket and answer in JSON. " + text("instruction", 56) + json.dumps(SCHEMA)


def passage(number: int) -> str:
    """Return one of the passages, of about 80 tokens."""
    return text(f"passage {number}", 74)


def ticket(row: int) -> str:
    """Return a row's text, of about 80 tokens."""
    return text(f"row {row}", 76)


def drawn(rows: int) -> list[list[int]]:
    """Return each row's passages, drawn by a skewed distribution (weight 1/rank), by rank.

    Ordered, as the retriever's canonical order does.
    """
    draw = random.Random(7)  # noqa: S311 - no secret
    weights = [1 / (rank + 1) for rank in range(PASSAGES)]
    made = []
    for _ in range(rows):
        chosen: set[int] = set()
        while len(chosen) < CITED:
            chosen.add(draw.choices(range(PASSAGES), weights)[0])
        made.append(sorted(chosen))
    return made


def prompts(rows: int) -> list[list[Segment]]:
    """Return the rows' prompts: instruction and schema, three of twenty passages, the row."""
    made = []
    for row, chosen in enumerate(drawn(rows)):
        segments = [Segment(text=HEAD + "\n", is_template=True)]
        segments += [
            Segment(text=f"Passage {n}: {passage(n)}\n", is_template=False) for n in chosen
        ]
        segments.append(Segment(text=f"Ticket: {ticket(row)}", is_template=False))
        made.append(segments)
    return made


def requests(rows: int) -> list[GenerateRequest]:
    """Return the engine's requests."""
    return [
        GenerateRequest(
            messages=(Message(role="user", segments=tuple(segments)),),
            output_schema=SCHEMA,
            sampling=Sampling(max_tokens=256),
            deadline_s=3_600,
        )
        for segments in prompts(rows)
    ]
