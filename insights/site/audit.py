"""Settings of the audit."""

from pathlib import Path

from pydantic import Field

from insights.site.values import Duration, Section, seconds


class AuditSettings(Section):
    """`[audit]`: where ends of its chains are kept outside the store (docs/audit.md)."""

    anchor_every: Duration = Field(default=seconds("5min"), ge=1)
    anchor_file: Path | None = None
    anchor_command: tuple[str, ...] = ()
