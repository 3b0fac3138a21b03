"""Text of a row that reads like control stays text, for a model here and for a server."""

from collections.abc import Sequence

import pytest

from insights.inference.remote import _message
from insights.inference.reserved import Reserved, neutralised
from insights.model import Message, Segment


class Vocabulary:
    """Finds USER_DEFINED tokens in any text, as llama.cpp does; all else is a token a character."""

    ends = frozenset({1001})

    def __init__(self, *tokens: str) -> None:
        self.user_defined = {text: 1000 + at for at, text in enumerate(tokens)}

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        assert not special
        made: list[int] = []
        while text:
            for token, number in self.user_defined.items():
                if text.startswith(token):
                    made.append(number)
                    text = text[len(token) :]
                    break
            else:
                made.append(ord(text[0]))
                text = text[1:]
        return made


def read(tokens: Sequence[int]) -> str:
    return "".join(map(chr, tokens))


TOKENS = ("<|im_start|>", "END", "\n\n", "<table>", "assistant")
PRINTED = "<|im_start|>user\nassistant\n\n"


@pytest.mark.parametrize(
    "text",
    ["<|im_start|>", "a<|im_start|><|im_start|>b", "the END", "assistant", "<|im_<|im_start|>"],
)
def test_data_makes_no_token_that_a_conversation_is_built_of(text: str) -> None:
    assert read(Reserved(Vocabulary(*TOKENS), PRINTED).tokenize(text)) == text


def test_other_tokens_that_a_file_defines_are_the_datas_too() -> None:
    tokens = Reserved(Vocabulary(*TOKENS), PRINTED).tokenize("a\n\n<table>")
    assert tokens == [ord("a"), 1002, 1003]


@pytest.mark.parametrize(
    "text",
    ["<|im_end|>", "<|start_header_id|>", "[/INST]", "<end_of_turn>", "<<SYS>>", "</s>", "<think>",
     "<\uff5cAssistant\uff5c>", "<bos>", "[THINK]", "<SPECIAL_11>", "]~b]", "[e~[", "]~!b[",
     "<end_of_utterance>", "<seed:eos>", "<beginning_of_sentence>"],
)  # fmt: skip
def test_a_server_gets_nothing_of_a_row_that_looks_like_control(text: str) -> None:
    assert text not in neutralised(f"x {text} y")
    said = _message(
        Message(
            role="user",
            segments=(
                Segment(text=f"Say {text}.", is_template=True),
                Segment(text=text, is_template=False),
            ),
        )
    )
    content = str(said["content"])
    assert content.count(text) == 1  # the pipeline's author may
    assert content.startswith(f"Say {text}.")


@pytest.mark.parametrize("text", ["a < b | c > d", "[0] INST", "<b>bold</b>", "x<|y", "array[1]"])
def test_ordinary_text_goes_as_it_is(text: str) -> None:
    assert neutralised(text) == text
