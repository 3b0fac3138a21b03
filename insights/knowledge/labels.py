"""What people decided about a row, and when: one order for what was decided and what is asked."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import msgspec

from insights import errors


class Labels(msgspec.Struct, frozen=True):
    """The columns of a row that hold what people decided, and the one that tells when."""

    columns: tuple[str, ...] = ()
    time: str | None = None

    def of(self, values: Mapping[str, str | None]) -> dict[str, str]:
        """Return what a row says, by column; what it does not say is not there."""
        return {name: value for name in self.columns if (value := values.get(name))}

    def moment(self, values: Mapping[str, str | None], where: str) -> Decimal | None:
        """Return when a row was decided; None where that is not known."""
        when = values.get(self.time) if self.time else None
        return moment(str(self.time), when, where=where) if when else None


def moment(name: str, text: str, *, where: str = "") -> Decimal:
    """Return a time as seconds since 1970, or a number as it is.

    A time without a zone counts as UTC: columns that are compared hold the same zone.

    Raises:
        errors.KnowledgeError: If the text is neither.
    """
    try:
        number = Decimal(text.strip())
        if number.is_finite():
            return number
    except InvalidOperation:
        pass
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError as exc:
        raise errors.KnowledgeError(
            f"the column {name!r} is to tell when, and {text!r} is no time and no number",
            where=where,
            fix="name a column of times or of growing numbers",
        ) from exc
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return Decimal(str(when.timestamp()))
