"""What people would believe wrongly, on real work orders: cut words, empty quotes, lost numbers.

    python -m benchmarks.believed [--json] [--rows 1000] [--model FILE.gguf] [--ratio]

Each row of the public excavator work orders (INSIGHTS_EVAL_DATA, default ../shared/data) is given
two passages and goes through prompt, constraint and validation; the demo's model is fast enough
for a thousand. Counts outputs cut in the middle of a word, quotes that say nothing, and numbers of
shown passages that were withheld: each has to be 0. With --ratio also what confidences cost:
processor seconds of the same rows without over with them.
"""

import argparse
import csv
import itertools
import json
import os
import re
import statistics
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from demo.report import Goal, report
from insights import errors
from insights.inference import slots
from insights.inference.engine import Engine
from insights.inference.messages import EngineSettings, GeneratorInit
from insights.inference.sampling import choices
from insights.model import GenerateRequest, Generation, Json, Message, Passage, Sampling, Segment
from insights.steps import content
from insights.steps.validate import validate

_DATA = Path(os.environ.get("INSIGHTS_EVAL_DATA", "../shared/data"))
_DEMO = Path(__file__).parents[1] / "demo" / "model" / "helpdesk-triage.q8_0.gguf"
_PASSAGES = (
    Passage(
        passage_id=1,
        number=1,
        uri="manual/hydraulics.md",
        title="Hydraulics: procedure",
        text="Hose and cylinder leaks. Relieve the pressure before work. Torque the fittings to "
        "250 Nm. Replace the seal kit 4417-B after 1,500 hours.",
    ),
    Passage(
        passage_id=2,
        number=2,
        uri="manual/bucket.md",
        title="Bucket: wear parts",
        text="Teeth and adapters wear. Change a tooth when 40 mm of its tip are gone. Weld cracks "
        "at the lip at 180 degrees.",
    ),
)
_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "system": {"enum": ["bucket", "engine", "hydraulics", "electrical", "tracks", "other"]},
        "urgent": {"type": "boolean"},
        "problem": {"type": "string", "x-quote": "row.text"},
        "step": {
            "type": "string",
            "x-quote": "passages",
            "x-quote-unit": "sentence",
            "x-quote-pattern": r"^(Relieve|Torque|Replace|Change|Weld)\b",
        },
        "evidence": {"type": "string", "x-quote": "passages"},
        "summary": {"type": "string", "maxLength": 60},
    },
    "required": ["system", "urgent", "problem", "step", "evidence", "summary"],
}


def rows(count: int) -> list[str]:
    """Return the short texts of so many work orders."""
    with (_DATA / "maint-excavators" / "excavators-cleaned.csv").open(encoding="utf-8") as file:
        return [row["OriginalShorttext"] for row in itertools.islice(csv.DictReader(file), count)]


def request(text: str) -> GenerateRequest:
    """Return the request of one work order."""
    shown = "\n".join(f"[{p.number}] {p.title}: {p.text}" for p in _PASSAGES)
    segments = (
        Segment(text=f"Passages:\n{shown}\nWork order: ", is_template=True),
        Segment(text=text, is_template=False, source="row.text"),
        Segment(text="\nDescribe the work order as JSON.", is_template=True),
    )
    return GenerateRequest(
        messages=(Message(role="user", segments=segments),),
        output_schema=_SCHEMA,
        row={"text": text},
        passages={p.number: p.text for p in _PASSAGES},
        headings={p.number: p.title for p in _PASSAGES},
        sampling=Sampling(max_tokens=200),
        deadline_s=86_400,
    )


def run(engine: Engine, texts: list[str]) -> dict[str, Generation | errors.InsightsError]:
    """Generate for every text; return what came, by text."""
    found: dict[str, Generation | errors.InsightsError] = {}
    for text in texts:
        engine.submit(request(text), partial(found.__setitem__, text))
    while engine.busy:
        engine.step()
    return found


def judged(text: str, made: Generation | errors.InsightsError) -> Counter[str]:
    """Return what is to be counted of one row."""
    if isinstance(made, errors.InsightsError):
        return Counter({f"failed: {made}": 1})
    verdict = validate(made, _SCHEMA, {"text": text}, _PASSAGES)
    seen = Counter({verdict.status: 1, "outputs marked as at their limit": len(verdict.notes) > 0})
    if verdict.output is None:
        seen[f"{verdict.status}: {verdict.reason}"] += 1
        number = re.search(r"says '(.+)', which no source says", verdict.reason or "")
        said = " ".join((text, *(passage.text for passage in _PASSAGES)))
        stands = number and re.search(rf"(?<![\w.,]){re.escape(number[1])}(?![\w.,]\w)", said)
        seen["numbers of shown passages withheld"] += bool(stands)
        return seen
    output: dict[str, Any] = verdict.output
    whole, kept = json.loads(made.text)["summary"], output["summary"]
    behind = whole[len(kept) : len(kept) + 1]
    seen["cut in mid-word"] += behind.isalnum() and kept[-1:].isalnum()
    seen["longer than allowed"] += len(kept) > 60
    shown = [passage.text for passage in _PASSAGES]
    for quote, sources in ((output["problem"], [text]), (output["evidence"], shown)):
        seen["quotes without content"] += not content.says(quote, sources)
        if len(quote) < content.LEAST:
            seen[f"short quote: {quote!r}"] += 1
    seen["sentences of another kind"] += output["step"].split()[0] in {"Hose", "Teeth"}
    sure = made.confidence
    seen["with confidence"] += set(sure) == {"/system", "/urgent"}
    seen["confidence out of range"] += not all(0 < value <= 1 for value in sure.values())
    return seen


def cost(engine: Engine, texts: list[str], rounds: int = 5) -> float:
    """Return the processor seconds without confidences over those with them, the median."""
    ratios = []
    for _ in range(rounds):
        took = []
        for off in (True, False):
            with mock.patch.object(slots, "choices", (lambda *_: None) if off else choices):
                begun = time.process_time()
                run(engine, texts)
                took.append(time.process_time() - begun)
        ratios.append(took[0] / took[1])
    return statistics.median(ratios)


def main() -> None:
    """Run and print the counts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.believed", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--model", type=Path, default=_DEMO)
    parser.add_argument("--ratio", action="store_true")
    options = parser.parse_args()
    settings = EngineSettings(parallel=4, context=1_024, threads=1)
    engine = Engine(GeneratorInit(path=str(options.model), engine=settings))
    texts = list(dict.fromkeys(rows(3 * options.rows)))[: options.rows]
    counts: Counter[str] = Counter()
    for at in range(0, len(texts), 50):
        for text, made in run(engine, texts[at : at + 50]).items():
            counts += judged(text, made)
    wrong = (
        *("cut in mid-word", "longer than allowed", "numbers of shown passages withheld"),
        *("quotes without content", "sentences of another kind"),
        *("confidence out of range",),
    )
    goals = [Goal(what, counts[what], 0, "rows", at_least=False) for what in wrong]
    if options.ratio:
        ratio = cost(engine, texts[:40])
        goals.append(Goal("seconds without confidences over with them", ratio, 0.98, "x"))
    table = [["rows", "what came of them"]]
    table += [[f"{count:,}", what] for what, count in counts.most_common() if what not in wrong]
    title = f"What people would believe wrongly: {len(texts):,} rows, {options.model.name}"
    report(title, goals, (), options.json, table)
    engine.close()


if __name__ == "__main__":
    main()
