"""What was sent, checked against the stream it is for: a mistake names the row and the field."""

from collections.abc import Mapping, Sequence

from insights import errors
from insights.ground import keys
from insights.model import Sent, StreamSpec

MOST_ROWS = 1_000
MOST_KEY_CHARS = 400  # of all parts together: a key is indexed


def fields_of(stream: StreamSpec) -> tuple[str, ...]:
    """Return the columns that a request must have: key, inputs, and what redaction looks for."""
    return tuple(dict.fromkeys((*stream.key, *stream.inputs, *stream.extra)))


def checked(stream: StreamSpec, rows: Sequence[object]) -> list[Sent]:
    """Return rows as the intake takes them.

    Args:
        stream: Whose rows they are.
        rows: Objects as JSON has them: text, number, boolean or null in each field.

    Raises:
        errors.RequestRefused: At the first row that is not as it must be, with its place as a JSON
            pointer (RFC 6901).
    """
    if not 0 < len(rows) <= MOST_ROWS:
        raise errors.RequestRefused(
            f"there are {len(rows):,} rows; send 1 to {MOST_ROWS:,} at once", where=""
        )
    wanted = fields_of(stream)
    found: dict[str, Sent] = {}
    for number, row in enumerate(rows):
        where = f"/{number}" if len(rows) > 1 else ""
        one = _row(stream, wanted, row, where)
        if one.key in found:
            raise errors.RequestRefused("another row here has the same key", where=where or "/")
        found[one.key] = one
    return list(found.values())


def _row(stream: StreamSpec, wanted: Sequence[str], row: object, where: str) -> Sent:
    if not isinstance(row, Mapping):
        raise errors.RequestRefused("a row is an object with fields", where=where or "/")
    if missing := [name for name in wanted if name not in row]:
        raise errors.RequestRefused(
            f"the field {missing[0]!r} is missing",
            where=where or "/",
            fix=f"send {', '.join(wanted)}; null where there is no value",
        )
    if len(row) > len(wanted):
        extra = next(name for name in row if name not in wanted)
        shown = extra[:60] if isinstance(extra, str) and extra.isprintable() else "?"
        raise errors.RequestRefused(
            f"there is no field {shown!r}", where=where or "/", fix=f"send {', '.join(wanted)}"
        )
    fields = {
        name: _text(row[name], f"{where}/{_escaped(name)}", stream.max_text_chars)
        for name in wanted
    }
    parts = [fields[name] for name in stream.key]
    for name, part in zip(stream.key, parts, strict=True):
        if not part or not part.strip():
            raise errors.RequestRefused(
                "the key has no value", where=f"{where}/{_escaped(name)}", fix="send text or number"
            )
    key = keys.join(tuple(part or "" for part in parts))
    if len(key) > MOST_KEY_CHARS:
        raise errors.RequestRefused(
            f"the key is longer than {MOST_KEY_CHARS} characters",
            where=f"{where}/{_escaped(stream.key[0])}",
        )
    return Sent(key=key, fields=fields)


def _text(value: object, where: str, most: int) -> str | None:
    """Return a field as text."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        try:
            text = str(value)
        except ValueError:  # thousands of digits, which Python does not write
            raise errors.RequestRefused("the number is too long", where=where) from None
    elif isinstance(value, str):
        text = value
    else:
        raise errors.RequestRefused("a field is text, number, boolean or null", where=where)
    if len(text) > most:
        raise errors.RequestRefused(
            f"the text has {len(text):,} characters, and {most:,} are read",
            where=where,
            fix="send less, or raise max_text_chars of the stream",
        )
    if "\0" in text:
        raise errors.RequestRefused("the text holds a NUL, which cannot be kept", where=where)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise errors.RequestRefused("the text is no valid Unicode", where=where) from None
    return text


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
