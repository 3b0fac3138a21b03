"""From a row to tokens and the weight of each: what the network is taught, exactly as served."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from demo.model.grammar import PRIORITIES, SENTIMENTS, issues
from demo.model.lessons import Lesson, Placed, of_answer, of_passage, of_text
from demo.model.rows import Article, Made
from demo.model.words import CHAT_TEMPLATE, END
from insights.inference.chat import ChatTemplate
from insights.model import Passage, Segment
from insights.steps.prompt import Template

PROMPT = Path(__file__).parent.parent / "config" / "prompts" / "triage.j2"
# Forced by the grammar when serving, copied by constraint, or a decision: so much does each weigh.
FORCED, _COPIED, _VALUE, _DECISION, _ABSTAIN = 0.02, 0.25, 2.0, 4.0, 2.0
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
    `tone` is a position too, with indices of `PRIORITIES` and `SENTIMENTS`. `numbers` are the
    positions of passages 1, 2, … by their ends, `cited` the one that answers or 0. The lessons say
    where heads are to look.
    """

    shared: list[int]
    tokens: list[int]
    weights: list[float]
    shared_marks: list[tuple[int, int]]
    mark: tuple[int, int] | None
    tone: tuple[int, int, int]
    numbers: list[int]
    cited: int
    spans: dict[str, tuple[int, int]]
    output_at: int
    shared_lessons: list[Lesson]
    lessons: list[Lesson]


@dataclass(frozen=True)
class _Read:
    tokens: list[int]
    placed: dict[str, Placed]


class Encoder:
    """Renders rows by the demo's own prompt template and tokenises the segments apart."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._template = Template(PROMPT.read_text(encoding="utf-8"), where=str(PROMPT))
        self._chat = ChatTemplate(CHAT_TEMPLATE)
        self._end = tokenizer.get_vocab()[END]
        self._passages: tuple[Article, ...] | None = None
        self._shared = _Read([], {})
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
        segments = self._chat.render(self._template.render(row, passages))
        first = (
            next(at for at, segment in enumerate(segments) if segment.source == "row.subject") - 1
        )
        if made.passages is not self._passages:
            self._passages = made.passages
            self._shared = self._read(segments[:first])
        shared, own = self._shared, self._read(segments[first:])
        articles = {p.number: shared.placed[f"passage.{p.number}"] for p in passages}
        body = own.placed["row.body"]
        text = made.output()
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        output = Placed(len(own.tokens), text, encoding.offsets)
        spans = _spans(text, encoding.offsets, output.begin)
        by_character = _weights(text)
        return Example(
            shared=shared.tokens,
            tokens=[*own.tokens, *encoding.ids, self._end],
            weights=[max(by_character[start:end]) for start, end in encoding.offsets] + [FORCED],
            shared_marks=[
                (articles[number].end, self._issues[article.issue])
                for number, article in enumerate(made.passages, 1)
                if article.issue
            ],
            mark=(body.end, self._issues[made.ticket.issue]) if made.ticket.issue else None,
            tone=(
                body.end,
                PRIORITIES.index(made.ticket.priority),
                SENTIMENTS.index(made.ticket.sentiment),
            ),
            numbers=[articles[number].end for number in sorted(articles)],
            cited=made.cited or 0,
            spans=spans,
            output_at=output.begin,
            shared_lessons=[
                lesson
                for number, placed in articles.items()
                for lesson in of_passage(placed, shared.placed[f"number.{number}"].begin)
            ],
            lessons=[
                *of_text(own.placed["row.subject"], shared=False),
                *of_text(body, shared=False),
                *of_answer(made, articles, body, output, spans),
            ],
        )

    def text(self, tokens: Sequence[int]) -> str:
        """Return what tokens stand for."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))

    def _read(self, segments: Sequence[Segment]) -> _Read:
        """Return the tokens, and where each source's text and each passage's number lies."""
        read = _Read([], {})
        for segment in segments:
            begin = len(read.tokens)
            encoding = self._tokenizer.encode(segment.text, add_special_tokens=False)
            read.tokens.extend(encoding.ids)
            if not segment.is_template:
                name = segment.source or f"number.{segment.text}"
                read.placed[name] = Placed(begin, segment.text, encoding.offsets)
        return read


def _weights(output: str) -> list[float]:
    weights = [FORCED] * len(output)
    match = _FIELDS.match(output)
    weights[2] = _ABSTAIN if match is None else _DECISION
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
