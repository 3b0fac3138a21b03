"""Queues: a listener each, with its broker."""

from functools import partial

from insights import errors
from insights.doors.accepting import Doors
from insights.doors.listening import Listening
from insights.ground import environment
from insights.ports import Broker
from insights.site.queues import QueueSettings
from insights.store.replies import Replies
from insights.wiring.app import App


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
                partial(broker, name, found),
                opened,
                replies,
                reply_to=found.replies or "",
                answers=found.reply_to,
            )
        )
    return made


def broker(name: str, found: QueueSettings) -> Broker:
    """Return a connection to a queue's broker.

    Raises:
        errors.BrokerUnavailable: If it cannot be reached, or refuses.
    """
    url = environment.reveal(found.url, f"queue.{name}.url", "store")
    if found.protocol == "amqp":
        from insights.queues.amqp import AmqpBroker  # noqa: PLC0415 - only where one is used

        return AmqpBroker(url, found.queue, dead=found.dead or "", prefetch=found.prefetch)
    from insights.queues.redis_streams import RedisBroker  # noqa: PLC0415

    consumer = f"{environment.host_name()}-{name}"
    return RedisBroker(
        url, found.queue, dead=found.dead or "", prefetch=found.prefetch, consumer=consumer
    )
