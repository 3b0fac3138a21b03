"""The canonical text of a row's key: one part as it is, several as a JSON array of their texts.

Parts are the database's own text. Nothing here compares keys: only the database does.
"""

import msgspec


def join(parts: tuple[str, ...]) -> str:
    """Return the row key of these parts."""
    return parts[0] if len(parts) == 1 else msgspec.json.encode(parts).decode()


def split(row_key: str, count: int) -> tuple[str, ...]:
    """Return the `count` parts of a row key.

    Raises:
        ValueError: If it has another number of parts.
    """
    if count == 1:
        return (row_key,)
    try:
        parts = msgspec.json.decode(row_key, type=tuple[str, ...])
    except msgspec.MsgspecError as exc:
        raise ValueError(f"a row key of {count} parts is a JSON array of texts") from exc
    if len(parts) != count:
        raise ValueError(f"the row key has {len(parts)} parts, not {count}")
    return parts
