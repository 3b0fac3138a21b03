"""From a template and a row to a prompt in which data can never act as control.

Whatever a template writes by `{{ … }}` is data: it is marked while Jinja renders and split out
afterwards, so that the tokenizer may treat template text and data apart (a `</s>` inside a row
stays text). Literal template text and the model's own chat template are the only places where
control tokens come from.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2
import jinja2.meta
import jinja2.sandbox
import msgspec
from jinja2 import nodes

from insights import errors
from insights.model import Example, Message, Passage
from insights.steps.segments import Data, Marks

_ROLE = re.compile(r"^\s*\{#\s*(system|user)\s*#\}\s*$", re.MULTILINE)
_NAMES = frozenset({"row", "passages", "examples", "schema", "_marks"})
# What renders into a string first: the data in it would be printed as its mark.
_REFUSED: dict[type[nodes.Node], str] = {
    nodes.AssignBlock: "{% set %}…{% endset %}",
    nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.Macro: "{% macro %}",
    nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from … import %}",
    nodes.Extends: "{% extends %}",
}


@jinja2.pass_context
def _finalize(context: jinja2.runtime.Context, value: object) -> str:
    """Mark every expression's value; as a context function, so that Jinja folds no constant."""
    marks: Marks = context["_marks"]
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
    `uri`), `examples` (each with `number`, `title`, `text`, `uri`, `labels` and `output`, which is
    the labels as JSON) and `schema`.

    Args:
        text: Jinja source.
        where: The file, for errors.

    Raises:
        errors.SettingsError: If it does not parse, uses a name that there is not, or a block that
            would lose the row's text.
    """

    def __init__(self, text: str, *, where: str = "prompt template") -> None:
        self.text = text
        self._where = where
        environment = _environment()
        self._messages: list[tuple[str, int, jinja2.Template]] = []
        for role, line, piece in _pieces(text):
            try:
                tree = environment.parse(piece)
                self._refuse_blocks(tree, line)
                self._refuse_names(tree)
                made = environment.from_string(piece)
                made.globals = dict(made.globals)  # a chain of mappings is walked for each row
                self._messages.append((role, line, made))
            except jinja2.TemplateSyntaxError as exc:
                raise errors.SettingsError(
                    f"the template does not parse: {exc.message} (line {exc.lineno + line})",
                    where=where,
                ) from exc

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of its messages, in order."""
        return tuple(role for role, _, _ in self._messages)

    def columns(self) -> set[str]:
        """Return the row columns that the template names as `row.<column>` or `row["<column>"]`."""
        found: set[str] = set()
        tree = _environment().parse(self.text)
        for attribute in tree.find_all(nodes.Getattr):
            if _is_row(attribute.node):
                found.add(attribute.attr)
        for item in tree.find_all(nodes.Getitem):
            if _is_row(item.node) and isinstance(item.arg, nodes.Const):
                found.add(str(item.arg.value))
        return found

    @property
    def shows_examples(self) -> bool:
        """Whether it names `examples`."""
        return "examples" in jinja2.meta.find_undeclared_variables(_environment().parse(self.text))

    def render(
        self,
        row: Mapping[str, str | None],
        passages: Sequence[Passage] = (),
        schema: str = "",
        examples: Sequence[Example] = (),
    ) -> tuple[Message, ...]:
        """Return the chat messages for one row.

        Raises:
            errors.SettingsError: If the template names a column that the stream does not read.
            errors.RowError: If it fails on this row, as a filter of text does on a NULL; names the
                template's line.
        """
        marks = Marks()
        context: dict[str, Any] = {
            "_marks": marks,
            "row": {name: _cell(name, value) for name, value in row.items()},
            "passages": [_view(passage) for passage in passages],
            "examples": [_worked(example) for example in examples],
            "schema": schema,
        }
        made = []
        for role, line, template in self._messages:
            try:
                rendered = template.render(context)
            except Exception as exc:
                raise self._explained(exc, line, row) from exc
            made.append(Message(role=role, segments=marks.split(rendered)))
        return tuple(made)

    def _explained(
        self, exc: Exception, line: int, row: Mapping[str, str | None]
    ) -> errors.InsightsError:
        """Return what a failed rendering means; the row's text is not repeated."""
        missing = re.fullmatch(r"'dict object' has no attribute '(.*)'", str(exc))
        if isinstance(exc, jinja2.UndefinedError) and missing and missing.group(1) not in row:
            return errors.SettingsError(
                f"the template uses a column that does not exist: {missing.group(1)!r}",
                where=self._where,
                fix=f"use one of {', '.join(sorted(row))}, or add it to the stream's inputs",
            )
        said = f": {exc}" if isinstance(exc, jinja2.UndefinedError) else ""
        empty = [name for name, value in row.items() if value is None]
        hint = f"; NULL here: {', '.join(sorted(empty))}" if empty else ""
        return errors.RowError(
            f"the template fails on this row with {type(exc).__name__}{said}{hint}",
            where=f"{self._where}, line {line + _line(exc)}",
            fix='guard it, as in {{ (row.note or "") | truncate(200) }}',
        )

    def _refuse_blocks(self, tree: nodes.Template, line: int) -> None:
        for kind, name in _REFUSED.items():
            for node in tree.find_all(kind):
                raise errors.SettingsError(
                    f"{name} is not possible in a prompt: what is printed inside it would be lost",
                    where=f"{self._where}, line {node.lineno + line}",
                    fix="write the text where it belongs; {% if %}, {% for %} and "
                    "{% set name = value %} work",
                )

    def _refuse_names(self, tree: nodes.Template) -> None:
        known = _NAMES | _environment().globals.keys()
        unknown = jinja2.meta.find_undeclared_variables(tree) - known
        if unknown:
            raise errors.SettingsError(
                f"the template uses something that does not exist: {', '.join(sorted(unknown))}",
                where=self._where,
                fix="there are row.<column>, passages, examples and schema",
            )


def _pieces(text: str) -> Iterator[tuple[str, int, str]]:
    """Yield each message's role, how many lines stand before its source, and its source."""
    text = text.rstrip("\n")
    starts = list(_ROLE.finditer(text))
    head = text[: starts[0].start()] if starts else text
    if head.strip() or not starts:
        yield "user", *_trimmed(text, 0, len(head))
    for at, start in enumerate(starts):
        end = starts[at + 1].start() if at + 1 < len(starts) else len(text)
        yield start.group(1), *_trimmed(text, start.end(), end)


def _trimmed(text: str, start: int, end: int) -> tuple[int, str]:
    piece = text[start:end]
    source = piece.lstrip("\n")
    before = text.count("\n", 0, start + len(piece) - len(source))
    return before, source.rstrip("\n")


def _line(exc: Exception) -> int:
    """Return the line of its source at which a template failed: Jinja puts it into the trace."""
    found, trace = 1, exc.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


def _is_row(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "row"


def _cell(column: str, value: str | None) -> Data | None:
    return None if value is None else Data(value, f"row.{column}")


def _view(passage: Passage) -> dict[str, object]:
    source = f"passage.{passage.number}"
    return {
        "number": passage.number,
        "title": Data(passage.title, f"{source}.title"),
        "text": Data(passage.text, source),
        "uri": passage.uri,
    }


def _worked(example: Example) -> dict[str, object]:
    source = f"example.{example.number}"
    return {
        "number": example.number,
        "title": Data(example.title, f"{source}.title"),
        "text": Data(example.text, source),
        "uri": Data(example.uri, f"{source}.uri"),
        "labels": {
            name: Data(value if isinstance(value, str) else json(value), f"{source}.labels")
            for name, value in example.output.items()
        },
        "output": Data(json(example.output), f"{source}.labels"),
    }


def json(value: object) -> str:
    """Return a value as a model should write it."""
    return msgspec.json.encode(value).decode()
