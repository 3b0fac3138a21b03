"""The form of a stream's hashes: by which key, and over which columns, its rows are known.

A row's hash in the ledger is over all columns that the stream's versions read. When those change,
or the key does, pages carry both hashes: rows that are equal in the former form take the new one
without work, and one whole sweep ends the change. Until then no other one begins.
"""

from typing import Any

import msgspec

from insights.model import Following, Version


class Form(msgspec.Struct, frozen=True):
    """By what rows are known: the number of the form, its key and columns; and those before."""

    hash_version: int
    key_version: int
    columns: tuple[str, ...] | None
    former_key_version: int | None = None
    former_columns: tuple[str, ...] | None = None


def next_form(row: Any, key_version: int, *, swept: bool) -> tuple[Form, str | None]:  # noqa: ANN401
    """Return the form from now on, and the statement that changes to it (None: no change).

    Args:
        row: What the statement `deployed` found.
        key_version: The number of the key in use.
        swept: Whether the stream is swept; else a change of form ends with the next one.
    """
    now = Form(
        row.hash_version,
        row.key_version,
        None if row.columns is None else tuple(row.columns),
        row.former_key_version,
        None if row.former_columns is None else tuple(row.former_columns),
    )
    columns = _columns(versions(row))
    if not columns:
        return now, None
    if not row.filled:
        adopted = Form(now.hash_version, key_version, columns)
        return adopted, None if adopted == now else "adopt_form"
    if now.columns is None:  # filled by a release that noted no columns: they were these
        adopted = msgspec.structs.replace(now, columns=columns)
        if now.key_version == key_version:
            return adopted, "adopt_form"
        now = adopted
    changes = now.former_key_version is not None and swept
    if changes or (now.columns, now.key_version) == (columns, key_version):
        return now, None
    begun = Form(now.hash_version + 1, key_version, columns, now.key_version, now.columns)
    return begun, "begin_form"


def values(stream_id: int, form: Form) -> dict[str, Any]:
    """Return what the statements that change a form bind."""
    found = {name: getattr(form, name) for name in Form.__struct_fields__}
    lists = {name: list(one) for name, one in found.items() if isinstance(one, tuple)}
    return {"stream_id": stream_id, **found, **lists}


def following(row: Any, form: Form) -> Following:  # noqa: ANN401 - psycopg's row
    """Return what polls need to know."""
    former = form.former_columns if form.former_columns != form.columns else None
    rekeyed = form.former_key_version not in (None, form.key_version)
    return Following(
        stream_id=row.stream_id,
        generation=row.generation,
        hash_version=form.hash_version,
        versions=versions(row),
        columns=form.columns or (),
        former_columns=former,
        rekeyed=rekeyed,
    )


def versions(row: Any) -> tuple[Version, ...]:  # noqa: ANN401 - psycopg's row
    """Return the versions that follow the stream."""
    return msgspec.convert(row.versions, tuple[Version, ...])


def _columns(found: tuple[Version, ...]) -> tuple[str, ...]:
    return tuple(sorted({name for version in found for name in version.columns}))
