"""Other words for the same: training rows with some words replaced by their neighbours in meaning.

A few dozen phrasings of an issue are soon known by heart. So words are replaced, and some of a
ticket's left out. Neighbours are taken from
all-MiniLM-L6-v2's table of word vectors, where "stuck" lies beside "trapped" and "jammed"; now and
then one is merely related, which a ticket survives.
"""

import random
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from demo.model.rows import Article, Made
from insights.embedding.files import ModelFiles

_WORDS, _NEAREST, _LEAST = 9_000, 6, 0.33  # commonest words; neighbours of each; their cosine
_ROWS, _SHARE, _LEFT_OUT = 0.85, 0.25, 0.07  # of the rows; of such a row's words
_WORD = re.compile(r"(?<![<A-Za-z_])[A-Za-z]{4,}(?![A-Za-z_])")  # no placeholders
_INNER = re.compile(r"(?<= )([A-Za-z]+) ")


@lru_cache(maxsize=1)
def neighbours() -> Mapping[str, tuple[str, ...]]:
    """Return the words nearest in meaning to each common word."""
    files = ModelFiles()
    table = load_file(str(files.path / "model.safetensors"))["embeddings.word_embeddings.weight"]
    vocabulary = Tokenizer.from_file(str(files.tokenizer)).get_vocab()
    ranked = sorted(vocabulary.items(), key=lambda item: item[1])
    words = [(word, at) for word, at in ranked if _WORD.fullmatch(word)][:_WORDS]
    vectors = table[[at for _, at in words]].astype(np.float32)
    vectors -= vectors.mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found: dict[str, tuple[str, ...]] = {}
    for begin in range(0, len(words), 1_000):
        cosines = vectors[begin : begin + 1_000] @ vectors.T
        cosines[np.arange(len(cosines)), begin + np.arange(len(cosines))] = -1.0
        nearest = np.argpartition(-cosines, _NEAREST, axis=1)[:, :_NEAREST]
        for row, near in enumerate(nearest):
            close = tuple(words[at][0] for at in near if cosines[row, at] >= _LEAST)
            if close:
                found[words[begin + row][0]] = close
    return found


def reworded(rng: random.Random, made: list[Made]) -> list[Made]:
    """Return rows that share their passages with some words replaced, alike wherever they stand."""
    articles = made[0].passages
    if rng.random() < _ROWS:
        articles = tuple(_article(rng, article) for article in articles)
    return [
        _ticket(rng, replace(row, passages=articles))
        if rng.random() < _ROWS
        else replace(row, passages=articles)
        for row in made
    ]


def _article(rng: random.Random, article: Article) -> Article:
    swap = _swap(rng, article.text)
    return replace(
        article,
        title=_applied(swap, article.title),
        text=_applied(swap, article.text),
        answer=_applied(swap, article.answer),
    )


def _ticket(rng: random.Random, made: Made) -> Made:
    ticket = made.ticket
    words = {word for word in _INNER.findall(ticket.body) if rng.random() < _LEFT_OUT}
    for text in (ticket.problem, ticket.cue, ticket.mood):  # which may stand inside of the body
        words.discard(text.split(" ")[0])
    ticket = replace(
        ticket,
        body=_without(words, ticket.body),
        problem=_without(words, ticket.problem),
        cue=_without(words, ticket.cue),
        mood=_without(words, ticket.mood),
    )
    swap = _swap(rng, f"{ticket.subject} {ticket.body}")
    return replace(
        made,
        ticket=replace(
            ticket,
            subject=_applied(swap, ticket.subject),
            body=_applied(swap, ticket.body),
            problem=_applied(swap, ticket.problem),
            cue=_applied(swap, ticket.cue),
            mood=_applied(swap, ticket.mood),
        ),
    )


def _swap(rng: random.Random, text: str) -> dict[str, str]:
    known = neighbours()
    words = dict.fromkeys(word.lower() for word in _WORD.findall(text))
    return {
        word: rng.choice(known[word]) for word in words if word in known and rng.random() < _SHARE
    }


def _without(words: Collection[str], text: str) -> str:
    return _INNER.sub(lambda match: "" if match[1] in words else match[0], text)


def _applied(swap: Mapping[str, str], text: str) -> str:
    def other(match: re.Match[str]) -> str:
        word = match[0]
        new = swap.get(word.lower(), word)
        return new[0].upper() + new[1:] if word[0].isupper() else new

    return _WORD.sub(other, text) if swap else text
