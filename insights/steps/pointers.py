"""References of a JSON Schema within its document."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urljoin


def target(document: Any, reference: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a reference means: a JSON pointer, or a name that a part gives itself.

    Raises:
        LookupError: With what is wrong and what to do.
    """
    own = (document.get("$id") or document.get("id")) if isinstance(document, dict) else None
    if isinstance(own, str) and reference.partition("#")[0] in _addresses(own):
        reference = f"#{reference.partition('#')[2]}"  # the document by its own address
    if reference != "#" and not reference.startswith("#/"):
        named = _named(document, reference.removeprefix("#"))
        if named is None:
            named = _addressed(document, reference, own)
        if named is None:
            raise LookupError(
                f"cannot be generated: `$ref` {reference!r} leads out of the file",
                'copy what it means into "$defs", and refer to "#/$defs/<name>"',
            )
        return named
    found = document
    for escaped in reference.split("/")[1:]:
        step = unquote(escaped).replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(step)] if isinstance(found, list) else found[step]
        except (LookupError, ValueError, TypeError):
            raise LookupError(f"`$ref` {reference!r} leads nowhere", "correct it") from None
    return found


def _addressed(document: Any, reference: str, own: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the part that a whole address means: a document that was put into this one (`$id`)."""
    base = own if isinstance(own, str) else ""
    address, _, fragment = urljoin(base, reference).partition("#")
    found = _of_address(document, address, "") if address else None
    if found is None or not fragment:
        return found
    try:
        return target({"": found}, f"#/{fragment}" if fragment.startswith("/") else f"#{fragment}")
    except LookupError:
        return None


def _of_address(part: Any, address: str, base: str) -> Any:  # noqa: ANN401 - JSON
    if isinstance(part, list):
        return next((f for one in part if (f := _of_address(one, address, base)) is not None), None)
    if not isinstance(part, dict):
        return None
    own = part.get("$id") or part.get("id")
    if isinstance(own, str):
        base = urljoin(base, own)
        if base.partition("#")[0] == address:
            return part
    return _of_address(list(part.values()), address, base)


def _addresses(own: str) -> tuple[str, ...]:
    """Return how a document may call itself: by its whole address, or by the end of it."""
    whole = own.rstrip("#")
    return (whole, whole.rpartition("/")[2])


def within(schema: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Yield every reference within a part."""
    if isinstance(schema, list):
        for part in schema:
            yield from within(part)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        yield from within(list(schema.values()))


def _named(schema: Any, name: str) -> Any:  # noqa: ANN401 - JSON
    """Return the part of a document that calls itself `name` (`$anchor`, `$id`, `id`)."""
    if isinstance(schema, list):
        return next((found for part in schema if (found := _named(part, name)) is not None), None)
    if not isinstance(schema, dict):
        return None
    if name and name in (
        schema.get("$anchor"),
        schema.get("$id"),
        schema.get("id"),
        str(schema.get("$id", "")).removeprefix("#"),
    ):
        return schema
    return _named(list(schema.values()), name)
