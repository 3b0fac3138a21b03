"""`try --sample`: outputs side by side, what differs between two prompts, and the page of it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from insights import errors
from insights.cli import workbench
from insights.enriching.recipe import Recipe
from insights.model import Claims, GenerateRequest, Generation, Sampling, StreamSpec, Support
from insights.steps.prompt import Template
from insights.testing import MemorySource

SCHEMA = {
    "type": "object",
    "properties": {"summary": {"type": "string"}, "kind": {"enum": ["short", "long"]}},
    "required": ["summary", "kind"],
}


class Echo:
    """Answers with the prompt's last line: long prompts are `long`."""

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        text = "".join(s.text for m in request.messages for s in m.segments)
        made: Future[Generation] = Future()
        if "broken" in text:
            made.set_exception(errors.RowError("it broke"))
            return made
        output = {
            "summary": text.splitlines()[-1],
            "kind": "long" if "at length" in text else "short",
        }
        made.set_result(
            Generation(
                text=msgspec.json.encode(output).decode(), finish="stop", model="echo",
                prompt_tokens=10, sampled_tokens=5,
            )
        )  # fmt: skip
        return made


class Half:
    """Supports each sentence by half."""

    def support(
        self, outputs: Sequence[Claims], collections: Sequence[str]
    ) -> list[tuple[Support, ...]]:
        assert not collections
        one = Support(share=0.5, source="prompt")
        return [tuple(one for _ in output.sentences) for output in outputs]


def _recipe(source: object) -> Recipe:
    return Recipe(
        name="triage",
        stream=StreamSpec(name="t", source="s", key=("id",), inputs=("body",), table="t"),
        source=source,  # type: ignore[arg-type]
        generator=Echo(),  # type: ignore[arg-type]
        template=Template("Say it.\n{{ row.body }}", where="p"),
        output_schema=SCHEMA,
        abstain=(),
        sampling=Sampling(),
        cut=(),
        retriever=None,
        query_columns=("body",),
        deadline_s=10,
        version_id=1,
    )


def _source(rows: Mapping[str, str]) -> MemorySource:
    return MemorySource({"t": [{"id": key, "body": body} for key, body in rows.items()]})


def test_a_trial_tells_outputs_support_tokens_and_what_the_table_would_take() -> None:
    recipe = _recipe(_source({"1": "the pump leaks", "2": "<b>broken</b>", "3": "a belt"}))
    trial = workbench.trial(recipe, ["1", "2", "3"], Half(), prompt="p.j2", rows=300)
    first, second, third = trial.tried
    assert (first.status, first.output) == ("ok", {"summary": "the pump leaks", "kind": "short"})
    assert (first.support, first.tokens) == (0.5, 15)
    assert (second.status, second.reason) == ("failed", "it broke")
    assert third.output is not None
    hidden = workbench.with_keys(trial, lambda key: f"hash of {len(key)}")
    assert {one.key for one in hidden.tried} == {"hash of 1"}
    assert "3 rows: 30 tokens" in trial.whole()
    assert "all 300 rows at this pace: 3,000 tokens" in trial.whole()


def test_a_second_prompt_shows_what_it_changes_and_the_page_escapes_what_rows_say(
    tmp_path: Path,
) -> None:
    recipe = _recipe(_source({"1": "<script>alert(1)</script>", "2": "a belt"}))
    other = tmp_path / "other.j2"
    other.write_text("Say it at length.\n{{ row.body }}")
    trials = [
        workbench.trial(one, ["1", "2"], Half(), prompt=name, rows=None)
        for name, one in (("a.j2", recipe), ("b.j2", workbench.with_prompt(recipe, other)))
    ]
    differ = workbench.differing(*trials)
    assert [(row["key"], row["field"], row["a.j2"], row["b.j2"]) for row in differ] == [
        ("1", "kind", "short", "long"),
        ("2", "kind", "short", "long"),
    ]
    page = workbench.page(trials, "triage")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "http" not in page
    with pytest.raises(errors.SettingsError, match="cannot be read"):
        workbench.with_prompt(recipe, tmp_path / "none.j2")
