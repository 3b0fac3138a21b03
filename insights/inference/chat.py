"""A model's chat template: from messages to the whole prompt, as it was trained to read it.

Published templates are written for transformers, so they get the environment that transformers
gives them (`utils/chat_template_utils.py`: trim_blocks, lstrip_blocks, loop controls,
`{% generation %}`, raise_exception, strftime_now, tojson with arguments, its `dict` and
`namespace`; `tools` and `documents` are none). Contents are marks while it renders
(`steps.segments`), so what looks into a content finds no data there; strip, trim, replace, indent,
tojson and splitting at white space work on marks as on the text itself.
"""

import hashlib
import json
import re
import types
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

import jinja2
import jinja2.ext
import jinja2.sandbox
from jinja2 import nodes, parser

from insights import errors
from insights.model import Message, Segment
from insights.steps.segments import Data, Marks

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
        self._ways: dict[tuple[str, ...], _Way] = {}
        try:
            self._template = _environment().from_string(text)
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
        return self._way(tuple(roles))[0]

    def render(self, messages: Sequence[Message]) -> tuple[Segment, ...]:
        """Return the prompt as segments, the beginning of the answer last.

        A template that has no system role, drops it, or refuses two messages of one role in a row
        gets them joined: system into the first user message, or all in one.

        Raises:
            errors.ModelError: As `check`.
        """
        _, join = self._way(tuple(message.role for message in messages))
        return self._say(join(messages))

    def literals(self) -> str:
        """Return what the template prints of its own around a conversation, for looking at."""
        shown = [self.text]
        for roles in (("user",), ("system", "user"), ("user", "assistant", "user")):
            try:
                said = self._say(_probe(roles))
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
                said = self._say(way[1](messages))
            except errors.ModelError as exc:
                problem = problem or exc.what
                continue
            whole = "".join(segment.text for segment in said)
            if all(text in whole for text in wanted):
                return way
            problem = problem or f"the chat template ({self.origin}) leaves a message out"
        raise errors.ModelError(
            f"{problem} (roles: {', '.join(roles)})", where=self._where, fix=_FIX
        )

    def _say(self, messages: Sequence[Message]) -> tuple[Segment, ...]:
        marks = Marks()
        contents = [
            {"role": message.role, "content": "".join(_marked(marks, s) for s in message.segments)}
            for message in messages
        ]
        try:
            return marks.split(
                self._template.render(messages=contents, _marks=marks, **self._variables)
            )
        except Exception as exc:
            told = str(exc) if isinstance(exc, jinja2.TemplateError) else type(exc).__name__
            raise errors.ModelError(
                f"the chat template ({self.origin}) cannot be rendered: {told}",
                where=self._where,
                fix=_FIX,
            ) from exc


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


_Way = tuple[str, Callable[[Sequence[Message]], Sequence[Message]]]
_WAYS: tuple[_Way, ...] = (
    ("as they are", lambda messages: messages),
    ("the system message as the beginning of the user's", _system_in_user),
    ("all messages in one", _all_in_one),
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
        return segment.text
    return marks.put(Data(segment.text, segment.source))


# --- the environment ------------------------------------------------------------------------------


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Transformers' environment, with string methods that know marks."""

    def call(self, context: Any, callee: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - Jinja's signature
        """Call what a template calls; methods that change a text look into the data."""
        owner = getattr(callee, "__self__", None)
        if isinstance(callee, types.BuiltinMethodType) and isinstance(owner, str):
            marks: Marks = context["_marks"]
            sides = _STRIPS.get(callee.__name__)
            if sides is not None:
                return marks.strip(owner, *(args or (None,)), left=sides[0], right=sides[1])
            if callee.__name__ == "replace":
                return _replace(context, owner, *args)
            if callee.__name__ == "splitlines" and not args:
                return _lines(marks, owner)
            if (
                callee.__name__ == "split"
                and not str(args[0] if args else "").strip()
                and not args[1:]
            ):
                return _split(marks, owner, *args)
        return super().call(context, callee, *args, **kwargs)


_STRIPS = {"strip": (True, True), "lstrip": (True, False), "rstrip": (False, True)}


def _lines(marks: Marks, text: str) -> list[str]:
    found = marks.cut(text, "\r\n|\r|\n")
    return found if found[-1] else found[:-1]


def _split(marks: Marks, text: str, at: str | None = None) -> list[str]:
    if at is None:
        return [part for part in marks.cut(text, r"\s+") if part]
    return marks.cut(text, re.escape(at))


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`: around what an assistant said; prints what is in it."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's interface

    def parse(self, parser: parser.Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_printed"), [], [], body).set_lineno(line)

    def _printed(self, caller: Callable[[], str]) -> str:
        return caller()


class _Namespace(jinja2.utils.Namespace):
    """A namespace without underscored attributes: templates come from strangers."""

    def __setitem__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace has no attribute {name!r}")
        super().__setitem__(name, value)


@jinja2.pass_context
def _trim(context: jinja2.runtime.Context, value: object, chars: str | None = None) -> str:
    marks: Marks = context["_marks"]
    return marks.strip(str(value), chars, left=True, right=True)


@jinja2.pass_context
def _replace(
    context: jinja2.runtime.Context, value: object, old: str, new: str, count: int | None = None
) -> str:
    marks: Marks = context["_marks"]
    if count == 0:
        return str(value)
    return new.join(marks.cut(str(value), re.escape(old), max(count or 0, 0)))


@jinja2.pass_context
def _indent(
    context: jinja2.runtime.Context,
    value: object,
    width: int | str = 4,
    first: bool = False,  # noqa: FBT001, FBT002 - templates call it so
    blank: bool = False,  # noqa: FBT001, FBT002 - as above
) -> str:
    step = width if isinstance(width, str) else " " * width
    begun, *rest = _lines(context["_marks"], f"{value}\n")
    lines = [begun, *(step + line if line or blank else line for line in rest)]
    return (step if first else "") + "\n".join(lines)


@jinja2.pass_context
def _tojson(
    context: jinja2.runtime.Context,
    value: object,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - templates call it so
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002 - as above
) -> str:
    marks: Marks = context["_marks"]

    def plain(text: str) -> str:
        return "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)

    text = json.dumps(
        value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys
    )
    return marks.each(
        text,
        lambda data: json.dumps(data, ensure_ascii=ensure_ascii)[1:-1],
        plain if ensure_ascii else str,
    )


def _refuse(message: str) -> str:
    raise jinja2.TemplateError(message)


def _now(format_: str) -> str:
    return datetime.now().astimezone().strftime(format_)


def _environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
        autoescape=False,  # prompts are no HTML
    )
    environment.filters |= {
        "trim": _trim,
        "tojson": _tojson,
        "replace": _replace,
        "indent": _indent,
    }
    environment.globals |= {
        "raise_exception": _refuse,
        "strftime_now": _now,
        "namespace": _Namespace,
    }
    return environment
