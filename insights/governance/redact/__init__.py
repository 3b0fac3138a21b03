"""Redaction: personal data becomes typed, numbered placeholders (`<EMAIL_1>`, `<CUSTOMER_1>`).

One value has one number throughout a row, however it is written there, so that the text still says
who is who. `row`, `document` and `text` replace; `finds` only tells; `judged` looks at an output.

Everything works on a folded copy of a text (`folding`), in time proportional to its length. Its
patterns are compiled when the first of these is asked for: most commands redact nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from insights.governance.redact.entry import DEFAULT, Finding, document, finds, row, text
    from insights.governance.redact.outputs import judged
    from insights.governance.redact.recognized import names_in_document, names_in_rows
    from insights.governance.redact.restoring import restorable

__all__ = [
    "DEFAULT",
    "Finding",
    "document",
    "finds",
    "judged",
    "names_in_document",
    "names_in_rows",
    "restorable",
    "row",
    "text",
]
_WHERE = {
    "judged": "outputs",
    "names_in_document": "recognized",
    "names_in_rows": "recognized",
    "restorable": "restoring",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE.get(name, 'entry')}"), name)
