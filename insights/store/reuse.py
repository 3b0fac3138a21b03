"""Generations that insights of the store were made by, for requests that are the same."""

from collections.abc import Mapping
from typing import Any

import msgspec

from insights.model import Generation, Span
from insights.store.postgres import Store
from insights.store.queries import load

_CUT = " was cut"  # how the note of a source ends that was shortened


class FormerGenerations:
    """Implements `ports.Former` for one pipeline version on PostgreSQL.

    Args:
        store: The store.
        version_id: The version: with another template, schema, model or policy nothing is reused.
        age_s: Seconds since a generation was made within which it may be reused.
    """

    def __init__(self, store: Store, version_id: int, age_s: float) -> None:
        self._store = store
        self._version_id = version_id
        self._age_s = age_s
        self._sql = load("insights")["reusable"]

    def made(self, asked: Mapping[int, bytes]) -> dict[int, Generation]:
        """Return the generations that may be reused for requests: both by work id."""
        values = {
            "work_ids": list(asked),
            "asked": list(asked.values()),
            "version_id": self._version_id,
            "age_s": self._age_s,
        }
        with self._store.connection() as connection:
            found = connection.execute(self._sql, values).fetchall()
        return {row.work_id: _generation(row) for row in found}


def _generation(row: Any) -> Generation:  # noqa: ANN401 - a named row
    return Generation(
        text=msgspec.json.encode(row.output).decode(),
        finish="stop",
        model=row.model,
        route=row.route,
        quotes=tuple(msgspec.convert(row.quotes, list[Span])),
        quotes_by=row.quotes_by or "construction",
        confidence=row.confidences or {},
        cut=tuple(note.removesuffix(_CUT) for note in row.notes or () if note.endswith(_CUT)),
        shared=True,
        reused_from=row.insight_id,
    )
