"""What settings a daemon begins with, told in the audit where they are others than last time."""

from insights.ground import environment
from insights.site import versions
from insights.site.masking import masked
from insights.store.trail import Applied
from insights.wiring.app import App


def tell(app: App) -> None:
    """Write into the audit what of the settings has changed since this daemon last began.

    Secrets, and words that may be a person's, are hidden in it: that one of those is another now is
    not told.

    Raises:
        errors.StoreError: If it cannot be recorded.
    """
    applied = Applied(app.store, app.holder)
    now = masked(app.settings)
    former = applied.last()
    if former == now:
        return
    found = [] if former is None else versions.changes(former, now)
    changed = [f"{one.what}: {one.before or 'not set'} → {one.after or 'not set'}" for one in found]
    applied.tell(now, changed, user=environment.user())
