"""From a template and a row to a prompt in which data can never act as control.

Whatever a template writes by `{{ … }}` is data: it is marked while Jinja renders and split out
afterwards, so that the tokenizer may treat template text and data apart (a `</s>` inside a row
stays text). Literal template text and the model's own chat template are the only places where
control tokens come from.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import jinja2
import jinja2.meta
import jinja2.sandbox

from insights import errors
from insights.model import Message, Passage, Segment

# Private-use delimiters around "nonce:index"; the nonce keeps row text from forging a mark.
_OPEN, _CLOSE = "\ue000", "\ue001"
_ROLE = re.compile(r"^\s*\{#\s*(system|user)\s*#\}\s*$", re.MULTILINE)


class _Data(str):
    """Text that remembers where it came from while a template passes it on unchanged."""

    __slots__ = ("source",)
    source: str

    def __new__(cls, text: str, source: str) -> Self:
        data = super().__new__(cls, text)
        data.source = source
        return data


class _Marks:
    """Collects the data of one rendering and puts a mark in its place."""

    def __init__(self) -> None:
        self._nonce = secrets.token_hex(8)
        self._data: list[Segment] = []
        self._mark = re.compile(f"{_OPEN}{self._nonce}:([0-9]+){_CLOSE}")

    def put(self, value: object) -> str:
        text = "" if value is None else str(value)
        self._data.append(
            Segment(text=text, is_template=False, source=getattr(value, "source", ""))
        )
        return f"{_OPEN}{self._nonce}:{len(self._data) - 1}{_CLOSE}"

    def split(self, text: str) -> tuple[Segment, ...]:
        parts = self._mark.split(text)
        segments = []
        for at, part in enumerate(parts):
            segment = self._data[int(part)] if at % 2 else Segment(text=part, is_template=True)
            if segment.text:
                segments.append(segment)
        return tuple(segments)


@jinja2.pass_context
def _finalize(context: jinja2.runtime.Context, value: object) -> str:
    """Mark every expression's value; as a context function, so that Jinja folds no constant."""
    marks: _Marks = context["_marks"]
    return marks.put(value)


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    return jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )


class Template:
    """A pipeline's prompt template.

    A line `{# system #}` or `{# user #}` alone starts a message of that role; without one the whole
    is one user message. Available: `row.<column>`, `passages` (each with `number`, `title`, `text`,
    `uri`) and `schema`.

    Args:
        text: Jinja source.
        where: The file, for errors.

    Raises:
        errors.SettingsError: If it does not parse.
    """

    def __init__(self, text: str, *, where: str = "prompt template") -> None:
        self.text = text
        self._where = where
        parts = _ROLE.split(text.rstrip("\n"))
        pieces = list(zip(parts[1::2], parts[2::2], strict=True))
        if parts[0].strip() or not pieces:
            pieces.insert(0, ("user", parts[0]))
        try:
            self._messages = [
                (role, _environment().from_string(piece.strip("\n"))) for role, piece in pieces
            ]
        except jinja2.TemplateSyntaxError as exc:
            raise errors.SettingsError(
                f"the template does not parse: {exc.message} (line {exc.lineno})", where=where
            ) from exc

    def columns(self) -> set[str]:
        """Return the row columns that the template names as `row.<column>` or `row["<column>"]`."""
        found: set[str] = set()
        tree = _environment().parse(self.text)
        for attribute in tree.find_all(jinja2.nodes.Getattr):
            if _is_row(attribute.node):
                found.add(attribute.attr)
        for item in tree.find_all(jinja2.nodes.Getitem):
            if _is_row(item.node) and isinstance(item.arg, jinja2.nodes.Const):
                found.add(str(item.arg.value))
        return found

    def render(
        self, row: Mapping[str, str | None], passages: Sequence[Passage] = (), schema: str = ""
    ) -> tuple[Message, ...]:
        """Return the chat messages for one row.

        Raises:
            errors.SettingsError: If the template names a column that the stream does not read.
        """
        marks = _Marks()
        context: dict[str, Any] = {
            "_marks": marks,
            "row": {name: _cell(name, value) for name, value in row.items()},
            "passages": [_view(passage) for passage in passages],
            "schema": schema,
        }
        try:
            return tuple(
                Message(role=role, segments=marks.split(template.render(context)))
                for role, template in self._messages
            )
        except jinja2.UndefinedError as exc:
            raise errors.SettingsError(
                f"the template uses something that does not exist: {exc.message}",
                where=self._where,
                fix=f"use one of {', '.join(sorted(row))}, or add it to the stream's inputs",
            ) from exc


def _is_row(node: jinja2.nodes.Node) -> bool:
    return isinstance(node, jinja2.nodes.Name) and node.name == "row"


def _cell(column: str, value: str | None) -> _Data | None:
    return None if value is None else _Data(value, f"row.{column}")


def _view(passage: Passage) -> dict[str, object]:
    source = f"passage.{passage.number}"
    return {
        "number": passage.number,
        "title": _Data(passage.title, f"{source}.title"),
        "text": _Data(passage.text, source),
        "uri": passage.uri,
    }


def apply_chat_template(
    chat_template: str, messages: Sequence[Message], *, bos_token: str = "", eos_token: str = ""
) -> tuple[Segment, ...]:
    """Return the whole prompt as segments, by the chat template that the GGUF carries.

    The template renders marks in the place of message contents; neighbouring template text is
    joined, so that it is tokenised as one. A model without a system role gets the system message as
    the start of the first user message.
    """
    marks = _Marks()
    contents = [
        {"role": message.role, "content": "".join(_mark(marks, s) for s in message.segments)}
        for message in messages
    ]
    template = _chat_environment().from_string(chat_template)
    variables = {"bos_token": bos_token, "eos_token": eos_token, "add_generation_prompt": True}
    try:
        text = template.render(messages=contents, **variables)
    except jinja2.TemplateError:
        if len(contents) < 2 or contents[0]["role"] != "system":  # noqa: PLR2004 - a system and a user message
            raise
        merged = {
            "role": contents[1]["role"],
            "content": contents[0]["content"] + "\n\n" + contents[1]["content"],
        }
        text = template.render(messages=[merged, *contents[2:]], **variables)
    return marks.split(text)


def _mark(marks: _Marks, segment: Segment) -> str:
    if segment.is_template:
        return segment.text
    return marks.put(_Data(segment.text, segment.source))


@lru_cache(maxsize=1)
def _chat_environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    """Return what transformers renders chat templates with: published templates behave the same.

    Source: transformers `utils/chat_template_utils.py` (trim_blocks, lstrip_blocks, loopcontrols,
    raise_exception).
    """
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
        autoescape=False,  # prompts are no HTML
    )

    def refuse(message: str) -> str:
        raise jinja2.TemplateError(message)

    environment.globals["raise_exception"] = refuse
    return environment
