"""Settings of the audit, and of what is kept how long."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from insights.site.values import Duration, Section, seconds


class AuditSettings(Section):
    """`[audit]`: where ends of its chains are kept outside the store (docs/audit.md).

    With `prompts = "text"` the event of a decision has the redacted prompt, beside its hash.
    """

    anchor_every: Duration = Field(default=seconds("5min"), ge=1)
    anchor_file: Path | None = None
    anchor_command: tuple[str, ...] = ()
    prompts: Literal["hash", "text"] = "hash"


class RetentionSettings(Section):
    """`[retention]`: what goes by age (docs/forgetting.md); what has no age is kept."""

    deleted_rows: Duration | None = Field(default=None, ge=3600)
    insights: Duration | None = Field(default=None, ge=86_400)
    audit: Duration | None = Field(default=None, ge=86_400)
    every: Duration = Field(default=seconds("1h"), ge=1)

    @property
    def has_ages(self) -> bool:
        """Whether anything goes by age."""
        return any(self.model_dump(exclude={"every"}).values())
