"""From a request to prompt tokens that fit, with template and data tokenised apart."""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import msgspec

from insights import errors
from insights.inference.chat import ChatTemplate
from insights.inference.reserved import Reserved
from insights.model import GenerateRequest, Segment, Value

_STEP = 0.95  # how fast a text is shortened until it fits


class Vocabulary(Protocol):
    """The part of a model that reads text."""

    adds_bos: bool
    bos: int
    eos: int

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

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Return a token's bytes."""
        ...


class Prepared(Value, frozen=True):
    """A prompt as tokens, the texts to quote from as they stand in it, and what was cut."""

    tokens: list[int]
    row: dict[str, str]
    passages: dict[int, str]
    cut: tuple[str, ...] = ()


def prepare(
    request: GenerateRequest,
    template: ChatTemplate | str,
    vocabulary: Vocabulary,
    context: int,
    reserved: Reserved | None = None,
) -> Prepared:
    """Return a prompt that leaves room for the output in `context` tokens.

    `template` is the chat template, best compiled once; `reserved` belongs to the two.

    What does not fit is cut from the sources that `request.cut` names, the first named first, each
    from its end; "passages" and "examples" mean all of them, the last first.

    Raises:
        errors.RowError: If it does not fit even so.
        errors.ModelError: If the chat template cannot say the messages.
    """
    if isinstance(template, str):
        template = ChatTemplate(template, vocabulary)
    if reserved is None:
        reserved = Reserved(vocabulary, template.literals())
    segments = list(template.render(request.messages))
    tokens = [_tokens(vocabulary, reserved, segment) for segment in segments]
    begin = vocabulary.adds_bos and (not tokens or tokens[0][:1] != [vocabulary.bos])
    room = context - min(request.sampling.max_tokens, context // 2) - int(begin)
    row, passages = dict(request.row), dict(request.passages)
    notes = []
    for source in _cuttable(request):
        excess = sum(map(len, tokens)) - room
        if excess <= 0:
            break
        for at in [n for n, segment in enumerate(segments) if segment.source == source][::-1]:
            keep = max(0, len(tokens[at]) - max(excess, 0))
            text = _shortened(segments[at].text, len(tokens[at]), keep, _counter(reserved))
            if len(text) < len(segments[at].text):
                notes.append(f"{source}: {len(text)} of {len(segments[at].text)} characters kept")
            segments[at] = msgspec.structs.replace(segments[at], text=text)
            excess -= len(tokens[at])
            tokens[at] = _tokens(vocabulary, reserved, segments[at])
            excess += len(tokens[at])
            _follow_cut(source, text, row, passages)
    total = sum(map(len, tokens))
    if total > room:
        raise errors.RowError(
            f"the prompt has {total} tokens, and {room} fit beside the output",
            fix="name what may be cut in the pipeline, use fewer passages, or raise model.context",
        )
    flat = [token for part in tokens for token in part]
    return Prepared(
        tokens=[vocabulary.bos, *flat] if begin else flat,
        row=row,
        passages=passages,
        cut=tuple(notes),
    )


def _tokens(vocabulary: Vocabulary, reserved: Reserved, segment: Segment) -> list[int]:
    if segment.is_template:
        return vocabulary.tokenize(segment.text, special=True)
    return reserved.tokenize(segment.text)


def _cuttable(request: GenerateRequest) -> list[str]:
    found = []
    for name in request.cut:
        if name == "passages":
            found += [f"passage.{number}" for number in sorted(request.passages, reverse=True)]
        elif name == "examples":
            sources = {part.source for message in request.messages for part in message.segments}
            found += sorted((one for one in sources if one.startswith("example.")), reverse=True)
        else:
            found.append(name)
    return found


def _counter(reserved: Reserved) -> Callable[[str], int]:
    return lambda text: len(reserved.tokenize(text))


def _shortened(text: str, tokens: int, keep: int, count: Callable[[str], int]) -> str:
    """Return nearly the longest beginning of at most `keep` tokens, ending at a space if it can."""
    if keep >= tokens:
        return text
    size = len(text) * keep // max(tokens, 1)
    while size > 0 and count(text[:size]) > keep:
        size = int(size * _STEP)
    head = text[:size]
    space = head.rfind(" ")
    return head[:space] if space > size // 2 else head


def _follow_cut(source: str, text: str, row: dict[str, str], passages: dict[int, str]) -> None:
    """Quotes come from the text in the prompt: cut it alike."""
    room, _, name = source.partition(".")
    if room == "row" and text in row.get(name, ""):  # a template may have stripped it
        row[name] = text
    elif room == "passage" and name.isdigit() and text in passages.get(int(name), ""):
        passages[int(name)] = text
