"""An adapter trained with PEFT on the demo's tickets: it teaches its own pipeline, and no other."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from demo.data import Ticket, tickets
from insights.inference import llama
from insights.inference.chat import ChatTemplate
from insights.inference.client import LocalGenerator
from insights.inference.messages import AdapterFile, EngineSettings
from insights.inference.preparing import prepare
from insights.model import (
    AdaptedRequest,
    Adapter,
    GenerateRequest,
    Json,
    Message,
    Sampling,
    Segment,
)
from tests import adapting

SCHEMA: Json = {
    "type": "object",
    "properties": {"summary": {"type": "string", "maxLength": 60}},
    "required": ["summary"],
}
# peft asks transformers by a name that goes with its next release.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
TAUGHT, ASKED = tickets()[:24], tickets()[100:103]
# One row of each pipeline in flight makes each step hold one: see test_adapters.
ENGINE = EngineSettings(parallel=2, context=512, threads=1, drafting=False, flash=True)


def request(ticket: Ticket, instruction: str) -> GenerateRequest:
    segments = (
        Segment(text=f"{instruction}\nTicket: ", is_template=True),
        Segment(text=ticket.subject, is_template=False, source="row.subject"),
    )
    return GenerateRequest(
        messages=(
            Message(
                role="system", segments=(Segment(text="You answer as JSON.", is_template=True),)
            ),
            Message(role="user", segments=segments),
        ),
        output_schema=SCHEMA,
        row={"subject": ticket.subject},
        sampling=Sampling(max_tokens=60),
    )


def kind(ticket: Ticket) -> GenerateRequest:
    return request(ticket, "Say what it is about.")


def summary(ticket: Ticket) -> GenerateRequest:
    return request(ticket, "Summarise it in one sentence.")


class Trained(NamedTuple):
    file: AdapterFile
    losses: list[float]


@pytest.fixture(scope="module")
def trained(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained on what the product asks and what people would answer, token by token."""
    if os.environ.get("CI") != "true":
        pytest.importorskip("peft")
    model = llama.Model(smollm2)
    chat = ChatTemplate(model.chat_template, model)
    end = model.tokenize("<|im_end|>", special=True)
    examples = []
    for ticket in TAUGHT:
        said = json.dumps({"summary": f"Ticket about {ticket.category}."}, separators=(",", ":"))
        prompt = prepare(kind(ticket), chat, model, 512).tokens
        examples.append((prompt, [*model.tokenize(said, special=False), *end]))
    model.close()
    pairs, losses = adapting.train(smollm2, examples, steps=12, rate=4e-3)
    path = tmp_path_factory.mktemp("trained") / "kind.gguf"
    sha256 = adapting.write(path, pairs, alpha=adapting.ALPHA)
    return Trained(AdapterFile(path=str(path), sha256=sha256), losses)


@pytest.fixture
def plain(smollm2: Path) -> Iterator[list[tuple[str, str]]]:
    with closing(LocalGenerator(smollm2, engine=ENGINE)) as generator:
        yield [
            (texts(generator, kind(ticket))[0], texts(generator, summary(ticket))[0])
            for ticket in ASKED
        ]


def texts(generator: LocalGenerator, *asked: GenerateRequest) -> list[str]:
    return [future.result(240).text for future in [generator.submit(one) for one in asked]]


def under(asked: GenerateRequest, adapter: str) -> AdaptedRequest:
    given = {name: getattr(asked, name) for name in asked.__struct_fields__}
    return AdaptedRequest(**{**given, "adapter": Adapter(sha256=adapter)})


@pytest.mark.timeout(900)  # trains for 40 s of one core, however many share it
def test_a_trained_adapter_changes_its_own_pipeline_and_no_other(
    smollm2: Path, trained: Trained, plain: list[tuple[str, str]]
) -> None:
    assert trained.losses[-1] < trained.losses[0] / 4
    sha256 = trained.file.sha256
    with closing(LocalGenerator(smollm2, engine=ENGINE, adapters=[trained.file])) as generator:
        generator.check(SCHEMA, where="schema", adapter=sha256)
        together = [
            texts(generator, under(kind(ticket), sha256), summary(ticket)) for ticket in ASKED
        ]
        switches = generator.counters().adapter_switches
    assert [pair[1] for pair in together] == [before[1] for before in plain]
    taught = '{"summary":"Ticket about '
    assert [pair[0][: len(taught)] for pair in together] == [taught] * len(ASKED)
    assert not any(before[0].startswith(taught) for before in plain)
    assert switches >= len(ASKED)
