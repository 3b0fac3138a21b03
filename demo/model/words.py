"""The tokenizer of the demo's model, and where its words' first meanings come from.

Byte-level BPE, digits one by one: what llama.cpp calls `smollm`. It is trained on rows for training
and on common English words, so that a word the rows do not have is still one token.
"""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from demo.model.rows import make
from insights.embedding.files import ModelFiles

VOCABULARY = 6_144
END = "<|end|>"
CONTROLS = ("<|pad|>", END, "<|user|>", "<|system|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_ROWS = 12_000
_COMMON_WORDS, _REPEATS = 9_000, 12


def train_tokenizer(path: Path, *, seed: int) -> Tokenizer:
    """Train the tokenizer and save it as `tokenizer.json`; the same bytes each time."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(CONTROLS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(seed), trainer)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return tokenizer


def _corpus(seed: int) -> Iterable[str]:
    rng = random.Random(f"tokenizer {seed}")
    for _ in range(_ROWS):
        row = make(rng, held=False)
        yield row.ticket.subject
        yield row.ticket.body
        yield row.output()
        yield from (passage.text for passage in row.passages)
    ranked = sorted(_word_pieces().get_vocab().items(), key=lambda item: item[1])
    words = [word for word, _ in ranked if word.isascii() and word.isalpha() and len(word) > 2]
    for word in words[:_COMMON_WORDS]:
        yield from [f" {word}"] * _REPEATS


def meanings(tokenizer: Tokenizer) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a vector a token, `(vocabulary, 384) float32`, unit length: all-MiniLM-L6-v2's own.

    They are the input embeddings of its word pieces, whatever the case, so that "Open" and " open"
    start as the same, and words that training never shows are not strangers.
    """
    weights = load_file(str(ModelFiles().path / "model.safetensors"))
    table = weights["embeddings.word_embeddings.weight"].astype(np.float32)
    table -= table.mean(0)
    pieces = _word_pieces()
    known = pieces.get_vocab()
    found = np.zeros((tokenizer.get_vocab_size(), table.shape[1]), np.float32)
    decoder = tokenizer.decoder
    for token, number in tokenizer.get_vocab().items():
        if token in CONTROLS:
            ids = [known["[SEP]"]]
        else:
            text = decoder.decode([token])
            begins = text[:1].isspace() or text[:1].isupper() or not text[:1].isalpha()
            ids = pieces.encode(text.strip(), add_special_tokens=False).ids
            if not begins and "##" + text in known:
                ids = [known["##" + text]]
            ids = [piece for piece in ids if piece != known["[UNK]"]]
        if ids:
            found[number] = table[ids].mean(0)
    rng = np.random.default_rng(0)
    empty = np.linalg.norm(found, axis=1) < 1e-6
    found[empty] = rng.standard_normal((int(empty.sum()), table.shape[1]))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def _word_pieces() -> Tokenizer:
    pieces = Tokenizer.from_file(str(ModelFiles().tokenizer))
    pieces.no_truncation()
    pieces.no_padding()
    return pieces
