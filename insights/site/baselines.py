"""`[baseline]` of a pipeline: what answers a row for which no model could."""

from collections.abc import Collection
from typing import Any

from pydantic import Field, model_validator

from insights import errors
from insights.site.values import Section


class BaselineSettings(Section):
    """What a row gets that would be a dead letter because its generation failed or was too late.

    `nearest` takes what people decided about the nearest of `[examples]`, `columns` a column's
    value by property of the output, `values` the same for every row; the first that has a property
    says it. With `withheld` it answers rows as well whose output was withheld.
    """

    nearest: bool = False
    columns: dict[str, str] = Field(default_factory=dict)
    values: dict[str, Any] = Field(default_factory=dict)
    withheld: bool = False

    @model_validator(mode="after")
    def _says(self) -> "BaselineSettings":
        if not (self.nearest or self.columns or self.values):
            raise ValueError("a baseline needs nearest, columns or values")
        return self

    def fits(
        self,
        columns: Collection[str],
        required: Collection[str],
        labels: Collection[str],
        name: str,
    ) -> None:
        """Refuse a baseline that can never be an output.

        Args:
            columns: The properties of the output.
            required: Those that every output has.
            labels: Those that the nearest labelled row says.
            name: The pipeline.

        Raises:
            errors.SettingsError: If it says what no output has, or lacks what each has.
        """
        said = {*self.columns, *self.values}
        fix = f"properties: {', '.join(columns)}"
        if unknown := sorted(said - {*columns}):
            raise errors.SettingsError(
                f"the output has no {unknown[0]!r}", where=f"pipeline {name}, baseline", fix=fix
            )
        if lacking := sorted({*required} - said - ({*labels} if self.nearest else set())):
            raise errors.SettingsError(
                f"the baseline says no {lacking[0]!r}, which every output has",
                where=f"pipeline {name}, baseline",
                fix="add it to baseline.values",
            )
