"""A tiny token-classification model, made without training: it knows a few words as names."""

from pathlib import Path

import torch
import transformers

from insights.embedding.files import verify

NAMES = ("ann", "berg", "jo", "lind", "müller")
_WORDS = ("the", "printer", "of", "is", "broken", "call", "with", "mail", "to", "today", "line")
_SIGNS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", ",", "<", ">", "_")
_WINDOW = 32  # tokens that it reads at once


def made(folder: Path) -> str:
    """Write the model into a new folder, as transformers does; return its hash.

    Its one layer adds nothing: a word's vector alone, one for names and one for all else, decides.
    """
    folder.mkdir(parents=True)
    vocabulary = [*_SIGNS, *_WORDS, *NAMES]
    tokenizer = transformers.BertTokenizerFast(
        vocab={word: at for at, word in enumerate(vocabulary)},
        do_lower_case=True,
        strip_accents=False,
        model_max_length=_WINDOW,
    )
    tokenizer.save_pretrained(folder)
    labels = ("O", "B-PER", "I-PER")
    model = transformers.BertForTokenClassification(
        transformers.BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=_WINDOW,
            id2label=dict(enumerate(labels)),
            label2id={label: at for at, label in enumerate(labels)},
        )
    )
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.fill_(float(name.endswith("LayerNorm.weight")))
        model.bert.embeddings.word_embeddings.weight[:, 0] = 1.0
        for name in NAMES:
            model.bert.embeddings.word_embeddings.weight[vocabulary.index(name)] *= 0.0
            model.bert.embeddings.word_embeddings.weight[vocabulary.index(name), 1] = 1.0
        model.classifier.weight[labels.index("O"), 0] = 1.0
        model.classifier.weight[labels.index("I-PER"), 1] = 1.0
    model.save_pretrained(folder)
    return verify(folder, None, "")
