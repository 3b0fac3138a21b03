"""From a row to tokens and the weight of each: what the network is taught, exactly as served."""

import re
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from demo.model.grammar import issues
from demo.model.rows import Made
from demo.model.words import CHAT_TEMPLATE, END
from insights.model import Passage
from insights.prompt import Template, apply_chat_template

PROMPT = Path(__file__).parent.parent / "config" / "prompts" / "triage.j2"
# Forced by the grammar when serving, copied by constraint, or a decision: so much does each weigh.
_FORCED, _COPIED, _VALUE, _DECISION = 0.02, 0.25, 2.0, 4.0
_FIELDS = re.compile(
    r'^\{"(?P<key>category)":"(?P<category>\w+)","priority":"(?P<priority>\w+)",'
    r'"sentiment":"(?P<sentiment>\w+)","cited_passages":\[(?P<cited>\d+)\],'
    r'"next_step":"(?P<next_step>.+)","problem":"(?P<problem>.+)"\}$'
)


@dataclass(frozen=True)
class Example:
    """A row's tokens behind the passages, and what predicting each weighs.

    `shared` are the tokens up to the ticket. `shared_marks` and `mark` are positions in them and in
    `tokens` by which it is known what a passage or the ticket is about (an index of `issues()`).
    """

    shared: list[int]
    tokens: list[int]
    weights: list[float]
    shared_marks: list[tuple[int, int]]
    mark: tuple[int, int] | None
    spans: dict[str, tuple[int, int]]
    output_at: int


class Encoder:
    """Renders rows by the demo's own prompt template and tokenises the segments apart."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._template = Template(PROMPT.read_text(encoding="utf-8"), where=str(PROMPT))
        self._end = tokenizer.get_vocab()[END]
        self._issues = {issue.name: at for at, issue in enumerate(issues())}

    def encode(self, made: Made) -> Example:
        """Return a row with its answer."""
        passages = [
            Passage(
                passage_id=number, number=number, uri="", title=article.title, text=article.text
            )
            for number, article in enumerate(made.passages, 1)
        ]
        row = {"subject": made.ticket.subject, "body": made.ticket.body}
        segments = apply_chat_template(CHAT_TEMPLATE, self._template.render(row, passages))
        shared: list[int] = []
        tokens: list[int] = []
        shared_marks: list[tuple[int, int]] = []
        mark = None
        last = f"passage.{len(passages)}"
        into = shared
        for segment in segments:
            into += self._tokenizer.encode(segment.text, add_special_tokens=False).ids
            if segment.source.startswith("passage."):
                name = made.passages[int(segment.source.removeprefix("passage.")) - 1].issue
                if name:
                    shared_marks.append((len(into) - 1, self._issues[name]))
            elif segment.source == "row.body" and made.ticket.issue:
                mark = (len(into) - 1, self._issues[made.ticket.issue])
            if segment.source == last:
                into = tokens
        output = made.output()
        encoding = self._tokenizer.encode(output, add_special_tokens=False)
        by_character = _weights(output)
        return Example(
            shared=shared,
            tokens=[*tokens, *encoding.ids, self._end],
            weights=[max(by_character[start:end]) for start, end in encoding.offsets] + [_FORCED],
            shared_marks=shared_marks,
            mark=mark,
            spans=_spans(output, encoding.offsets, len(tokens)),
            output_at=len(tokens),
        )


def _weights(output: str) -> list[float]:
    weights = [_FORCED] * len(output)
    weights[2] = _DECISION
    match = _FIELDS.match(output)
    if match is None:
        return weights
    for name in ("category", "priority", "sentiment"):
        weights[match.start(name) : match.end(name)] = [_VALUE] * len(match[name])
    weights[match.start("cited")] = _DECISION
    for name in ("next_step", "problem"):
        start, end = match.span(name)
        weights[start:end] = [_COPIED] * (end - start)
        weights[start] = _DECISION
        weights[end] = _VALUE
    return weights


def _spans(output: str, offsets: list[tuple[int, int]], begin: int) -> dict[str, tuple[int, int]]:
    """Return the tokens of each field's value, and of the first key: for measuring."""
    match = _FIELDS.match(output)
    wanted = {"key": (2, 3)}
    if match is not None:
        names = ("category", "priority", "sentiment", "cited", "next_step", "problem")
        wanted |= {name: match.span(name) for name in names}
        for name in ("next_step", "problem"):
            wanted[f"{name} start"] = (match.start(name), match.start(name) + 1)
            wanted[name] = (match.start(name), match.end(name) + 1)
    found = {}
    for name, (start, end) in wanted.items():
        inside = [at for at, (a, b) in enumerate(offsets) if a < end and b > start]
        found[name] = (begin + inside[0], begin + inside[-1] + 1)
    return found
