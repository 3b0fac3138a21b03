"""Settings of what may be spent, and of what it costs."""

import zoneinfo
from typing import Literal

from pydantic import Field, model_validator

from insights.site.values import Name, Section


class BudgetSettings(Section):
    """`[budget.<name>]`: how much a pipeline, a stream, a model, or without any all may spend.

    Or a `client` of the HTTP door: rows are taken when they are accepted, all else by models.

    Past `soft` one row runs at a time, over all daemons; at `hard` none begins until the next
    window. `seconds` are a model's computing time, `money` is what its tariff makes of it.
    `reserve` is what a row is taken to need at most until it is written; see docs/budgets.md.
    """

    pipeline: Name | None = None
    stream: Name | None = None
    model: Name | None = None
    client: str | None = Field(default=None, min_length=1)
    unit: Literal["rows", "tokens", "seconds", "money"]
    per: Literal["minute", "hour", "day"] = "day"
    soft: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    hard: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    reserve: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    time_zone: str = "UTC"

    @model_validator(mode="after")
    def _bounds(self) -> "BudgetSettings":
        if self.soft is None and self.hard is None:
            raise ValueError("give soft, hard or both: without them nothing is bounded")
        if self.soft is not None and self.hard is not None and self.soft > self.hard:
            raise ValueError("soft is above hard, which stops before it")
        whose = (self.pipeline, self.stream, self.model, self.client)
        if sum(name is not None for name in whose) > 1:
            raise ValueError("give at most one of pipeline, stream, model and client")
        if self.client is not None and self.soft is not None:
            raise ValueError("a client's budget has a hard bound alone: its rows begin, or not")
        if self.unit == "rows" and self.reserve is not None:
            raise ValueError("a row is one row: reserve is for the other units")
        if self.time_zone not in zoneinfo.available_timezones():
            raise ValueError(f"there is no time zone {self.time_zone!r}; write it as Europe/Zurich")
        return self


class TariffSettings(Section):
    """`tariff` of a model: money per million tokens, or watts while it works and money per kWh."""

    prompt: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    output: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    watts: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    kwh: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _whole(self) -> "TariffSettings":
        if (self.watts > 0) != (self.kwh > 0):
            raise ValueError("watts and kwh belong together: the power, and its price")
        if not (self.prompt or self.output or self.watts):
            raise ValueError("a tariff without a price; give prompt and output, or watts and kwh")
        return self
