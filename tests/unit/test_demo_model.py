import hashlib
import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from demo.model.examples import Encoder
from demo.model.make import MODEL
from demo.model.network import Network, Shape
from demo.model.rows import Made, group
from demo.model.words import CONTROLS
from insights.configuration import load


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


def test_reading_rows_together_is_reading_each_alone() -> None:
    torch.manual_seed(0)
    network = Network(
        Shape(50, layers=2, width=64, heads=2, feed_forward=64), torch.randn(50, 8), 3
    )
    table = network.table()
    shared = [torch.randint(1, 50, (length,)) for length in (5, 9)]
    rows = [torch.randint(1, 50, (length,)) for length in (4, 7, 6, 3)]
    together, *_ = network(shared, rows, table)
    alone = [network([shared[at // 2]], [row], table)[0] for at, row in enumerate(rows)]
    assert torch.allclose(together, torch.cat(alone), atol=0.05)  # angles are bfloat16


def test_the_committed_model_is_the_one_the_demo_asks_for() -> None:
    if not MODEL.exists():
        pytest.skip("`make demo-model` has not been run yet")
    settings = load(Path("demo/config/insights.toml")).model["helpdesk"]
    digest = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert settings.sha256 == digest
    recorded = MODEL.with_suffix(".gguf.sha256").read_text(encoding="utf-8")
    assert recorded == f"{digest}  {MODEL.name}\n"
    assert MODEL.stat().st_size < 12_000_000
