"""The environment that transformers gives chat templates, with texts that know marks.

That is `utils/chat_template_utils.py`: trim_blocks, lstrip_blocks, loop controls,
`{% generation %}`, raise_exception, strftime_now, tojson with arguments, its `dict` and
`namespace`. Contents are marks (`steps.segments`), so what looks into one (`startswith`, `in`,
`[0]`) finds no data there: a row decides nothing. What changes a content (strip, replace, cases,
prefixes, indent, escape, tojson, lines and words) changes the data in it, which stays data.
"""

import json
import re
import types
from collections.abc import Callable
from datetime import datetime
from html import escape
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox
from jinja2 import nodes, parser

from insights.steps.segments import Marks


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Transformers' environment, with string methods that know marks."""

    def call(self, context: Any, callee: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - Jinja's signature
        """Call what a template calls; methods that change a text look into the data."""
        owner = getattr(callee, "__self__", None)
        if isinstance(callee, types.BuiltinMethodType) and isinstance(owner, str):
            change = _CHANGES.get(callee.__name__)
            # Jinja's own, such as `_loop_vars`, stand beside the template's.
            named = {name: value for name, value in kwargs.items() if not name.startswith("_")}
            changed = change(context["_marks"], owner, *args, **named) if change else None
            if changed is not None:
                return changed
        return super().call(context, callee, *args, **kwargs)


def _lines(marks: Marks, text: str, keepends: object = False) -> list[str]:  # noqa: FBT002 - as of texts
    at = r"(?<=\r\n)|(?<=\r)(?!\n)|(?<=\n)" if keepends else r"\r\n|\r|\n"
    found = marks.cut(text, at)
    return found if found[-1] else found[:-1]


def _split(marks: Marks, text: str, sep: str | None = None, maxsplit: int = -1) -> list[str] | None:
    if maxsplit == 0 or (sep or "").strip():
        return None  # at a word: of the template's, which no data decides
    if sep is not None:
        return marks.cut(text, re.escape(sep), max(maxsplit, 0))
    text = marks.strip(text, None, left=True, right=maxsplit < 0)
    return [part for part in marks.cut(text, r"\s+", max(maxsplit, 0)) if part]


def _replaced(marks: Marks, text: str, old: str, new: str, count: int | None = None) -> str:
    if count == 0:
        return text
    return new.join(marks.cut(text, re.escape(old), max(count or 0, 0)))


def _strip(marks: Marks, text: str, chars: str | None = None) -> str:
    return marks.strip(text, chars, left=True, right=True)


def _lstrip(marks: Marks, text: str, chars: str | None = None) -> str:
    return marks.strip(text, chars, left=True, right=False)


def _rstrip(marks: Marks, text: str, chars: str | None = None) -> str:
    return marks.strip(text, chars, left=False, right=True)


def _without_prefix(marks: Marks, text: str, prefix: str) -> str:
    return marks.cut(text, rf"\A{re.escape(prefix)}", 1)[-1]


def _without_suffix(marks: Marks, text: str, suffix: str) -> str:
    return marks.cut(text, rf"{re.escape(suffix)}\Z", 1)[0]


def _cased(change: Callable[[str], str]) -> Callable[..., str]:
    return lambda marks, text: marks.changed(text, change)


_CASES = {
    "lower": _cased(str.lower), "upper": _cased(str.upper), "casefold": _cased(str.casefold),
    "title": _cased(str.title), "capitalize": _cased(str.capitalize),
    "swapcase": _cased(str.swapcase),
}  # fmt: skip
# Methods of texts by name; one that gives None is called as it is.
_CHANGES: dict[str, Callable[..., Any]] = {
    **_CASES,
    "strip": _strip,
    "lstrip": _lstrip,
    "rstrip": _rstrip,
    "replace": _replaced,
    "removeprefix": _without_prefix,
    "removesuffix": _without_suffix,
    "splitlines": _lines,
    "split": _split,
}


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


def _filter(change: Callable[..., str]) -> Callable[..., str]:
    """Return a filter that changes a text, the data in it as well."""

    @jinja2.pass_context
    def changed(
        context: jinja2.runtime.Context, value: object, *args: object, **kwargs: object
    ) -> str:
        return change(context["_marks"], str(value), *args, **kwargs)

    return changed


def _escape(marks: Marks, text: str) -> str:
    return marks.each(text, _escaped, _escaped)


def _escaped(text: str) -> str:
    return escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")  # as markupsafe does


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


def environment() -> _Environment:
    """Return a new environment; what renders in it is given its marks as `_marks`."""
    made = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
        autoescape=False,  # prompts are no HTML
    )
    made.filters |= {
        "trim": _filter(_strip),
        "replace": _filter(_replaced),
        "escape": _filter(_escape),
        "e": _filter(_escape),
        **{name: _filter(_CASES[name]) for name in ("lower", "upper", "title", "capitalize")},
        "tojson": _tojson,
        "indent": _indent,
    }
    made.globals |= {
        "raise_exception": _refuse,
        "strftime_now": _now,
        "namespace": _Namespace,
    }
    return made
