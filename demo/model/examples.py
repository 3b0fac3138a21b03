"""From a row to tokens and the weight of each: what the network is taught, exactly as served."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from demo.model.grammar import issues
from demo.model.rows import Article, Made
from demo.model.words import CHAT_TEMPLATE, END
from insights.model import Passage, Segment
from insights.prompt import Template, apply_chat_template

PROMPT = Path(__file__).parent.parent / "config" / "prompts" / "triage.j2"
# Forced by the grammar when serving, copied by constraint, or a decision: so much does each weigh.
FORCED, _COPIED, _VALUE, _DECISION = 0.02, 0.25, 2.0, 4.0
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
        self._passages: tuple[Article, ...] | None = None
        self._shared: tuple[list[int], list[tuple[int, int]]] = [], []
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
        first = (
            next(at for at, segment in enumerate(segments) if segment.source == "row.subject") - 1
        )
        if made.passages is not self._passages:
            self._passages = made.passages
            self._shared = self._read(
                segments[:first], {f"passage.{n}": a.issue for n, a in enumerate(made.passages, 1)}
            )
        shared, shared_marks = self._shared
        tokens, marks = self._read(segments[first:], {"row.body": made.ticket.issue})
        mark = marks[0] if marks else None
        output = made.output()
        encoding = self._tokenizer.encode(output, add_special_tokens=False)
        by_character = _weights(output)
        return Example(
            shared=shared,
            tokens=[*tokens, *encoding.ids, self._end],
            weights=[max(by_character[start:end]) for start, end in encoding.offsets] + [FORCED],
            shared_marks=shared_marks,
            mark=mark,
            spans=_spans(output, encoding.offsets, len(tokens)),
            output_at=len(tokens),
        )

    def _read(
        self, segments: Sequence[Segment], about: dict[str, str]
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the tokens, and the last position and issue of each source that is about one."""
        tokens: list[int] = []
        marks: list[tuple[int, int]] = []
        for segment in segments:
            tokens += self._tokenizer.encode(segment.text, add_special_tokens=False).ids
            name = about.get(segment.source)
            if name:
                marks.append((len(tokens) - 1, self._issues[name]))
        return tokens, marks


def _weights(output: str) -> list[float]:
    weights = [FORCED] * len(output)
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
