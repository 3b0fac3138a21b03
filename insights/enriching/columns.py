"""What columns of the legacy table say of insights: right, or wrong and what would be right.

A clerk who decides a case says, without knowing it, whether what was shown of it was right. That is
no input of the pipeline: it is in no hash, and makes no new version of a row. So it is looked for
by itself: insights that are shown are gone through in slices, their rows' columns read by key, and
only the verdict is kept, as one that a person gave.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from insights.model import Json, Row, Shown, Spoken, StreamSpec
from insights.steps.labels import decided


class Columns(msgspec.Struct, frozen=True):
    """Which columns say what of an output: `of` is by property; `decided` must have a value."""

    of: Mapping[str, str]
    decided: str | None = None

    @property
    def name(self) -> str:
        """What a verdict of theirs is given by."""
        return ", ".join(dict.fromkeys(self.of.values()))

    def spec(self, stream: StreamSpec) -> StreamSpec:
        """Return the stream as they are read: these columns, no file and no name looked for."""
        names = {*self.of.values(), *([self.decided] if self.decided else [])}
        return msgspec.structs.replace(
            stream, inputs=tuple(sorted(names)), extra=(), attachment=None, names=None
        )

    def verdicts(self, schema: Json, shown: Sequence[Shown], rows: Sequence[Row]) -> list[Spoken]:
        """Return what the rows' columns say of what is shown of them.

        Nothing is said of a row that is gone, or not decided, or of a value that the schema does
        not have: a code list that grew is no error of the model.

        Args:
            schema: Of the output.
            shown: Insights.
            rows: Theirs, as far as they are there.
        """
        found = {row.key: row.values for row in rows}
        return [self._verdict(schema, one, found.get(one.row_key, {})) for one in shown]

    def _verdict(self, schema: Json, one: Shown, values: Mapping[str, Any]) -> Spoken:
        texts = {
            name: text
            for name, column in self.of.items()
            if (text := (values.get(column) or "").strip()) and one.output.get(name) is not None
        }
        if self.decided is not None and not (values.get(self.decided) or "").strip():
            texts = {}
        right = {
            name: value
            for name, text in texts.items()
            for value in (decided(schema, {name: text}) or {}).values()
        }
        if not right:
            return Spoken(one.insight_id, None, None)
        wrong = {name: value for name, value in right.items() if one.output.get(name) != value}
        return Spoken(one.insight_id, "wrong" if wrong else "right", wrong or None)
