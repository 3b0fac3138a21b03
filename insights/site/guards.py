"""`[guard]` of a pipeline: what a version with a share of the keys may not do too often."""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, model_validator

from insights import errors
from insights.site.values import Duration, Section

LIVE, OFF = "live", "off"

Share = Annotated[float, Field(gt=0, lt=1)]
Limit = Share | Literal["live", "off"]


class GuardSettings(Section):
    """What ends a canary or a gradual version by itself; no part of the pipeline's version.

    Each guard has the share of rows that may be so; `live`: no more often than of the live version
    on the same rows; or `off`. `slow` are rows that a model took longer than `slower_than` for, in
    seconds, `costly` those of more than `tokens`. `differs` counts rows whose `fields` (all closed
    ones) are not the live version's, `wrong` those that people said to be so. `false_alarms` is the
    most that the chance of any alarm may be in a whole rollout in which nothing is wrong.

    On a breach a version is made a shadow again (`withdraw`), or keeps its share (`hold`).
    """

    breach: Literal["withdraw", "hold"] = "withdraw"
    false_alarms: float = Field(default=0.05, gt=0, le=0.5)
    failed: Limit = "live"
    withheld: Limit = "live"
    abstained: Limit = "off"
    slow: Limit = "off"
    slower_than: Duration | None = None
    costly: Limit = "off"
    tokens: int | None = Field(default=None, ge=1)
    differs: Share | Literal["off"] = "off"
    fields: tuple[str, ...] = ()
    wrong: Share | Literal["off"] = "off"

    @property
    def watched(self) -> dict[str, float | str]:
        """The guards that are not off, with their limits."""
        names = ("failed", "withheld", "abstained", "slow", "costly", "differs", "wrong")
        found = {name: getattr(self, name) for name in names}
        return {name: limit for name, limit in found.items() if limit != OFF}

    @model_validator(mode="after")
    def _whole(self) -> "GuardSettings":
        if (self.slow == OFF) != (self.slower_than is None):
            raise ValueError("slow and slower_than go together")
        if (self.costly == OFF) != (self.tokens is None):
            raise ValueError("costly and tokens go together")
        if self.fields and self.differs == OFF:
            raise ValueError("fields are those that differs compares")
        return self

    def fits(self, columns: Collection[str], closed: Collection[str], where: str) -> None:
        """Refuse `differs` where there is nothing to compare.

        Args:
            columns: The properties of the output.
            closed: Those of them that are enumerations or booleans.
            where: The pipeline's name.

        Raises:
            errors.SettingsError: If a field is none of them, or none is named and none is closed.
        """
        unknown = [name for name in self.fields if name not in columns]
        if unknown or (self.differs != OFF and not self.fields and not closed):
            what = f"has no {unknown[0]!r}" if unknown else "has no enumeration and no boolean"
            raise errors.SettingsError(
                f"the output {what} to compare with the live version's",
                where=f"pipeline {where}, guard.fields",
                fix=f"name some of: {', '.join(columns)}",
            )
