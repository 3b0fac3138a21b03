import hashlib
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import gguf
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from demo.model.evaluate import SCHEMA, request
from demo.model.examples import Encoder
from demo.model.lessons import HEADS
from demo.model.make import MODEL
from demo.model.network import Look, Network, Shape
from demo.model.rows import ABSTAIN, Made, group
from demo.model.synonyms import reworded
from demo.model.words import CONTROLS
from insights.inference.constraint import Compiler
from insights.inference.llama import Model
from insights.inference.preparing import prepare
from insights.site.files import load


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Return an encoder whose tokenizer knows letters only: enough to see where things lie."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        special_tokens=list(CONTROLS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["the passage that answers the ticket"], trainer)
    return Encoder(tokenizer)


def _rows(*, held: bool) -> list[Made]:
    rng = random.Random(4)
    return [made for _ in range(10) for made in group(rng, held=held, tickets=3)]


def test_what_weighs_most_is_what_the_constraint_leaves_open(encoder: Encoder) -> None:
    for made in _rows(held=True):
        example = encoder.encode(made)
        assert len(example.weights) == len(example.tokens) - example.output_at
        decided = {at for at, w in enumerate(example.weights, example.output_at) if w >= 2}
        assert example.spans["key"][0] in decided
        if made.cited is not None:
            for name in ("category", "priority", "cited", "next_step start", "problem start"):
                assert example.spans[name][0] in decided


def test_rows_that_share_passages_share_their_beginning(encoder: Encoder) -> None:
    first, second, third = (encoder.encode(made) for made in _rows(held=False)[:3])
    assert first.shared == second.shared == third.shared
    assert first.tokens != second.tokens


def test_lessons_point_at_what_is_copied_and_at_what_answers(encoder: Encoder) -> None:
    seen: set[str] = set()
    for made in _rows(held=False):
        example = encoder.encode(made)
        for lesson in [*example.lessons, *example.shared_lessons]:
            seen.add(lesson.kind)
            target = example.shared if lesson.shared else example.tokens
            there = encoder.text(target[lesson.to :])
            ahead = encoder.text(example.tokens[lesson.at + 1 :])
            if lesson.kind in {"step", "copy"}:
                assert there.strip()[0] == ahead.strip()[0]
            elif lesson.kind == "match":
                right = encoder.text(example.shared[: lesson.to + 1])
                assert right.endswith(
                    made.passages[made.cited - 1].text if made.cited else "<|user|>"
                )
            elif lesson.kind == "problem":
                assert encoder.text(example.tokens[: lesson.to + 1]).endswith(made.ticket.problem)
            elif lesson.kind in {"cue", "mood"}:
                words = getattr(made.ticket, lesson.kind)
                assert lesson.shared == (not words)
                assert encoder.text(example.tokens[: lesson.to + 1]).endswith(words) or not words
    assert seen == set(HEADS) - {"before"}


def test_a_look_is_the_attention_of_its_head() -> None:
    scores = torch.zeros(1, 2, 3, 4)
    scores[0, 1, 2] = torch.tensor([0.0, 9.0, 0.0, 0.0])
    one = torch.tensor([0])
    look = Look((0, 1), shared=False, sequence=one, at=torch.tensor([2]), to=one + 1)
    assert float(look.log_probability(scores)) > -0.01
    assert float(replace(look, to=torch.tensor([3])).log_probability(scores)) < -8


def test_rewording_changes_words_alike_wherever_they_stand() -> None:
    rng = random.Random(5)
    rows = [row for _ in range(20) for row in group(rng, held=False, tickets=2)]
    again = [row for at in range(0, 40, 2) for row in reworded(rng, rows[at : at + 2])]
    assert [row.cited for row in again] == [row.cited for row in rows]
    assert sum(a.ticket.body != b.ticket.body for a, b in zip(rows, again, strict=True)) > 10
    for row in again:
        for text in (row.ticket.problem, row.ticket.cue, row.ticket.mood):
            assert text in row.ticket.body
        assert all(article.answer in article.text for article in row.passages)
    assert all(a.passages is b.passages for a, b in zip(again[::2], again[1::2], strict=True))


def test_reading_rows_together_is_reading_each_alone() -> None:
    torch.manual_seed(0)
    network = Network(
        Shape(50, layers=2, width=64, heads=2, feed_forward=64), torch.randn(50, 8), 3, 2, 4
    )
    table = network.table()
    shared = [torch.randint(1, 50, (length,)) for length in (5, 9)]
    rows = [torch.randint(1, 50, (length,)) for length in (4, 7, 6, 3)]
    together, *_ = network(shared, rows, table)
    alone = [network([shared[at // 2]], [row], table)[0] for at, row in enumerate(rows)]
    assert torch.allclose(together, torch.cat(alone), atol=0.05)  # angles are bfloat16


def _committed() -> Encoder:
    """Return an encoder with the committed model's own vocabulary."""
    fields = gguf.GGUFReader(MODEL).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE({token: at for at, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens(list(CONTROLS))
    return Encoder(tokenizer)


def test_what_is_served_is_token_for_token_what_was_taught() -> None:
    encoder, model = _committed(), Model(MODEL)
    compiler = Compiler(model.vocab)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for made in _rows(held=True):
        taught = encoder.encode(made)
        prepared = prepare(request(made, schema), model.chat_template, model, 2_048)
        assert prepared.tokens == taught.shared + taught.tokens[: taught.output_at]
        constraint = compiler.constraint(schema, (ABSTAIN,), prepared.row, prepared.passages)
        left = taught.tokens[taught.output_at : -1]
        while left:
            next_tokens = constraint.forced() or left[:1]
            assert next_tokens == left[: len(next_tokens)]
            constraint.consume(next_tokens)  # refuses what the grammar does not allow
            left = left[len(next_tokens) :]
        assert constraint.finished
        assert constraint.text == made.output()
    model.close()


def test_many_words_can_be_quoted_from_any_word_on_without_the_lexer_giving_up() -> None:
    body = (
        "Dear support,\n\nMarta Zielinska unfortunately deleted several files.\n\nIt was there on "
        "Monday. We moved offices in the 8th. Sorry to disturb you.\n<CUSTOMER_NAME_1>\n"
        "Tel. <PHONE_1>\n<EMAIL_1>"
    )
    part = {"type": "string", "x-quote": "row.body", "x-quote-words": [4, 60]}
    schema = {"type": "object", "properties": {"q": part}, "required": ["q"]}
    model = Model(MODEL)
    compiler = Compiler(model.vocab)
    for start in (match.start() for match in re.finditer(r"\b\w", body[:80])):
        constraint = compiler.constraint(schema, (), {"body": body})
        answer = json.dumps({"q": body[start:]}, separators=(",", ":"))
        for token in model.tokenize(answer, special=False):
            constraint.mask()
            constraint.consume([token])
        assert constraint.finished
    model.close()


def test_the_committed_model_is_the_one_the_demo_asks_for() -> None:
    settings = load(Path("demo/config/insights.toml")).model["helpdesk"]
    digest = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert settings.sha256 == digest
    recorded = MODEL.with_suffix(".gguf.sha256").read_text(encoding="utf-8")
    assert recorded == f"{digest}  {MODEL.name}\n"
    assert MODEL.stat().st_size < 12_000_000
