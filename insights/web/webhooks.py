"""Posts outcomes of requests to the addresses of `[webhook.<name>]`, signed."""

import datetime as dt
import http.client
import ipaddress
from urllib.parse import urlsplit

from insights import errors
from insights.ground import environment, trust
from insights.site.models import is_loopback
from insights.site.settings import Settings
from insights.site.webhooks import origin
from insights.web import lines
from insights.web.signing import PREFIX, key, signed

_TAKEN, _MOVED, _WRONG, _BROKEN = 200, 300, 400, 500  # HTTP
_GONE = 410
_LATER = frozenset({408, 425, 429})
_SHORTEST = 24  # bytes of a key, as the specification asks


class OutcomeHook:
    """Implements `ports.Hook`.

    Args:
        settings: The site's.
        name: Of the webhook.

    Raises:
        errors.SettingsError: If its credential is not there, or no key.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = found = settings.webhook[name]
        self._where = f"webhook.{name}"
        self._secret = environment.reveal(found.secret, f"{self._where}.secret")
        self._networks = [ipaddress.ip_network(one) for one in found.networks]
        self._tls = lines.trusting(settings, found.ca_file, self._where)
        host = found.origin[1]
        self._named = not is_loopback(host) and not _is_address(host)
        try:
            good = len(key(self._secret)) >= _SHORTEST
        except ValueError:
            good = False
        if not good:
            raise errors.SettingsError(
                f"it is no key of at least {_SHORTEST} bytes",
                where=f"{self._where}.secret",
                fix=f'a credential with {PREFIX} before "openssl rand -base64 32"',
            )

    def post(self, address: str, made: str, body: bytes) -> bool:
        """Implement `ports.Hook`."""
        url = address or self._settings.url
        if origin(url) != self._settings.origin:  # the settings are others by now
            raise errors.RequestRefused("its address is not allowed any more", where=self._where)
        headers = {
            "content-type": "application/json",
            "user-agent": "insights",
            **signed(self._secret, made, body),
        }
        try:
            status, _ = lines.asked(
                url,
                self._tls,
                body,
                headers,
                allows=self.allows,
                longest_s=self._settings.timeout,
            )
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise self._unavailable(exc) from None
        if _TAKEN <= status < _MOVED or status == _GONE:
            return status != _GONE
        said = f"{self._settings.origin[1]} answered {status}"
        if _MOVED <= status < _WRONG:
            said += ", and nobody is followed elsewhere"
        if status >= _BROKEN or status in _LATER:
            raise errors.ReceiverUnavailable(said, where=self._where, fix="mend it; it is retried")
        raise errors.RequestRefused(said, where=self._where, fix="mend it; it is retried")

    def reach(self) -> dt.datetime | None:
        """Connect and leave again, nothing is sent; return until when its certificate is valid.

        Raises:
            errors.ReceiverUnavailable: If nobody is there, or not who should be.
        """
        try:
            with lines.connected(
                urlsplit(self._settings.url), self._tls, self.allows, self._settings.timeout
            ) as way:
                return trust.ends(way)
        except (OSError, ValueError) as exc:
            raise self._unavailable(exc) from None

    def allows(self, address: lines.Address) -> bool:
        """Tell whether an address that the host's name leads to may be connected to."""
        if not self._named:
            return True  # the settings say this very address
        public = address.is_global and not address.is_multicast
        return public or any(address in one for one in self._networks)

    def _unavailable(self, exc: Exception) -> errors.ReceiverUnavailable:
        """Tell why, without what libraries quote: an address may hold what is nobody's business."""
        what, fix = trust.why(exc), "start it, or correct its url; what is over is told then"
        if isinstance(exc, lines.StrangeAddressError):
            what = "its name leads to no public address, and to none of networks"
            fix = 'name its network: networks = ["10.1.0.0/16"]'
        host = self._settings.origin[1]
        return errors.ReceiverUnavailable(
            f"{host} takes no outcome: {what}", where=self._where, fix=fix
        )


def _is_address(host: str) -> bool:
    try:
        lines.address(host)
    except ValueError:
        return False
    return True
