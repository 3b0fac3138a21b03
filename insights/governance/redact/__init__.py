"""Redaction: personal data becomes typed, numbered placeholders (`<EMAIL_1>`, `<CUSTOMER_1>`).

One value has one number throughout a row, however it is written there, so that the text still says
who is who. `row`, `document` and `text` replace; `finds` only tells; `judged` looks at an output.

Everything works on a folded copy of a text (`folding`), in time proportional to its length.
"""

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
