"""The job that goes on with what was asked to be forgotten, in every daemon."""

from insights.store.forgetting import Forgetting
from insights.wiring.app import App


class Forgets:
    """Takes each forgetting on, until every sink has said that it shows the row no more."""

    name = "forget"
    every_s = 2.0

    def __init__(self, app: App) -> None:
        self._forgetting = Forgetting(app.store)

    def run_once(self) -> bool:
        """Do one step of each; True where more may follow at once."""
        return self._forgetting.go_on()
