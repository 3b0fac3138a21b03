"""`[adapter]` of a pipeline: what a model was taught for it."""

from pathlib import Path

from pydantic import Field

from insights import errors
from insights.model import Adapter, Json
from insights.site.models import ModelSettings
from insights.site.values import Section


class AdapterSettings(Section):
    """A LoRA adapter of the pipeline's model, a GGUF file pinned by its SHA-256.

    `scale` is how strongly it works, 1 being as it was trained.
    """

    path: Path
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scale: float = Field(default=1.0, gt=0, le=10)

    @property
    def adapter(self) -> Adapter:
        """What requests name."""
        return Adapter(sha256=self.sha256, scale=self.scale)

    @property
    def decides(self) -> Json:
        """What of it decides an outcome: all but where the file is."""
        return {"sha256": self.sha256, "scale": self.scale}

    def fits(self, model: ModelSettings, name: str) -> None:
        """Refuse an adapter of a model that is not a file here.

        Raises:
            errors.SettingsError: If it is on a server.
        """
        if model.path is None:
            raise errors.SettingsError(
                "an adapter is loaded beside a model that is a file, and this one is on a server",
                where=f"pipeline {name}, adapter",
                fix="load the adapter there, and name it as a model of that server",
            )
