"""The job that keeps the ends of the audit's chains outside the store, in every daemon."""

from insights.governance.anchors import Anchors
from insights.store.trail import Trail
from insights.wiring.app import App


class Anchoring:
    """Keeps what has changed since its last round; all ends in its first."""

    name = "anchor audit"

    def __init__(self, app: App) -> None:
        settings = app.settings.audit
        self.every_s = settings.anchor_every
        file = settings.anchor_file and app.settings.resolve(settings.anchor_file)
        self._anchors = Anchors(file, settings.anchor_command)
        self._trail = Trail(app.store)

    def run_once(self) -> bool:
        """Do one round."""
        self._anchors.keep(self._trail.ends())
        return False
