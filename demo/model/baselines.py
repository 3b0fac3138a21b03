"""What the demo's model must beat: the commonest answer, and the nearest neighbour by embedding."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from demo.model.rows import ABSTAIN, Article, Made, make
from insights.embedding.client import EmbedderClient
from insights.embedding.files import ModelFiles

_NEIGHBOURS = 1_500  # training rows that a ticket is compared with
_HEADER_BYTES = 4  # halfvec_send: dimensions and an unused word
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
Answer = dict[str, Any]
Vectors = np.ndarray[Any, np.dtype[np.float32]]


class Answers(Protocol):
    """Answers rows."""

    def __call__(self, rows: Sequence[Made]) -> list[Answer]:
        """Return each row's answer, as the pipeline's output."""
        ...


def majority(rows: Sequence[Made]) -> list[Answer]:
    """Answer the training rows' commonest values, the first passage, the first sentences."""
    known = _training()
    values = {
        name: Counter(getattr(row.ticket, name) for row in known).most_common(1)[0][0]
        for name in ("category", "priority", "sentiment")
    }
    return [
        values
        | {
            "cited_passages": [1],
            "next_step": _sentences(row.passages[0])[0],
            "problem": _split(row.ticket.body)[0],
        }
        for row in rows
    ]


def nearest(rows: Sequence[Made]) -> list[Answer]:
    """Answer by cosine of all-MiniLM-L6-v2's vectors.

    Category, priority and sentiment are those of the nearest training ticket; cited is the nearest
    passage, below a threshold that the training rows chose none; quoted is the sentence of it that
    is nearest to the ticket, and the ticket's sentence that is nearest to its subject.
    """
    known = _training()
    embedder = EmbedderClient(ModelFiles(), threads=2)
    try:
        return _nearest(rows, known, embedder)
    finally:
        embedder.close()


def similarities(queries: Sequence[str], texts: Sequence[str]) -> Vectors:
    """Return the cosines of queries and texts, `(queries, texts) float32`."""
    embedder = EmbedderClient(ModelFiles(), threads=2)
    try:
        cosines: Vectors = _vectors(embedder, queries) @ _vectors(embedder, texts).T
    finally:
        embedder.close()
    return cosines


def _vectors(embedder: EmbedderClient, texts: Sequence[str]) -> Vectors:
    raw = b"".join(vector[_HEADER_BYTES:] for vector in embedder.embed(texts, "query"))
    return np.frombuffer(raw, ">f2").astype(np.float32).reshape(len(texts), -1)


def _nearest(rows: Sequence[Made], known: list[Made], embedder: EmbedderClient) -> list[Answer]:
    def vectors(texts: Sequence[str]) -> Vectors:
        return _vectors(embedder, texts)

    def passages(of: Sequence[Made]) -> Vectors:
        """Return the cosines of each row's ticket and passages, `(rows, passages)`."""
        texts = [article.text for row in of for article in row.passages]
        tickets = vectors([_query(row) for row in of])
        shaped = vectors(texts).reshape(len(of), -1, tickets.shape[1])
        cosines: Vectors = (shaped @ tickets[:, :, None])[:, :, 0]
        return cosines

    trained = vectors([_query(row) for row in known])
    tickets = vectors([_query(row) for row in rows])
    floor = _floor(known[:300], passages(known[:300]))
    cosines = passages(rows)
    answers: list[Answer] = []
    for at, row in enumerate(rows):
        if cosines[at].max() < floor:
            answers.append({"abstain": ABSTAIN})
            continue
        like = known[int((trained @ tickets[at]).argmax())].ticket
        cited = int(cosines[at].argmax())
        steps, own = _sentences(row.passages[cited]), _split(row.ticket.body)
        of_steps, of_own = vectors(steps), vectors([*own, row.ticket.subject])
        answers.append(
            {
                "category": like.category,
                "priority": like.priority,
                "sentiment": like.sentiment,
                "cited_passages": [cited + 1],
                "next_step": steps[int((of_steps @ tickets[at]).argmax())],
                "problem": own[int((of_own[:-1] @ of_own[-1]).argmax())],
            }
        )
    return answers


def _floor(rows: Sequence[Made], cosines: Vectors) -> float:
    """Return the threshold that tells answered training rows from the others best, on balance."""
    best = cosines.max(1)
    answered = np.array([row.cited is not None for row in rows])
    candidates = np.quantile(best, np.linspace(0, 1, 101))
    scores = [
        (best[answered] >= floor).mean() + (best[~answered] < floor).mean() for floor in candidates
    ]
    return float(candidates[int(np.argmax(scores))])


def _training() -> list[Made]:
    rng = random.Random("neighbours")
    return [make(rng, held=False) for _ in range(_NEIGHBOURS)]


def _query(row: Made) -> str:
    return f"{row.ticket.subject}\n{row.ticket.body}"


def _sentences(article: Article) -> list[str]:
    return _split(article.text.partition("\n\n")[2])


def _split(text: str) -> list[str]:
    return [part for part in _SENTENCE.split(text) if part.strip()]
