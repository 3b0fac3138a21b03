"""The same handler, writing what it is sent straight into a table: no ledger, no work, no outcome.

python -m benchmarks._doors SETTINGS PORT
"""

import gc
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import msgspec
from psycopg.types.json import Jsonb

from insights import errors
from insights.doors.telling import Webhooks
from insights.ground import environment
from insights.model import Answer, Submission, Ticket
from insights.store.postgres import Store
from insights.web import door
from insights.web.clients import Clients
from insights.web.server import Server
from insights.wiring import doors
from insights.wiring.app import open_app

TABLE = (
    "CREATE TABLE IF NOT EXISTS public.sent (id uuid PRIMARY KEY, pipeline text NOT NULL,"
    " key text NOT NULL, fields jsonb NOT NULL, sent_at timestamptz NOT NULL DEFAULT now())"
)
INSERT = (
    "INSERT INTO public.sent (id, pipeline, key, fields)"
    " SELECT * FROM jsonb_to_recordset(%(rows)s)"
    " AS r (id uuid, pipeline text, key text, fields jsonb)"
)


class Straight:
    """Implements `ports.Inbox` as far as sending goes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.connection() as link:
            link.execute(TABLE)

    def submit(
        self, _stream: str, submissions: Sequence[Submission]
    ) -> list[tuple[Ticket, ...] | errors.RequestRefused]:
        """Write rows down."""
        answers: list[tuple[Ticket, ...] | errors.RequestRefused] = []
        rows = []
        for sent in submissions:
            some = [Ticket(id=str(uuid.uuid4()), key=one.key, is_new=True) for one in sent.rows]
            for ticket, one in zip(some, sent.rows, strict=True):
                row = {"id": ticket.id, "pipeline": sent.pipeline, "key": one.key}
                rows.append({**row, "fields": msgspec.to_builtins(one.values)})
            answers.append(tuple(some))
        with self._store.transaction() as link:
            link.execute(INSERT, {"rows": Jsonb(rows)})
        return answers

    def outcomes(self, ids: Sequence[str], *, delivers: bool = False) -> dict[str, Answer]:
        """There are none."""
        raise NotImplementedError(ids, delivers)

    def cancel(self, id_: str, *, actor: str) -> Answer | None:
        """Nothing can be taken back."""
        raise NotImplementedError(id_, actor)

    def forget(self) -> int:
        """Nothing is."""
        raise NotImplementedError

    def waiting(self, _pipeline: str, _most: int) -> int:
        """Nothing waits for anything."""
        return 0


def main() -> None:
    """Serve at a port."""
    clients = Clients(environment.credential("door_tokens") or "")
    with open_app(Path(sys.argv[1])) as app:
        opened = doors.doors(app)
        plain = type(opened)(opened.entrances, opened.intake, Straight(app.store))
        answering = door.application(
            plain, clients, app.settings.serve, Webhooks({}, doors.replies(app))
        )
        gc.collect()
        gc.freeze()  # as `insights serve` does
        Server(f"127.0.0.1:{sys.argv[2]}", answering, at_once=512).turn()


if __name__ == "__main__":
    main()
