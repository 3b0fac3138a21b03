r"""The validator of outputs: draft 2020-12, its patterns read as generation reads them.

The grammar's regular expressions know `\p{L}`, `[[:alpha:]]` and `(?<name>…)`, as ECMAScript, Java
and POSIX write them; Python's `re` refuses the first and takes the second for something else.
"""

from collections.abc import Iterator
from typing import Any

import jsonschema
import regex

from insights.model import Json


def _pattern(_judge: Any, pattern: str, value: Any, _part: Json) -> Iterator[Any]:  # noqa: ANN401
    if isinstance(value, str) and regex.search(pattern, value) is None:
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


def _patterns(judge: Any, parts: Json, value: Any, _part: Json) -> Iterator[Any]:  # noqa: ANN401
    for pattern, part in parts.items() if isinstance(value, dict) else ():
        for name, inner in value.items():
            if regex.search(pattern, name) is not None:
                yield from judge.descend(inner, part, path=name, schema_path=pattern)


def _others(judge: Any, others: Any, value: Any, part: Json) -> Iterator[Any]:  # noqa: ANN401
    if not isinstance(value, dict):
        return
    known, patterns = part.get("properties", {}), part.get("patternProperties", {})
    for name, inner in value.items():
        if name in known or any(regex.search(pattern, name) for pattern in patterns):
            continue
        if others is False:
            yield jsonschema.ValidationError(f"{name!r} is not declared")
        elif isinstance(others, dict):
            yield from judge.descend(inner, others, path=name)


JUDGE = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {"pattern": _pattern, "patternProperties": _patterns, "additionalProperties": _others},
)
