"""A stream's switch: a person pauses it, or lets it go on."""

from typing import Literal

from insights import errors
from insights.store.postgres import Store
from insights.store.queries import load


def switch(store: Store, stream: str, to: Literal["pause", "resume"], *, actor: str) -> bool:
    """Pause or resume a stream; tell whether that changed anything. The audit says who did.

    Raises:
        errors.SettingsError: If the store does not know the stream.
    """
    with store.connection() as connection:
        row = connection.execute(load("streams")[to], {"stream": stream, "actor": actor}).fetchone()
    assert row is not None  # noqa: S101 - a SELECT of aggregates returns a row
    if not row.known:
        raise errors.SettingsError(
            f"the store knows no stream {stream!r}",
            where=f"insights {to}",
            fix="`insights status` lists those that have been polled",
        )
    return bool(row.changed)
