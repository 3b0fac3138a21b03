"""Whether a grammar accepts an output, over a tokenizer of single bytes: no model is needed."""

import json
from typing import Any

import llguidance


class Bytes:
    """A tokenizer of single bytes."""

    eos_token_id = 256
    bos_token_id = None
    tokens = (*(bytes([n]) for n in range(256)), b"<eos>")
    special_token_ids = (256,)

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


TOKENIZER = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))


def accepts(lark: str, output: Any) -> bool:  # noqa: ANN401
    text = json.dumps(output, ensure_ascii=False, separators=(",", ":"))
    matcher = llguidance.LLMatcher(
        TOKENIZER, llguidance.LLMatcher.grammar_from_lark(lark), log_level=0
    )
    assert not matcher.is_error(), matcher.get_error()
    return bool(matcher.consume_tokens(list(text.encode())) and matcher.is_accepting())
