"""The one writer of audit events: who did what, to which row. Never row text.

Every adapter that changes something calls `append` in the transaction of that change, so that an
event stands if and only if the change does. Number, time and login are the database's, and so is
the hash that chains each event to its writer's former one (`store.append_events`, docs/audit.md).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from insights.store.postgres import Connection
from insights.store.queries import load


class Event(msgspec.Struct, frozen=True):
    """One thing that was done, such as `insight`, `dead-letter`, `row deleted` or `deployed`."""

    action: str
    stream_id: int | None = None
    row_id: int | None = None
    insight_id: int | None = None
    details: Mapping[str, Any] = {}


def append(connection: Connection, actor: str, events: Iterable[Event]) -> None:
    """Write events, in order.

    Args:
        connection: A connection in the transaction of what the events tell.
        actor: The daemon's holder name, or the command, that did it.
        events: What was done.
    """
    told = [*events]
    if told:
        values = {"actor": actor, "events": Jsonb(told, dumps=msgspec.json.encode)}
        connection.execute(load("audit")["append"], values)
