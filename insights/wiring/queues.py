"""Queues: a listener each, with its broker."""

import datetime as dt
import socket
import ssl
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from insights import errors
from insights.doors.accepting import Doors
from insights.doors.listening import Listening
from insights.ground import environment, trust
from insights.ports import Broker
from insights.site.settings import Settings
from insights.store.replies import Replies
from insights.wiring.app import App

_AMQPS, _REDIS = 5671, 6379  # ports where an address has none
_TIMEOUT_S = 10.0


def listeners(app: App, opened: Doors) -> list[Listening]:
    """Return what listens to each queue of the settings; nothing is connected yet.

    Raises:
        errors.SettingsError: If a queue is for a pipeline that takes no requests.
    """
    replies = Replies(app.store)
    made = []
    for name, found in app.settings.queue.items():
        if found.pipeline not in opened.entrances:
            raise errors.SettingsError(
                f"the pipeline {found.pipeline!r} takes no requests",
                where=f"queue.{name}.pipeline",
                fix="one that follows a stream of the inbox: "
                + (", ".join(sorted(opened.entrances)) or "there is none"),
            )
        made.append(
            Listening(
                name,
                found.pipeline,
                partial(broker, app.settings, name),
                opened,
                replies,
                reply_to=found.replies or "",
                answers=found.reply_to,
            )
        )
    return made


def broker(settings: Settings, name: str) -> Broker:
    """Return a connection to a queue's broker.

    Raises:
        errors.SettingsError: If a file of its TLS cannot be used.
        errors.BrokerUnavailable: If it cannot be reached, or refuses.
    """
    found = settings.queue[name]
    url = environment.reveal(found.url, f"queue.{name}.url", "store")
    tls = _tls(settings, name)
    if found.protocol == "amqp":
        from insights.queues.amqp import AmqpBroker  # noqa: PLC0415 - only where one is used

        return AmqpBroker(url, found.queue, dead=found.dead or "", prefetch=found.prefetch, tls=tls)
    from insights.queues.redis_streams import RedisBroker  # noqa: PLC0415

    consumer = f"{environment.host_name()}-{name}"
    authority, shown = (_file(settings, one) for one in (found.ca_file, found.client_cert))
    named = {"ssl_ca_certs": authority, "ssl_certfile": shown, "ssl_keyfile": shown}
    return RedisBroker(
        url,
        found.queue,
        dead=found.dead or "",
        prefetch=found.prefetch,
        consumer=consumer,
        files={key: str(file) for key, file in named.items() if file is not None},
    )


def certificate(settings: Settings, name: str) -> dt.datetime | None:
    """Return until when the certificate of a queue's broker is valid; None without TLS.

    Raises:
        errors.BrokerUnavailable: If it shows none that is taken.
    """
    tls = _tls(settings, name)
    if tls is None:
        return None
    at = urlsplit(environment.reveal(settings.queue[name].url, f"queue.{name}.url", "store"))
    port = at.port or (_AMQPS if at.scheme == "amqps" else _REDIS)
    try:
        with (
            socket.create_connection((at.hostname or "", port), _TIMEOUT_S) as plain,
            tls.wrap_socket(plain, server_hostname=at.hostname) as way,
        ):
            return trust.ends(way)
    except OSError as exc:
        raise errors.BrokerUnavailable(
            f"{at.hostname} cannot be reached: {trust.why(exc)}",
            where=f"queue.{name}",
            fix="start it; ca_file names a private authority",
        ) from None


def _tls(settings: Settings, name: str) -> ssl.SSLContext | None:
    found = settings.queue[name]
    if not found.secured:
        return None
    files = (_file(settings, one) for one in (found.ca_file, found.client_cert))
    return trust.context(*files, where=f"queue.{name}")


def _file(settings: Settings, file: Path | None) -> Path | None:
    return None if file is None else settings.resolve(file)
