"""Versions and deployments: which versions of each pipeline make new work, and what they made.

A version never seen before becomes full here, or a shadow; `insights.store.rollout` changes stages.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from psycopg.types.json import Jsonb

from insights import errors
from insights.site.versions import Version
from insights.store import audit
from insights.store.postgres import Connection, Store
from insights.store.queries import load


class Registered(msgspec.Struct, frozen=True):
    """A version of a pipeline in the store, and its stage."""

    version_id: int
    stage: str

    @property
    def live(self) -> bool:
        """Whether it makes new work."""
        return self.stage != "retired"


class Backfill(msgspec.Struct, frozen=True):
    """How many rows a backfill makes work of, and what one of them has cost of late."""

    rows: int
    tokens_a_row: float | None
    ms_a_row: float | None


class Deployments:
    """Registers versions, and tells of them.

    Args:
        store: The store.
        actor: Who changes what, for the audit.
        key_version: The number of our hash key, for streams that are new.
    """

    def __init__(self, store: Store, actor: str = "insights", *, key_version: int = 1) -> None:
        self._store = store
        self._actor = actor
        self._key_version = key_version
        self._sql = load("deployments")

    def register(  # noqa: PLR0913 - what is told of a version
        self,
        pipeline: str,
        sha256: str,
        definition: Mapping[str, Any],
        *,
        stream: str,
        columns: Sequence[str],
        sink_id: int | None = None,
        overlap_s: float = 60.0,
        key_personal: bool = False,
        from_the_beginning: bool = True,
        stage: Literal["full", "shadow"] = "full",
    ) -> Registered:
        """Record a version; one never seen before is live from now on.

        The first version of a pipeline gets all rows that its stream knows already; a later one
        only what is new or changes from then on, until it is asked to `backfill`.

        Args:
            pipeline: The pipeline's name.
            sha256: What the version is known by.
            definition: What the SHA-256 was taken over.
            stream: The stream that it follows.
            columns: What it reads of a row.
            sink_id: The sink it tells; None without one.
            overlap_s: The stream's overlap in the settings, seconds.
            key_personal: Whether people are shown the stream's keys as keyed hashes only.
            from_the_beginning: Whether the stream starts with the rows that are there already.
            stage: What a version is that was never seen before: `full` retires the one before,
                a `shadow` is made beside it and shown nowhere.
        """
        with self._store.transaction() as connection:
            # The stream first, as whoever accepts or records rows of it does: then comes what their
            # foreign keys look at. In the other order a daemon that begins beside them deadlocks.
            stream_id = self._one(
                connection,
                "stream",
                name=stream,
                overlap_s=overlap_s,
                key_personal=key_personal,
                key_version=self._key_version,
            ).stream_id
            pipeline_id = self._one(connection, "pipeline", name=pipeline).pipeline_id
            found = self._one(
                connection,
                "version",
                pipeline_id=pipeline_id,
                sha256=sha256,
                definition=Jsonb(dict(definition)),
            )
            version = {
                "version_id": found.pipeline_version_id,
                "pipeline_id": pipeline_id,
                "stream_id": stream_id,
                "sink_id": sink_id,
                "columns": sorted(columns),
            }
            if found.stage is not None:
                connection.execute(self._sql["describe"], version)
                return Registered(found.pipeline_version_id, found.stage)
            connection.execute(
                self._sql["deploy"], {**version, "stage": stage, "actor": self._actor}
            )
            connection.execute(self._sql["repoint"])
            first = self._one(connection, "first_of_its_pipeline", **version).first
            if first and from_the_beginning and stage == "full":
                self._backfill(connection, pipeline, found.pipeline_version_id)
            return Registered(found.pipeline_version_id, stage)

    def stage(self, pipeline: str, sha256: str) -> str | None:
        """Return the stage of a version; None for one that was never registered. Writes nothing."""
        with self._store.connection() as connection:
            values = {"pipeline": pipeline, "prefix": sha256}
            row = connection.execute(self._sql["found"], values).fetchone()
        return None if row is None else str(row.stage)

    def to_backfill(self, pipeline: str) -> Backfill:
        """Return what `backfill` would do."""
        with self._store.connection() as connection:
            row = self._one(connection, "to_backfill", pipeline=pipeline)
        return Backfill(row.rows, row.tokens_a_row, row.ms_a_row)

    def backfill(self, pipeline: str) -> int:
        """Make work of all rows that the live version has made nothing of; return how many.

        Raises:
            errors.SettingsError: If the pipeline has no live version.
        """
        with self._store.transaction() as connection:
            self._one(connection, "pipeline", name=pipeline)
            values = {"pipeline": pipeline, "prefix": ""}
            rows = connection.execute(self._sql["found"], values).fetchall()
            live = next((row for row in rows if row.stage == "full"), None)
            if live is None:
                raise errors.SettingsError(
                    f"no version of {pipeline} is live",
                    where="backfill",
                    fix="`insights pipeline list` shows them all",
                )
            return self._backfill(connection, pipeline, live.pipeline_version_id)

    def stopped(self, version_id: int, reason: str | None) -> None:
        """Record why a version cannot be served here, or that it can again."""
        with self._store.connection() as connection:
            connection.execute(self._sql["stopped"], {"version_id": version_id, "reason": reason})

    def raise_shares(self) -> list[dict[str, Any]]:
        """Raise the shares that are due by their schedules; return which versions have which."""
        with self._store.transaction() as connection:
            found = connection.execute(self._sql["raise_shares"], {"actor": self._actor}).fetchall()
        return [row._asdict() for row in found]

    def rows(self, pipeline: str | None = None) -> list[dict[str, Any]]:
        """Return every version of one pipeline or all, the last changed first."""
        with self._store.connection() as connection:
            found = connection.execute(self._sql["list"], {"pipeline": pipeline}).fetchall()
        return [row._asdict() for row in found]

    def history(self, pipeline: str) -> list[dict[str, Any]]:
        """Return when each version was live, the first first: `until` is None for the present."""
        with self._store.connection() as connection:
            found = connection.execute(self._sql["history"], {"pipeline": pipeline}).fetchall()
        return [row._asdict() for row in found]

    def made_of(self, pipeline: str, prefix: str = "") -> list[Version]:
        """Return the versions whose SHA-256 begins so, and what each was taken over.

        The live one comes first, then the last that was live.
        """
        values = {"pipeline": pipeline, "prefix": prefix}
        with self._store.connection() as connection:
            found = connection.execute(self._sql["definitions"], values).fetchall()
        made = [Version(row.sha256, row.stage, row.changed_at, row.definition) for row in found]
        return sorted(made, key=lambda one: one.stage == "retired")

    def version(self, pipeline: str, prefix: str = "") -> Version:
        """Return the one version whose SHA-256 begins so; without a prefix the live one.

        Raises:
            errors.SettingsError: If there is none, or more than one.
        """
        found = self.made_of(pipeline, prefix)
        if not found or (prefix and len(found) > 1):
            what = f"no pipeline {pipeline!r} has run yet"
            if prefix:
                what = f"{len(found) or 'no'} versions of {pipeline} begin with {prefix!r}"
            raise errors.SettingsError(
                what, where="pipeline", fix="`insights pipeline list` shows them all"
            )
        return found[0]

    def _backfill(self, connection: Connection, pipeline: str, version_id: int) -> int:
        rows = connection.execute(self._sql["backfill"], {"version_id": version_id}).rowcount
        details = {"pipeline": pipeline, "rows": rows}
        audit.append(connection, self._actor, [audit.Event("backfilled", details=details)])
        return rows

    def _one(self, connection: Connection, statement: str, **values: object) -> Any:  # noqa: ANN401
        row = connection.execute(self._sql[statement], values).fetchone()
        assert row is not None  # noqa: S101 - every such statement returns its row
        return row
