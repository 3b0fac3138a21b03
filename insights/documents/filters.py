"""Declared filters: typed values in one canonical text, the same for a document and for a row."""

from datetime import date
from typing import Literal

from insights import errors

FilterType = Literal["text", "integer", "boolean", "date"]

_BOOLEANS = dict.fromkeys(("true", "yes", "1", "t", "y"), "true") | dict.fromkeys(
    ("false", "no", "0", "f", "n"), "false"
)


def canonical(name: str, kind: FilterType, value: str, *, where: str = "") -> str:
    """Return a value's canonical text: `Printer ` and `printer`, `007` and `7` are the same.

    Raises:
        errors.KnowledgeError: If the value does not have the declared type.
    """
    text = value.strip()
    try:
        match kind:
            case "text":
                return text.casefold()
            case "integer":
                return str(int(text))
            case "date":
                return date.fromisoformat(text[:10]).isoformat()
            case "boolean":
                return _BOOLEANS[text.casefold()]
    except (ValueError, KeyError) as exc:
        raise errors.KnowledgeError(
            f"the filter {name!r} is declared {kind}, which {text!r} is not",
            where=where,
            fix="correct the value or the declaration in collection.filters",
        ) from exc
