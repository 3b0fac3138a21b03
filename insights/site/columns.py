"""`[feedback]` of a pipeline: columns of the legacy table that say whether insights are right."""

from collections.abc import Collection

from pydantic import Field

from insights import errors
from insights.site.values import Duration, Section, seconds


class FeedbackSettings(Section):
    """What people decide on the legacy side, as verdicts on what they are shown.

    `columns` are by property of the output; only closed properties. With `decided`, a row counts
    once that column has a value. Insights no older than `age` are looked at once in `every`, so
    many rows a second at most. No part of the pipeline's version.
    """

    columns: dict[str, str] = Field(min_length=1)
    decided: str | None = None
    every: Duration = seconds("6h")
    age: Duration = seconds("90d")
    rows_per_second: int = Field(default=50, ge=1)


def check(
    wanted: FeedbackSettings | None, closed: Collection[str], name: str, *, polled: bool
) -> None:
    """Refuse columns of what is no closed property, or of rows that have no table.

    Args:
        wanted: The settings; None asks for nothing.
        closed: The properties of the output that are enumerations or booleans.
        name: The pipeline.
        polled: Its rows are those of a table.

    Raises:
        errors.SettingsError: Naming it.
    """
    unknown = sorted((wanted.columns.keys() if wanted else set()) - {*closed})
    if unknown or (wanted is not None and not polled):
        raise errors.SettingsError(
            f"{unknown[0]} is no enumeration and no boolean of the output"
            if unknown
            else "its rows came through a door: no column says anything of them",
            where=f"pipeline {name}, feedback.columns",
            fix=f"properties: {', '.join(closed) or 'none'}" if unknown else "leave it out",
        )
