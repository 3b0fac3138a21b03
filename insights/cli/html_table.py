"""Tables for reports that stand alone: whatever a cell holds is shown as text."""

import html
from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table: a column for each name that a row has; `status` is a row's class."""
    if not rows:
        return "<p>None.</p>"
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in names) + "</tr>"]
    for row in rows:
        cells = "".join(f"<td>{_cell(row.get(name))}</td>" for name in names)
        lines.append(f'<tr class="{html.escape(str(row.get("status", "")))}">{cells}</tr>')
    return "<table>" + "\n".join(lines) + "</table>"


def _cell(value: object) -> str:
    text = "" if value is None else html.escape(str(value))
    return f"<pre>{text}</pre>" if "\n" in text else text
