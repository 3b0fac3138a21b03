"""The settings of what leaves the service about itself: traces."""

from pathlib import Path

from pydantic import Field, model_validator

from insights.site.models import refuse_open_way
from insights.site.values import Section


class TracesSettings(Section):
    """`[traces]`: where spans of a share of the rows are sent, OTLP over HTTP; "" sends none."""

    endpoint: str = ""
    share: float = Field(default=0.01, ge=0, le=1)
    api_key: str | None = None
    insecure: bool = False
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _private(self) -> "TracesSettings":
        if self.endpoint:
            refuse_open_way(self.endpoint, "spans", key="endpoint", insecure=self.insecure)
        return self
