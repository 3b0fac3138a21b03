"""What is the same for all rows is made once: templates, patterns and the facts of passages."""

import re
from collections.abc import Callable  # noqa: TC003 - evaluated in a function
from typing import Any

import jinja2
import numpy as np
import pytest

from insights.inference import sampling
from insights.inference.chat import ChatTemplate
from insights.model import Generation, Passage, Sampling
from insights.steps import grounding
from insights.steps.prompt import Template
from insights.steps.validate import validate

_LONG = "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}{% endfor %}" + "{# - #}" * 600


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[int]:  # noqa: ANN401
    """Count the calls of a function."""
    calls: list[int] = []
    real: Callable[..., Any] = getattr(owner, name)

    def called(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        calls.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, called)
    return calls


def test_a_row_compiles_neither_templates_nor_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    template = Template("{# system #}\nBe brief.\n{# user #}\n{{ row.body }} {{ schema }}")
    chat = ChatTemplate(_LONG)
    passage = Passage(passage_id=1, number=1, title="t", text="x", uri="u")

    def row(number: int) -> str:
        said = chat.render(template.render({"body": f"row {number}"}, [passage], "{}"))
        return "".join(segment.text for segment in said)

    assert row(0) == "system: Be brief.user: row 0 {}"
    made = counted(monkeypatch, jinja2.Environment, "compile")
    patterns = counted(monkeypatch, re._compiler, "compile")  # type: ignore[attr-defined]
    for number in range(1, 20):
        assert f"row {number}" in row(number)
    assert made == []
    assert patterns == []


@pytest.mark.parametrize("allowed", [1.0, 0.5])
def test_a_large_vocabulary_is_not_unpacked_for_one_token(
    monkeypatch: pytest.MonkeyPatch, allowed: float
) -> None:
    draw = np.random.default_rng(3)
    mask = np.packbits(draw.random(128_256) <= allowed, bitorder="little")
    unpacked = counted(monkeypatch, np, "unpackbits")
    for _ in range(20):
        logits = draw.standard_normal(128_256).astype(np.float32)
        chosen = sampling.choose(logits, mask, Sampling(), None)
        assert sampling.allows(mask, chosen)
    assert len(unpacked) <= 2


def test_facts_are_found_once_a_passage_and_once_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    passages = [
        Passage(passage_id=910 + n, number=n, title=f"KB {n}", text=f"Wait {n}0 s.", uri=f"{n}.txt")
        for n in (1, 2, 3)
    ]
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in "abcd"}}
    found = counted(monkeypatch, grounding, "facts")
    for row in range(10):
        text = f'{{"a":"Wait 10 s","b":"then 20 s","c":"in room {row}","d":"30 s"}}'
        made = Generation(text=text, finish="stop", model="m")
        assert validate(made, schema, {"body": f"room {row}", "no": "7"}, passages).status == "ok"
    assert len(found) <= len(passages) + 10 * 2
