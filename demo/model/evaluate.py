"""Measures the demo's model on held-out phrasings, through the product's own generator.

`python -m demo.model.evaluate [--json]`. Beside it, what the commonest answer and the nearest
neighbour by embedding reach on the same rows, and the model on the demo's own 300 tickets.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

from demo.data import articles, customers, tickets
from demo.model.baselines import Answer, majority, nearest, similarities
from demo.model.examples import PROMPT
from demo.model.make import MODEL
from demo.model.rows import ABSTAIN, Article, Made, Text, make
from demo.model.speed import rows_a_second
from demo.report import Goal, report
from insights.inference.client import LocalGenerator
from insights.inference.messages import EngineSettings
from insights.model import GenerateRequest, Json, Passage, Sampling
from insights.steps.prompt import Template

ROWS = 520
SCHEMA = PROMPT.parent.parent / "schemas" / "triage.json"
_GOALS = {
    "category accuracy": 0.92,
    "priority accuracy": 0.85,
    "sentiment accuracy": 0.0,
    "the cited passage answers": 0.85,
    "next_step is the answering step": 0.80,
    "problem is the sentence that states it": 0.80,
    "abstains where no passage answers": 0.80,
    "does not abstain where one does": 0.90,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m demo.model.evaluate", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--model", type=Path, default=MODEL)
    given = parser.parse_args()
    rng = random.Random("evaluation")
    rows = [make(rng, held=True) for _ in range(given.rows)]
    began = time.monotonic()
    answers, loose = generate(given.model, rows)
    took = time.monotonic() - began
    own = score(rows, answers)
    shown = _demo_rows()
    shown_answers, shown_loose = generate(given.model, shown)
    columns = {
        "majority": score(rows, majority(rows)),
        "nearest neighbour": score(rows, nearest(rows)),
        "the demo's 300": score(shown, shown_answers),
    }
    goals = [Goal(name, own[name], goal) for name, goal in _GOALS.items() if goal]
    goals.append(
        Goal(
            "speed of the demo on two cores, whole pipeline",
            rows_a_second(given.model),
            10,
            "rows/s",
        )
    )
    goals.append(
        Goal(
            "quote fields that are not literal quotes",
            float(loose + shown_loose),
            0.0,
            "rows",
            at_least=False,
        )
    )
    goals += [
        Goal(f"{name}, above both baselines", _lead(own, columns, name), 0.0)
        for name, goal in _GOALS.items()
        if goal and "abstain" not in name
    ]
    table = [["measure", "model", *columns]]
    table += [
        [name, f"{own[name]:.3f}", *(f"{column[name]:.3f}" for column in columns.values())]
        for name in _GOALS
    ]
    notes = [
        f"{given.rows} rows of held-out phrasings of tickets and articles; {took:.0f} s",
        "the demo's 300 tickets: their passages are the three articles nearest by embedding",
        (
            "category, priority, sentiment and problem count where the model answers; citation and"
            " next_step where a passage does (abstaining is wrong there)"
        ),
    ]
    report("Demo model on held-out phrasings", goals, notes, json=given.json, table=table)


def generate(model: Path, rows: Sequence[Made]) -> tuple[list[Answer], int]:
    """Return the model's answers, and how many rows quote what is not there."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    generator = LocalGenerator(model, engine=EngineSettings(threads=2), name="evaluate")
    try:
        futures = [generator.submit(request(row, schema)) for row in rows]
        answers = [json.loads(future.result().text) for future in futures]
    finally:
        generator.close()
    loose = sum(not _literal(row, answer) for row, answer in zip(rows, answers, strict=True))
    return answers, loose


def request(row: Made, schema: Json) -> GenerateRequest:
    """Return what the demo's pipeline asks of the model about a row."""
    template = Template(PROMPT.read_text(encoding="utf-8"), where=str(PROMPT))
    values: dict[str, str | None] = {"subject": row.ticket.subject, "body": row.ticket.body}
    passages = [
        Passage(passage_id=number, number=number, uri="", title=article.title, text=article.text)
        for number, article in enumerate(row.passages, 1)
    ]
    return GenerateRequest(
        messages=template.render(values, passages),
        output_schema=schema,
        abstain=(ABSTAIN,),
        row={name: value for name, value in values.items() if value},
        passages={passage.number: passage.text for passage in passages},
        sampling=Sampling(max_tokens=160),
        deadline_s=900.0,
    )


def score(rows: Sequence[Made], answers: Sequence[Answer]) -> dict[str, float]:
    """Return each measure's share of right answers."""
    pairs = list(zip(rows, answers, strict=True))
    answered = [(row, answer) for row, answer in pairs if row.cited is not None]
    given = [(row, answer) for row, answer in pairs if "abstain" not in answer]

    def share(name: str) -> float:
        return _share([answer[name] == getattr(row.ticket, name) for row, answer in given])

    return {
        "category accuracy": share("category"),
        "priority accuracy": share("priority"),
        "sentiment accuracy": share("sentiment"),
        "the cited passage answers": _share(
            [answer.get("cited_passages") == [row.cited] for row, answer in answered]
        ),
        "next_step is the answering step": _share(
            [
                row.cited is not None
                and _same(answer.get("next_step"), row.passages[row.cited - 1].answer)
                for row, answer in answered
            ]
        ),
        "problem is the sentence that states it": _share(
            [_same(answer.get("problem"), row.ticket.problem) for row, answer in given]
        ),
        "abstains where no passage answers": _share(
            ["abstain" in answer for row, answer in pairs if row.cited is None]
        ),
        "does not abstain where one does": _share(
            ["abstain" not in answer for _, answer in answered]
        ),
    }


def _lead(own: dict[str, float], columns: dict[str, dict[str, float]], name: str) -> float:
    return own[name] - max(columns["majority"][name], columns["nearest neighbour"][name])


def _share(right: Sequence[bool]) -> float:
    return sum(right) / len(right) if right else 0.0


def _same(quote: str | None, truth: str) -> bool:
    """Return whether two quotes are the same but for the punctuation around them."""
    return quote is not None and quote.strip(" .!?") == truth.strip(" .!?")


def _literal(row: Made, answer: Answer) -> bool:
    if "abstain" in answer:
        return True
    cited = row.passages[answer["cited_passages"][0] - 1]
    return answer["next_step"] in cited.text and answer["problem"] in row.ticket.body


def _demo_rows() -> list[Made]:
    """Return the demo's tickets as the reader would redact them, each with the nearest articles."""
    entries = articles()
    texts = [_redacted(ticket.body) for ticket in tickets()]
    queries = [f"{t.subject}\n{body}" for t, body in zip(tickets(), texts, strict=True)]
    cosines = similarities(queries, [entry.article.text for entry in entries])
    found = []
    for ticket, body, row in zip(tickets(), texts, cosines, strict=True):
        nearest_entries = [entries[int(at)] for at in row.argsort()[::-1][:3]]
        passages: tuple[Article, ...] = tuple(entry.article for entry in nearest_entries)
        ids = [entry.article_id for entry in nearest_entries]
        cited = ids.index(ticket.article_id) + 1 if ticket.article_id in ids else None
        text = Text(
            ticket.subject,
            body,
            ticket.problem,
            ticket.category,
            ticket.priority,
            ticket.sentiment,
        )
        found.append(Made(text, passages, cited))
    return found


def _redacted(body: str) -> str:
    for customer in customers():
        body = body.replace(customer.name, "<CUSTOMER_NAME_1>")
        body = body.replace(customer.email, "<EMAIL_1>").replace(customer.phone, "<PHONE_1>")
    return body


if __name__ == "__main__":
    main()
