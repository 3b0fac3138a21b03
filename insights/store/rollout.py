"""Rollouts: the stage of a version, changed by people, with what a change would do said before.

Every change goes through `store.set_stage`, which operators may call and the daemon may not. A
preview is the change itself, taken back: what it counts is what would be.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from psycopg.types.json import Jsonb

from insights import errors
from insights.store.postgres import Store
from insights.store.queries import load

Stage = Literal["shadow", "canary", "gradual", "full", "retired"]


class Found(msgspec.Struct, frozen=True):
    """A version whose stage may be changed, and its share of the keys."""

    version_id: int
    sha256: str
    stage: str
    share: float


class Step(msgspec.Struct, frozen=True):
    """What becomes of a version.

    `shares` come one after the other, each after `every_s` seconds; 1 makes the version full. With
    `backfill` the rows of its share that are known already are its work as well. A step `back`
    takes what was promoted away: what it showed is shown by the other version, or made by it.
    """

    stage: Stage
    share: float = 1.0
    shares: tuple[float, ...] = ()
    every_s: float | None = None
    backfill: bool = False
    back: bool = False
    why: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What a step does, or would: rows that the stream has, and of them those of the share.

    `shown` change what they show at once, `queued` wait for a model, `reread` are read again and
    shown without one, if their inputs are as they were.
    """

    rows: int
    of_share: int
    shown: int
    queued: int
    reread: int


class Rollout:
    """Changes stages.

    Args:
        store: The store, with the login of an operator.
        actor: Which command it is, for the audit.
        user: Who calls it, by the operating system's word.
    """

    def __init__(self, store: Store, actor: str, user: str) -> None:
        self._store = store
        self._actor = actor
        self._user = user
        self._sql = {**load("deployments"), **load("stages")}

    def version(self, pipeline: str, prefix: str) -> Found:
        """Return the one version whose SHA-256 begins so.

        Raises:
            errors.SettingsError: If there is none, or more than one.
        """
        found = self._found(pipeline, prefix)
        if len(found) != 1:
            raise errors.SettingsError(
                f"{len(found) or 'no'} versions of {pipeline} begin with {prefix!r}",
                where="promote",
                fix="`insights pipeline list` shows them all; `insights run` registers a new one",
            )
        return _version(found[0])

    def fits(self, pipeline: str, version: Found) -> None:
        """Refuse a version for a share of the keys whose outputs do not fit the full one's sink.

        Raises:
            errors.SettingsError: If the two have other properties.
        """
        rows = self._found(pipeline, "")
        full = next((_properties(row) for row in rows if row.stage == "full"), set())
        its = next(_properties(row) for row in rows if row.sha256 == version.sha256)
        if its != full:
            raise errors.SettingsError(
                f"version {version.sha256[:12]} and the full one differ in {sorted(its ^ full)}, "
                "and are shown in one table",
                where="promote",
                fix="leave it a shadow, or make it full with a sink that has its columns",
            )

    def back(self, pipeline: str, prefix: str = "") -> tuple[Found, Found | None]:
        """Return the version that a rollback takes back, and the one that is full after it.

        That is, if none is named: what has a share, or else what is full; None where the one that
        is full stays so.

        Raises:
            errors.SettingsError: If there is nothing to take back, or nothing to go back to.
        """
        if prefix:
            wanted = self.version(pipeline, prefix)
        else:
            found = [_version(row) for row in self._found(pipeline, "")]
            live = [one for one in found if one.stage in ("canary", "gradual")]
            wanted_or_none = next(iter(live), None) or next(
                (one for one in found if one.stage == "full"), None
            )
            if wanted_or_none is None:
                raise _nothing(f"no version of {pipeline} is live")
            wanted = wanted_or_none
        if wanted.stage == "retired":
            raise _nothing(f"version {wanted.sha256[:12]} of {pipeline} is not live")
        if wanted.stage != "full":
            return wanted, None
        former = [row for row in self._found(pipeline, "") if row.stage == "retired"]
        once = [row for row in former if row.full_at is not None]
        if not once:
            raise _nothing(f"no version of {pipeline} was live before this one")
        return wanted, _version(max(once, key=lambda row: row.full_at))

    def preview(self, version_id: int, step: Step) -> Outcome:
        """Return what a step would do; changes nothing."""
        return self._change(version_id, step, dry=True)

    def change(self, version_id: int, step: Step) -> Outcome:
        """Take a step; the audit has who took it, and why.

        Raises:
            errors.StoreError: If the login is no operator's, or the step is none that there is.
        """
        return self._change(version_id, step, dry=False)

    def _change(self, version_id: int, step: Step, *, dry: bool) -> Outcome:
        told = {
            "user": self._user,
            "backfill": step.backfill,
            "shares": list(step.shares),
            "every_s": step.every_s,
        }
        values = {
            "version_id": version_id,
            "stage": step.stage,
            "share": step.share,
            "actor": self._actor,
            "why": step.why,
            "redo": step.back,
            "told": Jsonb({name: value for name, value in told.items() if value}),
        }
        with (
            self._store.connection() as connection,
            connection.transaction(force_rollback=dry),
        ):
            done = connection.execute(self._sql["change"], values).fetchone()
        assert done is not None  # noqa: S101 - it returns its row
        return Outcome(done.rows, done.of_share, done.shown, done.queued, done.reread)

    def _found(self, pipeline: str, prefix: str) -> Sequence[Any]:
        values = {"pipeline": pipeline, "prefix": prefix}
        with self._store.connection() as connection:
            return connection.execute(self._sql["found"], values).fetchall()


def _version(row: Any) -> Found:  # noqa: ANN401 - psycopg's row
    return Found(row.pipeline_version_id, row.sha256, row.stage, row.share)


def _properties(row: Any) -> set[str]:  # noqa: ANN401 - psycopg's row
    """Return the names of the properties of a version's output."""
    return set(msgspec.json.decode(row.definition.get("schema", "{}")).get("properties", ()))


def _nothing(what: str) -> errors.SettingsError:
    return errors.SettingsError(
        what, where="rollback", fix="`insights pipeline list` shows them all"
    )
