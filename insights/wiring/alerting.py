"""What finds alerts in a daemon's measures, and tells each receiver."""

from collections.abc import Iterable

from insights.service.alerts import Alerts, Receiver, Telling
from insights.service.runner import Job
from insights.wiring.app import App
from insights.wiring.measures import Measures


def jobs(app: App, measures: Measures, receivers: Iterable[Receiver]) -> list[Job]:
    """Return the jobs; none where nobody is to be told.

    Raises:
        errors.SettingsError: If a credential of a receiver is not there.
    """
    settings = app.settings
    state = settings.resolve(settings.state_dir)
    alerts = Alerts(
        measures,
        instance=settings.daemon.name,
        hold_s=settings.alerts.hold,
        take=lambda name: app.leases.take(name) is not None,
    )
    telling = [
        Telling(
            alerts,
            receiver,
            state / f"alerts.{receiver.kept_as}.json",
            digest_s=settings.alerts.digest,
            repeat_s=settings.alerts.repeat,
        )
        for receiver in receivers
    ]
    return [alerts, *telling] if telling else []
