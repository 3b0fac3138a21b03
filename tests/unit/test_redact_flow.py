"""Where redaction meets the flows: documents before cutting, outputs before writing."""

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from insights import errors
from insights.documents.client import LoaderClient
from insights.documents.folder import Folder
from insights.documents.messages import Loaded
from insights.enriching.lanes import Lanes
from insights.enriching.recipe import Recipe
from insights.model import (
    Claim,
    GenerateRequest,
    Generation,
    Insight,
    Redaction,
    Row,
    Sampling,
    Share,
    StreamSpec,
)
from insights.pipeline import Pipeline
from insights.steps.prompt import Template


def _loaded(folder: Path, redaction: Redaction, uri: str, text: str) -> Loaded:
    """Return a document as it leaves the child that reads it."""
    (folder / uri).write_text(text)
    client = LoaderClient(folder, redaction=redaction, properties=["product"])
    try:
        return client.load(uri)
    finally:
        client.close()


def test_folder_documents_leave_their_loader_redacted(tmp_path: Path) -> None:
    front = "---\ntitle: Ask ann@mail.example\nproduct: P1\nauthor: bob@mail.example\n---\n"
    made = _loaded(tmp_path, Redaction(), "a.md", f"{front}Card 4111 1111 1111 1111.\n")
    assert (made.title, made.text.strip()) == ("Ask <EMAIL_1>", "Card <CARD_1>.")
    assert made.properties == {"product": "P1"}  # what nobody declared stays in the child
    called = _loaded(tmp_path, Redaction(), "letter_to_ann@mail.example.txt", "Dear Ann\n")
    assert called.title == "letter to <EMAIL_1>"


def test_another_policy_makes_other_documents(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Text\n")
    (tmp_path / "broken.md").symlink_to("nowhere")
    policies = (Redaction(), Redaction(), Redaction(kinds=("card",)), Redaction(deny=("x",)), None)
    listed = [dict(Folder(tmp_path, redaction=policy).listing()) for policy in policies]
    assert listed[0] == listed[1]
    assert len({found["a.md"] for found in listed}) == 4
    assert {found["broken.md"] for found in listed} == {b""}  # loading says why


def test_a_pattern_without_end_is_the_documents_problem(tmp_path: Path) -> None:
    policy = Redaction(kinds=(), patterns=(("bad", r"(x+x+)+y"),))
    with pytest.raises(errors.KnowledgeError, match="the pattern bad took longer"):
        _loaded(tmp_path, policy, "long.md", "x" * 5_000)


class _Shop:
    """Work, source, generator and insights in one; the model says what it is told to."""

    def __init__(self, body: str, said: str) -> None:
        self.body = body
        self.said = said
        self.waiting = [1]
        self.written: list[Insight] = []

    def suspects(self) -> set[int]:
        return set()

    def claim(self, shares: Sequence[Share]) -> list[Claim]:
        limit = sum(share.rows for share in shares if not share.isolated)
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return [Claim(i, i, f"t{i}", "ticket", str(i), b"h", 1, 1, 1) for i in taken]

    def fetch(self, _: StreamSpec, keys: Sequence[str]) -> list[Row]:
        return [Row(key, b"h", None, {"body": self.body}) for key in keys]

    def submit(self, _: GenerateRequest) -> Future[Generation]:
        future: Future[Generation] = Future()
        future.set_result(Generation(text=self.said, finish="stop", model="none"))
        return future

    def write(self, insights: Sequence[Insight]) -> int:
        self.written += insights
        return len(insights)


def _insight(body: str, said: str, template: str = "{{ row.body }}") -> Insight:
    shop: Any = _Shop(body, said)
    spec = StreamSpec(name="ticket", source="legacy", key=("id",), inputs=("body",))
    recipe = Recipe(
        name="echo",
        stream=spec,
        source=shop,
        generator=shop,
        template=Template(template),
        output_schema={"type": "object", "properties": {"echo": {"type": "string"}}},
        abstain=(),
        sampling=Sampling(),
        cut=(),
        retriever=None,
        query_columns=(),
        deadline_s=60,
        version_id=1,
    )
    lanes = Lanes(threads=False)
    pipeline = Pipeline({1: recipe}, shop, shop, batch=1, in_flight=1, lanes=lanes)
    pipeline.advance()
    assert pipeline.settle(0.0) == 1
    (insight,) = shop.written
    assert isinstance(insight, Insight)
    return insight


def test_personal_data_that_a_model_makes_up_is_not_written() -> None:
    insight = _insight("ask <EMAIL_1>", '{"echo": "ask ann@mail.example"}')
    assert insight.verdict.status == "withheld"
    assert insight.verdict.output is None
    assert "ann@" not in str(insight.verdict)


def test_what_the_prompt_itself_says_may_be_repeated() -> None:
    said = '{"echo": "ask help@acme.example"}'
    insight = _insight("x", said, "Contact: help@acme.example\n{{ row.body }}")
    assert insight.verdict.status == "ok"
    assert _insight("<EMAIL_1>", '{"echo": "ask <EMAIL_1>"}').verdict.status == "ok"
