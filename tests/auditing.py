"""Events for tests of the audit."""

from insights.store import audit
from insights.store.audit import Event
from insights.store.postgres import Store

BATCH = 50


def fill(store: Store, actor: str, count: int) -> None:
    for first in range(0, count, BATCH):
        with store.transaction() as connection:
            audit.append(
                connection,
                actor,
                (
                    Event("insight", stream_id=1, row_id=n, insight_id=n, details={"status": "ok"})
                    for n in range(first, min(first + BATCH, count))
                ),
            )
