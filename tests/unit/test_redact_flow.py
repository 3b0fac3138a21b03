"""Where redaction meets the flows: documents before cutting, outputs before writing."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from insights import errors
from insights.enriching.lanes import Lanes
from insights.enriching.recipe import Recipe
from insights.governance.redact import custom
from insights.knowledge.redacted import RedactedDocuments
from insights.model import (
    Claim,
    Document,
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


class _Papers:
    """Two documents, one of which cannot be read."""

    def listing(self) -> Iterable[tuple[str, bytes]]:
        return [("a.md", b"h" * 16), ("broken.md", b"")]

    def load(self, uri: str) -> Document:
        if uri == "broken.md":
            raise errors.KnowledgeError("it cannot be read", where=uri)
        text = "x" * 5_000 if uri == "long.md" else "Card 4111 1111 1111 1111."
        return Document(uri=uri, title="Ask ann@mail.example", text=text)


def test_folder_documents_are_redacted_before_anything_sees_them() -> None:
    documents = RedactedDocuments(_Papers(), Redaction())
    made = documents.load("a.md")
    assert (made.title, made.text) == ("Ask <EMAIL_1>", "Card <CARD_1>.")
    with pytest.raises(errors.KnowledgeError, match="it cannot be read"):
        documents.load("broken.md")


def test_another_policy_makes_other_documents() -> None:
    policies = (Redaction(), Redaction(), Redaction(kinds=("card",)), Redaction(deny=("x",)))
    listed = [dict(RedactedDocuments(_Papers(), policy).listing()) for policy in policies]
    assert listed[0] == listed[1]
    assert len({found["a.md"] for found in listed}) == 3
    assert {found["broken.md"] for found in listed} == {b""}  # loading says why


def test_a_pattern_without_end_is_the_documents_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom, "PATTERN_LIMIT_S", 0.05)
    policy = Redaction(kinds=(), patterns=(("bad", r"(x+x+)+y"),))
    with pytest.raises(errors.KnowledgeError, match="the pattern bad took longer"):
        RedactedDocuments(_Papers(), policy).load("long.md")


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
