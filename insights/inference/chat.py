"""A model's chat template: from messages to the whole prompt, as it was trained to read it.

Published templates are written for transformers, so they get the environment that transformers
gives them (`chat_environment`). Contents are marks while it renders (`steps.segments`).

Templates of models that see as well may take contents as lists of parts alone. A block of thinking
that a template opens behind the last message is closed, by the template's own switch where it has
one, else as llama.cpp closes it (`common/chat.cpp`): constrained output begins at once, and would
be thought, not said.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import jinja2

from insights import errors
from insights.inference.chat_environment import environment
from insights.model import Message, Segment
from insights.steps.segments import Data, Marks

_THINKING = re.compile(r"(<(?:\w+:)?think(?:ing)?>|\[THINK\])\s*\Z")  # opened, and left so
_FIX = "set model.<name>.chat_template: a file, or a well-known name (docs/inference.md)"


class Names(Protocol):
    """The part of a vocabulary that a chat template may print."""

    bos: int
    eos: int

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Return a token's bytes."""
        ...


class ChatTemplate:
    """One chat template, compiled once.

    Args:
        text: Jinja source, as in a GGUF file or a `tokenizer_config.json`.
        vocabulary: Whose tokens it may print.
        origin: Where it comes from, for people.
        where: The model's file, for errors.

    Raises:
        errors.ModelError: If it does not parse.
    """

    def __init__(
        self,
        text: str,
        vocabulary: Names | None = None,
        *,
        origin: str = "given",
        where: str = "",
    ) -> None:
        self.text = text
        self.origin = origin
        self._where = where
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self._variables: dict[str, Any] = {}
        if vocabulary is not None:
            for name, token in (("bos_token", vocabulary.bos), ("eos_token", vocabulary.eos)):
                shown = vocabulary.piece(token, special=True) if token >= 0 else b""
                self._variables[name] = shown.decode("utf-8", "replace")
        self._variables |= {"tools": None, "documents": None, "add_generation_prompt": True}
        self._unthinking = {"enable_thinking": False} if "enable_thinking" in text else {}
        self._ways: dict[tuple[str, ...], _Way] = {}
        try:
            self._template = environment().from_string(text)
        except jinja2.TemplateError as exc:
            raise errors.ModelError(
                f"the chat template ({origin}) does not parse: {exc}",
                where=where,
                fix=_FIX,
            ) from exc

    def check(self, roles: Sequence[str] = ("user",)) -> str:
        """Refuse messages of these roles that it cannot say; return how it says them.

        Raises:
            errors.ModelError: If it cannot be rendered, or leaves a message out, even with all
                messages in one.
        """
        return self._way(tuple(roles)).told

    def render(self, messages: Sequence[Message]) -> tuple[Segment, ...]:
        """Return the prompt as segments, the beginning of the answer last.

        A template that has no system role, drops it, or refuses two messages of one role in a row
        gets them joined: system into the first user message, or all in one.

        Raises:
            errors.ModelError: As `check`.
        """
        way = self._way(tuple(message.role for message in messages))
        return self._said(way, messages)

    def literals(self) -> str:
        """Return what the template prints of its own around a conversation, for looking at."""
        shown = [self.text]
        for roles in (("user",), ("system", "user"), ("user", "assistant", "user")):
            try:
                said = self.render(_probe(roles))
            except errors.ModelError:
                continue
            shown += [segment.text for segment in said if segment.is_template]
        return "\n".join(shown)

    def _way(self, roles: tuple[str, ...]) -> "_Way":
        """Return how messages of these roles are joined; tried once."""
        found = self._ways.get(roles)
        if found is None:
            found = self._ways[roles] = self._first_way(roles)
        return found

    def _first_way(self, roles: tuple[str, ...]) -> "_Way":
        """Return the first way of joining messages in which every one comes out."""
        messages = _probe(roles)
        wanted = {segment.text for message in messages for segment in message.segments}
        problem = ""
        for way in _WAYS:
            try:
                said = self._said(way, messages)
            except errors.ModelError as exc:
                problem = problem or exc.what
                continue
            whole = "".join(segment.text for segment in said).casefold()  # cases may change
            if all(text.casefold() in whole for text in wanted):
                return way
            problem = problem or f"the chat template ({self.origin}) leaves a message out"
        raise errors.ModelError(
            f"{problem} (roles: {', '.join(roles)})", where=self._where, fix=_FIX
        )

    def _said(self, way: "_Way", messages: Sequence[Message]) -> tuple[Segment, ...]:
        """Return the messages as the template says them in this way, no thinking left open."""
        joined = way.joined(messages)
        said = self._say(joined, in_parts=way.in_parts)
        if _opened(said) and self._unthinking:
            said = self._say(joined, in_parts=way.in_parts, more=self._unthinking)
        if opened := _opened(said):
            end = said[-1].text.rstrip()
            closed = f"{end}\n\n{opened[0]}/{opened[1:]}\n\n"
            said = (*said[:-1], Segment(text=closed, is_template=True))
        return said

    def _say(
        self, messages: Sequence[Message], *, in_parts: bool, more: dict[str, bool] | None = None
    ) -> tuple[Segment, ...]:
        marks = Marks()
        contents: list[dict[str, Any]] = []
        for message in messages:
            text = "".join(_marked(marks, s) for s in message.segments)
            content = [{"type": "text", "text": text}] if in_parts else text
            contents.append({"role": message.role, "content": content})
        given = {**self._variables, **(more or {})}
        try:
            said = marks.split(self._template.render(messages=contents, _marks=marks, **given))
            if marks.broken(said):
                raise jinja2.TemplateError("it cuts a message at a number of characters")  # noqa: TRY301 - one door
        except Exception as exc:
            told = str(exc) if isinstance(exc, jinja2.TemplateError) else type(exc).__name__
            raise errors.ModelError(
                f"the chat template ({self.origin}) cannot be rendered: {told}",
                where=self._where,
                fix=_FIX,
            ) from exc
        return said


def _opened(said: Sequence[Segment]) -> str:
    """Return the sign by which a template opens a block of thinking at its end; empty: none."""
    if not said or not said[-1].is_template:
        return ""
    found = _THINKING.search(said[-1].text)
    return found[1] if found else ""


def _system_in_user(messages: Sequence[Message]) -> Sequence[Message]:
    joined: list[Message] = []
    for message in messages:
        role = "user" if message.role == "system" else message.role
        if joined and joined[-1].role == role:
            joined[-1] = _joined(role, (joined[-1], message))
        else:
            joined.append(Message(role=role, segments=message.segments))
    return joined


def _all_in_one(messages: Sequence[Message]) -> Sequence[Message]:
    return [_joined("user", messages)]


class _Way(NamedTuple):
    """How messages are handed to a template."""

    told: str
    joined: Callable[[Sequence[Message]], Sequence[Message]]
    in_parts: bool = False  # contents as lists of parts, as templates of models that see take them


_JOINED: tuple[_Way, ...] = (
    _Way("as they are", lambda messages: messages),
    _Way("the system message as the beginning of the user's", _system_in_user),
    _Way("all messages in one", _all_in_one),
)
_WAYS = (
    *_JOINED,
    *(_Way(f"{way.told}, contents as parts", way.joined, in_parts=True) for way in _JOINED),
)


def _joined(role: str, messages: Iterable[Message]) -> Message:
    segments: list[Segment] = []
    for message in messages:
        if segments:
            segments.append(Segment(text="\n\n", is_template=True))
        segments += message.segments
    return Message(role=role, segments=tuple(segments))


def _probe(roles: Sequence[str]) -> list[Message]:
    """Return messages in which template text and data can be told from all else."""
    return [
        Message(
            role=role,
            segments=(
                Segment(text=f"Literal {at} 9f1c.", is_template=True),
                Segment(text=f"Data {at} 7b3e.", is_template=False),
            ),
        )
        for at, role in enumerate(roles)
    ]


def _marked(marks: Marks, segment: Segment) -> str:
    if segment.is_template:
        return marks.plain(segment.text)
    return marks.put(Data(segment.text, segment.source))
