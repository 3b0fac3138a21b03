"""Errors planted in sentences of real passages: how many are seen, and how many true ones accused.

    python -m benchmarks.faithful [--passages 400] [--seed 7] [--judge NAME] [--json]

Sentences of Cranfield's abstracts (INSIGHTS_EVAL_DATA, default ../shared/data) and of the demo's
articles are shortened and joined as a summary does, which leaves them true, and then get one
error: a negation more or less, a number or a name that stands elsewhere in the passages. Beside
them the true pairs that people wrote: the first line of a function's docstring in Python's library
and the rest of it. Compared with today's support score at the same share of true ones accused; with
`--judge`, with what else could tell (`_judges`).
"""

import argparse
import ast
import json
import os
import random
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks._judges import judge
from demo.report import Goal, report
from insights.steps.contradiction import contradiction

_DATA = Path(os.environ.get("INSIGHTS_EVAL_DATA", "../shared/data"))
_ARTICLES = Path(__file__).parents[1] / "demo" / "knowledge"
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+|\|")
_AUXILIARY = re.compile(
    r"\b(is|are|was|were|can|must|should|may|will|has|have|does|do)\b(?! not)", re.IGNORECASE
)
_NEGATION = re.compile(r"\b(not|never) ", re.IGNORECASE)
_NUMBER = re.compile(r"\b\d+(?:\.\d+)?\b")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b")
_DROPPED = re.compile(
    r"\b(very|also|however|therefore|then|generally|usually|still|again|further|first) |"
    r" \([^)]*\)|^(In this paper|In general|Finally|Here|Now), ?",
)


class Case(NamedTuple):
    """A sentence, its passages, and what was planted in it (`true`: nothing)."""

    kind: str
    sentence: str
    sources: list[str]


def passages() -> list[str]:
    """Return real passages: articles, mails, abstracts."""
    found = [file.read_text(encoding="utf-8") for file in sorted(_ARTICLES.glob("*.md"))]
    abstracts = (_DATA / "cranfield" / "cran.all.1400").read_text(encoding="utf-8")
    found += [
        " ".join(part.split())
        for part in re.findall(r"\.W\n(.*?)(?=\n\.I|\Z)", abstracts, re.DOTALL)
    ]
    mails = (_DATA / "injection" / "email-train.jsonl").read_text(encoding="utf-8").splitlines()
    found += [str(json.loads(line)["context"]) for line in mails]
    return found


def docstrings() -> Iterator[Case]:
    """Yield the first lines of docstrings with the rest: true, and written by people."""
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                first, _, rest = (ast.get_docstring(node) or "").partition("\n")
                if len(rest.split()) > 20 and len(first.split()) > 4:
                    yield Case("true, by people", first, [rest])


def planted(some: list[str], draw: random.Random) -> Iterator[Case]:
    """Yield, of each passage, a true sentence, and with each error that it can have."""
    names = sorted({name for text in some for name in _NAME.findall(text)})
    for text in some:
        sentences = [s for s in _SENTENCE.split(text) if 6 <= len(s.split()) <= 60]
        if not sentences:
            continue
        sources = [text, draw.choice(some)]
        true = _shortened(draw.choice(sentences), draw)
        if draw.random() < 0.3:
            other = _shortened(draw.choice(sentences), draw)
            true = f"{true.rstrip('.')}, and {other[0].lower()}{other[1:]}"
        yield Case("true", true, sources)
        if _NEGATION.search(true):
            yield Case("negation", _NEGATION.sub("", true, count=1), sources)
        elif _AUXILIARY.search(true):
            yield Case("negation", _AUXILIARY.sub(r"\1 not", true, count=1), sources)
        numbers = sorted(set(_NUMBER.findall(text)))
        if (at := _NUMBER.search(true)) and len(numbers) > 1:
            other = draw.choice([one for one in numbers if one != at.group()])
            yield Case("number", true[: at.start()] + other + true[at.end() :], sources)
        if at := _NAME.search(true):
            other = draw.choice([one for one in names if one != at.group()])
            yield Case("name", true[: at.start()] + other + true[at.end() :], sources)


def _shortened(sentence: str, draw: random.Random) -> str:
    """Return a sentence as a summary has it: without what it can do without."""
    made = _DROPPED.sub("", sentence)
    parts = made.split(", ")
    if len(parts) > 2 and draw.random() < 0.5:
        made = ", ".join(parts[:-1]) + "."
    return made[0].upper() + made[1:] if made else sentence


def share_of_words(sentence: str, sources: list[str]) -> float:
    """Return today's score, words stemmed by cutting them at six letters and weighing alike."""
    words = {word[:6] for word in re.findall(r"\w{4,}", sentence.casefold())}
    known = {word[:6] for text in sources for word in re.findall(r"\w{4,}", text.casefold())}
    return len(words & known) / len(words) if words else 1.0


def main() -> None:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--show", action="store_true", help="print what goes wrong")
    parser.add_argument("--judge", help="cosine, asked, or the folder of an NLI model in ONNX")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    draw = random.Random(options.seed)  # noqa: S311 - a sample
    every = passages()
    some = draw.sample(every, min(options.passages, len(every)))
    cases = [*planted(some, draw), *docstrings()]
    scored = judge(options.judge) if options.judge else share_of_words
    scores = [scored(case.sentence, case.sources) for case in cases]
    true = sorted(s for case, s in zip(cases, scores, strict=True) if case.kind == "true")
    bound = true[int(0.05 * len(true))]
    table = [["planted", "sentences", "rule", options.judge or "support score"]]
    goals = []
    for kind in dict.fromkeys(case.kind for case in cases):
        of = [case for case in cases if case.kind == kind]
        seen = [contradiction(case.sentence, case.sources) for case in of]
        share = sum(one is not None for one in seen) / len(of)
        low = [s < bound for case, s in zip(cases, scores, strict=True) if case.kind == kind]
        score = sum(low) / len(of)
        table.append([kind, f"{len(of)}", f"{share:.3f}", f"{score:.3f}"])
        if kind.startswith("true"):
            goals.append(Goal(f"accused, {kind}", share, 0.05, "", at_least=False))
        else:
            goals.append(Goal(f"seen, {kind}", share, 0.8, ""))
        if options.show:
            for case, why in zip(of, seen, strict=True):
                if (why is None) != kind.startswith("true"):
                    sys.stderr.write(f"{kind} | {case.sentence} | {why}\n")
    report("Errors planted in true sentences", goals, [], json=options.json, table=table)


if __name__ == "__main__":
    main()
