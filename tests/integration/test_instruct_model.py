"""A real instruct model of 135 M parameters: chat template, free text, constraint, cutting."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers.utils import chat_template_utils

from insights.inference import llama
from insights.inference.chat import ChatTemplate
from insights.inference.client import LocalGenerator
from insights.inference.messages import EngineSettings
from insights.inference.preparing import prepare
from insights.inference.reserved import Reserved
from insights.model import GenerateRequest, Json, Message, Sampling, Segment
from insights.steps.attacks import built_in
from insights.steps.validate import validate
from insights.workers import landlock

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "summary": {"type": "string", "maxLength": 120},
        "kind": {"enum": ["printer", "network", "account"]},
        "evidence": {"type": "string", "x-quote": "row.body", "x-quote-words": [3, 8]},
    },
    "required": ["summary", "kind", "evidence"],
}
TICKETS = (
    "The printer on the second floor prints only blank pages since Monday.",
    "My password has expired and the reset link does not arrive.",
)


@pytest.fixture(scope="module")
def generator(smollm2: Path) -> Iterator[LocalGenerator]:
    engine = EngineSettings(parallel=2, context=512, threads=1)
    made = LocalGenerator(smollm2, SHA256, engine=engine)
    yield made
    made.close()


def request(body: str, **changes: object) -> GenerateRequest:
    system = Segment(text="You answer as JSON.", is_template=True)
    segments = (
        Segment(text="Summarise the ticket in one sentence.\nTicket: ", is_template=True),
        Segment(text=body, is_template=False, source="row.body"),
    )
    values = {
        "messages": (
            Message(role="system", segments=(system,)),
            Message(role="user", segments=segments),
        ),
        "output_schema": SCHEMA,
        "row": {"body": body},
        "sampling": Sampling(max_tokens=160),
        **changes,
    }
    return GenerateRequest(**values)  # type: ignore[arg-type]


def test_its_own_chat_template_is_used_as_transformers_uses_it(smollm2: Path) -> None:
    model = llama.Model(smollm2)
    try:
        chat = ChatTemplate(model.chat_template, model)
        wanted = request(TICKETS[0])
        said = "".join(segment.text for segment in chat.render(wanted.messages))
        plain = [
            {"role": message.role, "content": "".join(s.text for s in message.segments)}
            for message in wanted.messages
        ]
        rendered, _ = chat_template_utils.render_jinja_template(
            [plain], chat_template=model.chat_template, add_generation_prompt=True
        )
        assert said == rendered[0]
        tokens = prepare(wanted, chat, model, 512).tokens
        begin = model.tokenize("<|im_start|>", special=True)
        assert len(begin) == 1
        assert tokens.count(begin[0]) == 3  # system, user, assistant
    finally:
        model.close()


def test_free_text_is_about_the_ticket_and_the_rest_is_held(generator: LocalGenerator) -> None:
    assert generator.info().chat_template == "the file's own"
    futures = [generator.submit(request(ticket)) for ticket in TICKETS]
    for ticket, future in zip(TICKETS, futures, strict=True):
        made = future.result(240)
        output = json.loads(made.text)
        assert list(output) == list(SCHEMA["properties"])
        assert made.finish == "stop"
        verdict = validate(made, SCHEMA, {"body": ticket}, ())
        summary = (verdict.output or output)["summary"]
        assert 0 < len(summary) <= 120
        assert output["summary"].startswith(summary)
        assert not re.match(r"\w", output["summary"][len(summary) :])  # no word was cut
        assert set(made.confidence) == {"/kind"}
        assert 0 < made.confidence["/kind"] <= 1
        words = {word.strip(".,:").casefold() for word in ticket.split()}
        assert len(words & {w.strip(".,:").casefold() for w in output["summary"].split()}) >= 3
        assert output["kind"] in SCHEMA["properties"]["kind"]["enum"]
        assert output["evidence"] in ticket
        assert 3 <= len(output["evidence"].split()) <= 8
    if landlock.version() >= 6:  # all of that from a process that can reach nothing else
        assert generator.held().can == ()


def test_a_long_ticket_is_cut_and_still_answered(generator: LocalGenerator) -> None:
    long = " ".join(TICKETS) + " It hums and it blinks." * 200
    made = generator.submit(request(long, cut=("row.body",))).result(240)
    (note,) = made.cut
    assert note.startswith("row.body: ")
    assert made.prompt_tokens <= 512 - 160
    assert json.loads(made.text)["evidence"] in long


def test_no_attack_makes_a_control_token_of_the_model(smollm2: Path) -> None:
    model = llama.Model(smollm2)
    try:
        reserved = Reserved(model, model.chat_template)
        texts = [one.worded("kind", "network") for some in built_in(3) for one in some]

        def controls(tokens: list[int]) -> set[str]:
            pieces = {model.piece(one, special=True).decode("utf-8", "replace") for one in tokens}
            return {piece for piece in pieces if model.is_control(piece)}

        assert set().union(*(controls(reserved.tokenize(text)) for text in texts)) == set()
        as_template = (controls(model.tokenize(text, special=True)) for text in texts)
        assert set().union(*as_template) == {"<|im_start|>", "<|im_end|>"}
    finally:
        model.close()
