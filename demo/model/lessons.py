"""What heads are taught to look at: training alone, nothing of it is in the exported model.

To choose and to quote, a network has to look at the right places: from a ticket to the passage that
is about the same, from a quote to what it copies. Left to itself a small one needs far more rows
than a CPU can show it before any head does so; told where to look it needs a few thousand. Each
lesson gives a head's query a target among its keys, and the loss is the cross-entropy of that
head's attention.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from demo.model.rows import Made

# Layer (of `Shape.layers`, counted from 0) and head that learns it.
HEADS: Mapping[str, tuple[int, int]] = {
    "before": (0, 0),  # any token → the one before it
    "sentence": (1, 0),  # a token of a text → the first token of its sentence
    "number": (1, 1),  # a token of a passage → the passage's number
    "cited": (1, 2),  # where a step is quoted → the number that was cited
    "cue": (2, 0),  # the ticket's end → the end of what says its urgency, or the very start
    "mood": (2, 1),  # the same for what says its mood
    "match": (3, 0),  # the ticket's end → the end of the passage that answers, or the very start
    "read": (4, 0),  # where something is chosen → the ticket's end
    "step": (5, 1),  # where the step's quote begins → its first token in the passage
    "problem": (5, 3),  # where the problem's quote begins → the end of its sentence
    "copy": (5, 2),  # inside of a quote → the token that comes next
}
_GAP = re.compile(r"(?<=[.!?])\s+|\n+")
Offsets = list[tuple[int, int]]


@dataclass(frozen=True)
class Lesson:
    """From the token at `at` look at the token at `to`, which is among the shared ones or not."""

    kind: str
    at: int
    to: int
    shared: bool


@dataclass(frozen=True)
class Placed:
    """A text among the tokens: where it begins, and the characters that each token stands for."""

    begin: int
    text: str
    offsets: Offsets

    @property
    def end(self) -> int:
        """The position of its last token."""
        return self.begin + len(self.offsets) - 1

    def token(self, character: int) -> int:
        """Return the position of the token that a character is in."""
        inside = (at for at, (_, end) in enumerate(self.offsets) if end > character)
        return self.begin + next(inside, len(self.offsets) - 1)

    def sentences(self) -> Iterator[tuple[int, int]]:
        """Yield the positions of each sentence's first and last token."""
        start = 0
        for gap in [*_GAP.finditer(self.text), None]:
            end = len(self.text) if gap is None else gap.start()
            if end > start:
                yield self.token(start), self.token(end - 1)
            start = end if gap is None else gap.end()


def of_text(placed: Placed, *, shared: bool) -> Iterator[Lesson]:
    """Yield that each token looks at the beginning of its sentence."""
    for first, last in placed.sentences():
        for at in range(first, last + 1):
            yield Lesson("sentence", at, first, shared)


def of_passage(placed: Placed, number: int) -> Iterator[Lesson]:
    """Yield that each token looks at the number before the passage."""
    yield from of_text(placed, shared=True)
    for at in range(placed.begin, placed.end + 1):
        yield Lesson("number", at, number, shared=True)


def of_answer(
    made: Made,
    passages: Mapping[int, Placed],
    body: Placed,
    output: Placed,
    spans: Mapping[str, tuple[int, int]],
) -> Iterator[Lesson]:
    """Yield what the answer looks at.

    Args:
        made: The row.
        passages: Its passages, by number, among the shared tokens.
        body: The ticket's text.
        output: The answer.
        spans: The tokens of each of the answer's fields.
    """
    answering = passages[made.cited].end if made.cited else 0
    yield Lesson("match", body.end, answering, shared=True)
    yield from _of_tone(made, body)
    for name in ("key", "category", "priority", "sentiment", "cited"):
        for at in range(*spans.get(name, (0, 0))):
            yield Lesson("read", at - 1, body.end, shared=False)
    if made.cited is None:
        return
    answer = made.passages[made.cited - 1].answer
    quotes = (
        ("next_step", answer, passages[made.cited], True),
        ("problem", made.ticket.problem, body, False),
    )
    for name, quote, source, shared in quotes:
        first, last = spans[f"{name} start"][0], spans[name][1]
        begins = source.text.find(quote)
        written = output.offsets[first - output.begin][0]
        if name == "next_step":
            yield Lesson("step", first - 1, source.token(begins), shared=True)
            for at in range(first, last):
                yield Lesson("cited", at - 1, spans["cited"][0], shared=False)
        else:
            yield Lesson("problem", first - 1, source.token(begins + len(quote) - 1), shared=False)
        for at in range(first + 1, last):
            ahead = output.offsets[at - output.begin][0] - written
            if ahead < len(quote):
                ahead += quote[ahead] == " "
                yield Lesson("copy", at - 1, source.token(begins + ahead), shared=shared)


def _of_tone(made: Made, body: Placed) -> Iterator[Lesson]:
    for name, words in (("cue", made.ticket.cue), ("mood", made.ticket.mood)):
        begins = body.text.find(words) if words else -1
        if begins < 0:
            yield Lesson(name, body.end, 0, shared=True)
        else:
            yield Lesson(name, body.end, body.token(begins + len(words) - 1), shared=False)
