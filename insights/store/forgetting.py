"""Forgetting rows: what was made of one goes, its events become tombstones, its key stays out.

`store.forget` takes everything away at once but what sinks must still be told. `forget_more` goes
on, a step and a transaction each: what others were shown of the row, then, once every sink has
said that it shows the row no more, its key. A crash between two steps loses none: whoever goes on
next (a daemon, the command again) begins where it stopped. docs/operations.md tells it to people.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from insights import errors
from insights.ground import failpoints
from insights.model import Submission
from insights.store.postgres import Store
from insights.store.queries import load


class Standing(msgspec.Struct, frozen=True):
    """How far one forgetting is; `sinks` have not said yet that they show the row no more."""

    state: Literal["asked", "released", "taken", "completed"]
    asked_at: dt.datetime | None = None
    completed_at: dt.datetime | None = None
    sinks: list[str] = []

    @property
    def completed(self) -> bool:
        """Whether nothing of it is left to do."""
        return self.state == "completed"


class Forgetting:
    """Asks for rows to be forgotten, and goes on with what was asked for.

    Args:
        store: The store, with a login that may: `sql/grants/store_retention.sql`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("forgetting")
        self._asked = load("retention")

    def forget(self, stream: str, key: str, collections: Sequence[str]) -> int:
        """Take away what was made of a row, and keep it out; return the number of the forgetting.

        Args:
            stream: The stream's name.
            key: The row's key, as the store has it.
            collections: The collections whose documents the settings make of this stream.

        Raises:
            errors.StoreError: If the login may not, or the store knows no such stream.
        """
        values = {"stream": stream, "key": key, "collections": list(collections)}
        with self._store.transaction() as connection:
            row = connection.execute(self._asked["forget"], values).fetchone()
            failpoints.reach("before-forget-commit")
        failpoints.reach("after-forget")
        assert row is not None  # noqa: S101 - a function's value
        return int(row.forgotten_id)

    def go_on(self) -> bool:
        """Take what was asked for a step on; tell whether any went on."""
        with self._store.connection() as connection:
            begun = connection.execute(self._sql["begun"]).fetchone()
        if begun is None or not begun.begun:
            return False
        with self._store.transaction() as connection:
            row = connection.execute(self._sql["more"]).fetchone()
        failpoints.reach("after-forget-step")
        return row is not None and row.changed > 0

    def standing(self, forgotten_id: int) -> Standing:
        """Return how far a forgetting is."""
        with self._store.connection() as connection:
            values = {"forgotten_id": forgotten_id}
            row = connection.execute(self._sql["how_far"], values).fetchone()
        return Standing("completed") if row is None else msgspec.convert(row._asdict(), Standing)

    def expire(self, age_s: float, limit: int, fed: Mapping[str, Sequence[str]]) -> int:
        """Forget rows that the source deleted longer ago than `age_s`; return how many.

        Each is a transaction of its own. They are not kept out: should one come back, it is new.

        Args:
            age_s: Seconds.
            limit: Rows at most.
            fed: The collections whose documents the settings make of each stream.

        Raises:
            errors.StoreError: If the login may not.
        """
        with self._store.connection() as connection:
            values = {"age_s": age_s, "limit": limit}
            rows = connection.execute(self._sql["expired"], values).fetchall()
        for row in rows:
            values_ = {
                "stream": row.stream,
                "key": row.row_key,
                "collections": list(fed.get(row.stream, ())),
            }
            with self._store.transaction() as connection:
                connection.execute(self._asked["expire"], values_)
        return len(rows)

    def expire_insights(self, age_s: float, limit: int) -> int:
        """Take away the oldest insights, of rows that stand as well; return how many went.

        What sinks show of them becomes empty, their events in the audit as well.

        Args:
            age_s: Seconds since they were made.
            limit: Insights at most.

        Raises:
            errors.StoreError: If the login may not.
        """
        values = {"age_s": age_s, "limit": limit}
        with self._store.transaction() as connection:
            row = connection.execute(self._asked["expire_insights"], values).fetchone()
        return 0 if row is None else int(row.insights)

    def seal(self, age_s: float) -> int:
        """Take away events of the audit older than `age_s` seconds; return how many."""
        with self._store.transaction() as connection:
            row = connection.execute(self._asked["seal"], {"age_s": age_s}).fetchone()
        return 0 if row is None else int(row.events)

    def allow(self, stream: str, key: str) -> None:
        """Let a forgotten row be recorded again, as a new one.

        Raises:
            errors.RowError: If it was not forgotten, or its forgetting is not over.
        """
        with self._store.transaction() as connection:
            values = {"stream": stream, "key": key}
            row = connection.execute(self._asked["allow"], values).fetchone()
        if row is None or not row.allowed:
            raise errors.RowError(
                "this row was not forgotten, or its forgetting is not over",
                where="forget --undo",
                fix="`insights status` tells what is not over",
            )


def refused(sent: Submission, gone: Collection[str]) -> errors.RequestRefused | None:
    """Return why a submission is refused that has such a row; None if it has none."""
    for number, one in enumerate(sent.rows):
        if one.key in gone:
            return errors.RequestRefused(
                "this row was forgotten, and is kept out",
                where=f"/{number}" if len(sent.rows) > 1 else "/",
                fix="leave it out; `insights forget --undo` lets it in again",
            )
    return None
