"""Text that a model takes for control: a row may hold it, and the model must read it as text.

llama.cpp makes control tokens of template text only, but tokens that a file marks USER_DEFINED it
finds in any text; some files mark `<|im_end|>` so. And a server makes its prompt out of our
messages by itself: there the text is taken apart before it leaves.
"""

import re
from collections.abc import Collection, Mapping
from typing import Protocol

# The forms that published templates use between turns.
_CONTROL = re.compile(
    r"<[|\uff5c][^<>|\uff5c\n]{1,60}[|\uff5c]>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS|TOOL_CONTENT|THINK|ARGS)\]"
    r"|<</?SYS>>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_(?:turn|image|utterance)>"
    r"|<(?:begin|beginning|end)_of_(?:document|sentence)>|<SPECIAL_[0-9]+>|\]~!?b[\[\]]|\[e~\["
    r"|</?(?:seed:)?(?:think|tool_call|tool_response)>|<seed:[be]os>"
)


class Vocabulary(Protocol):
    """The part of a model that says what its tokens are."""

    @property
    def ends(self) -> Collection[int]:
        """The tokens that end a generation."""
        ...

    @property
    def user_defined(self) -> Mapping[str, int]:
        """The tokens that are found in any text, by their text."""
        ...

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return a text's tokens; control tokens only where `special`."""
        ...


def neutralised(text: str) -> str:
    """Return the text with a space in whatever looks like control; for servers."""
    return _CONTROL.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


class Reserved:
    """The USER_DEFINED tokens that data must not make: what a conversation is built of.

    Args:
        vocabulary: The model's.
        printed: What its chat template prints, and its source.
    """

    def __init__(self, vocabulary: Vocabulary, printed: str) -> None:
        self._vocabulary = vocabulary
        found = {
            text: token
            for text, token in vocabulary.user_defined.items()
            if len(text.strip()) > 1
            and (token in vocabulary.ends or _CONTROL.fullmatch(text) or text in printed)
        }
        self._tokens = frozenset(found.values())
        longest = sorted(found, key=len, reverse=True)
        self._text = re.compile("|".join(map(re.escape, longest))) if found else None

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of data."""
        tokens = self._vocabulary.tokenize(text, special=False)
        if self._text is None or self._tokens.isdisjoint(tokens):
            return tokens
        pieces: list[int] = []
        at = 0
        while (found := self._text.search(text, at)) is not None:
            # Cut behind its first character: neither half is the token any more.
            pieces += self._vocabulary.tokenize(text[at : found.start() + 1], special=False)
            at = found.start() + 1
        return pieces + self._vocabulary.tokenize(text[at:], special=False)
