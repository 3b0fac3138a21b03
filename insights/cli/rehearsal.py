"""A made-up row through a pipeline's own prompt, schema and model: what `doctor` believes in."""

import time

import msgspec

from insights.model import GenerateRequest, Passage
from insights.ports import Generator
from insights.site.definitions import Definition
from insights.steps.validate import validate

_TEXT = "The device in room 12 does not start since Monday."
_PASSAGE = Passage(
    passage_id=0,
    number=1,
    uri="doctor",
    title="A device does not start",
    text="Check the plug first. Press the button for ten seconds. Replace the fuse if it is black.",
)


class Rehearsal(msgspec.Struct, frozen=True):
    """What came of the row: `reason` says why it would not be shown."""

    tokens: int
    seconds: float
    status: str
    reason: str | None


def rehearsed(made: Definition, generator: Generator) -> Rehearsal:
    """Generate one output for a made-up row; nothing of it is kept.

    Raises:
        errors.InsightsError: If nothing is generated.
    """
    inputs: dict[str, str | None] = dict.fromkeys(made.stream.inputs, _TEXT)
    passages = (_PASSAGE,) if made.settings.retrieval.collections else ()
    schema = msgspec.json.encode(made.output_schema).decode()
    request = GenerateRequest(
        messages=made.template.render(inputs, passages, schema),
        output_schema=made.output_schema,
        abstain=made.settings.abstain,
        row=dict.fromkeys(made.stream.inputs, _TEXT),
        passages={passage.number: passage.text for passage in passages},
        headings={passage.number: passage.title for passage in passages},
        cut=made.settings.cut,
        sampling=made.sampling,
        deadline_s=made.settings.timeout,
    )
    began = time.monotonic()
    found = generator.submit(request).result()
    verdict = validate(found, made.output_schema, inputs, passages)
    return Rehearsal(
        tokens=found.sampled_tokens + found.forced_tokens,
        seconds=time.monotonic() - began,
        status=verdict.status,
        reason=verdict.reason,
    )
