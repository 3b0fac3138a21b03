"""What guards count of versions with a share of the keys, and how a daemon withdraws one.

What is older than half a minute is counted once and kept; each look reads only what came since.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from psycopg.types.json import Jsonb

from insights.store.postgres import Connection, Store
from insights.store.queries import load

_SETTLES_S = 30.0  # far longer than a statement that writes insights takes


class Watched(msgspec.Struct, frozen=True):
    """A version that is watched; `counts` are of what it made since it was promoted.

    Of a guard: how often it applies (`withheld`), and of rows that the live version has done too,
    to this one's alone (`withheld_alone`) and to the live one's alone (`withheld_live`).
    """

    version_id: int
    pipeline: str
    sha256: str
    stage: str
    share: float
    since: dt.datetime
    counted_to: dt.datetime
    horizon: dt.datetime
    counts: dict[str, int]


class Measure(msgspec.Struct, frozen=True):
    """What counts as slow (milliseconds of the model), costly (tokens) and different (fields)."""

    slow_ms: float | None = None
    tokens: int | None = None
    fields: tuple[str, ...] = ()


class Watches:
    """Counts, and withdraws.

    Args:
        store: The store.
        actor: This daemon's name, for the audit.
    """

    def __init__(self, store: Store, actor: str) -> None:
        self._store = store
        self._actor = actor
        self._sql = load("guards")

    def watched(self, measures: Mapping[int, Measure]) -> list[tuple[Watched, dict[str, int]]]:
        """Return those of some versions that have a share of the keys, each with all its counts.

        Args:
            measures: By version.
        """
        values = {"versions": [*measures], "settles_s": _SETTLES_S}
        with self._store.transaction() as connection:
            rows = connection.execute(self._sql["watched"], values).fetchall()
            return [
                self._look(connection, msgspec.convert(row._asdict(), Watched), measures)
                for row in rows
            ]

    def keep(self, watched: Watched, nearest: str | None) -> None:
        """Keep what is counted for good, and which guard is nearest to an alarm."""
        values = {**msgspec.structs.asdict(watched), "counts": Jsonb(watched.counts)}
        with self._store.connection() as connection:
            connection.execute(self._sql["count"], {**values, "nearest": nearest})

    def withdraw(self, version_id: int, why: str, *, hold: bool) -> bool:
        """Make a version a shadow again, or keep its share from growing; the audit has why.

        Returns:
            Whether it had a share and was not held: of two daemons one is told so.
        """
        values = {"version_id": version_id, "actor": self._actor, "why": why, "hold": hold}
        with self._store.transaction() as connection:
            row = connection.execute(self._sql["withdraw"], values).fetchone()
        return bool(row and row.withdrawn)

    def _look(
        self, connection: Connection, found: Watched, measures: Mapping[int, Measure]
    ) -> tuple[Watched, dict[str, int]]:
        wanted = msgspec.structs.asdict(measures[found.version_id])
        values = {**msgspec.structs.asdict(found), **wanted, "fields": [*wanted["fields"]]}
        made = connection.execute(self._sql["made"], values).fetchall()
        failed = connection.execute(self._sql["failed"], values).fetchall()
        wrong = connection.execute(self._sql["wrong"], values).fetchall()
        settled = Counter(found.counts)
        settled.update(_counts([(r.guard, r.bad, r.alone, r.live) for r in made if r.settled]))
        counts = Counter(settled)
        counts.update(_counts([(r.guard, r.bad, r.alone, r.live) for r in made if not r.settled]))
        counts.update(_counts([("failed", r.bad, r.alone, r.live) for r in failed]))
        counts.update(_counts([("dead", row.bad, 0, 0) for row in failed]))
        counts.update(_counts([("wrong", row.bad, 0, 0) for row in wrong]))
        return msgspec.structs.replace(found, counts=dict(settled)), dict(counts)


def _counts(rows: Sequence[tuple[str, int, int, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for guard, bad, alone, live in rows:
        found |= {guard: bad, f"{guard}_alone": alone, f"{guard}_live": live}
    return {name: count for name, count in found.items() if count}
