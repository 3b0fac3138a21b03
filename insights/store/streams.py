"""A stream's switch: a person pauses it, or lets it go on."""

from typing import Literal

from insights import errors
from insights.store import audit
from insights.store.postgres import Store
from insights.store.queries import load


def switch(store: Store, stream: str, to: Literal["pause", "resume"], *, actor: str) -> bool:
    """Pause or resume a stream; tell whether that changed anything. The audit says who did.

    Raises:
        errors.SettingsError: If the store does not know the stream.
    """
    sql, values = load("streams"), {"stream": stream}
    with store.transaction() as connection:
        known = connection.execute(sql["known"], values).fetchone()
        row = connection.execute(sql[to], values).fetchone()
        if row is not None:
            details: dict[str, object] = {}
            if to == "resume":
                details = {"paused": row.paused, "stopped_reason": row.stopped_reason}
            event = audit.Event(f"stream {to}d", stream_id=row.stream_id, details=details)
            audit.append(connection, actor, [event])
    if known is None or not known.known:
        raise errors.SettingsError(
            f"the store knows no stream {stream!r}",
            where=f"insights {to}",
            fix="`insights status` lists those that have been polled",
        )
    return row is not None
