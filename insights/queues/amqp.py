"""The one door to `pika`: AMQP 0-9-1, as RabbitMQ speaks it.

Acknowledged by hand, published with confirms, a bounded number unacknowledged. Queues are
declared by whoever runs the broker: what is not there is an error that names it.
"""

import contextlib
import ssl
from collections import deque
from collections.abc import Iterator

import pika
import pika.exceptions

from insights import errors
from insights.model import QueueMessage, Reply

_TIMEOUT_S = 10.0
_HEARTBEAT_S = 30


class AmqpBroker:
    """Implements `ports.Broker` over one connection.

    Args:
        url: Its address, such as `amqps://user:password@host:5671/vhost`.
        queue: What messages are taken from.
        dead: The queue of messages that are no request; "" leaves them to the queue's own
            dead-letter exchange.
        prefetch: Most unacknowledged messages.
        tls: What TLS is spoken with, where the address asks for it.

    Raises:
        errors.BrokerUnavailable: If it cannot be reached, or refuses.
    """

    def __init__(
        self, url: str, queue: str, *, dead: str, prefetch: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._queue = queue
        self._dead = dead
        self._came: deque[QueueMessage] = deque()
        parameters = pika.URLParameters(url)
        if tls is not None:
            parameters.ssl_options = pika.SSLOptions(tls, parameters.host)
        parameters.heartbeat = _HEARTBEAT_S
        parameters.socket_timeout = parameters.stack_timeout = _TIMEOUT_S
        parameters.blocked_connection_timeout = _TIMEOUT_S
        with _translated(queue):
            self._connection = pika.BlockingConnection(parameters)
            try:
                self._channel = self._connection.channel()
                self._channel.basic_qos(prefetch_count=prefetch)
                self._channel.confirm_delivery()
            except BaseException:
                self.close()
                raise

    def waiting(self) -> int:
        """Return how many messages wait in the queue, and look whether the dead ones' is there."""
        with _translated(self._queue):
            if self._dead:
                self._channel.queue_declare(self._dead, passive=True)
            found = self._channel.queue_declare(self._queue, passive=True)
            return int(found.method.message_count)

    def receive(self, timeout_s: float) -> list[QueueMessage]:
        """Return what came; see `ports.Broker`."""
        if not self._came:
            with _translated(self._queue):
                if not self._channel.consumer_tags:
                    self._channel.basic_consume(self._queue, self._arrived)
                self._connection.process_data_events(time_limit=timeout_s)
        found = list(self._came)
        self._came.clear()
        return found

    def accept(self, message: QueueMessage) -> None:
        """Acknowledge a message."""
        with _translated(self._queue):
            self._channel.basic_ack(int(message.handle))

    def refuse(self, message: QueueMessage, reason: str) -> None:
        """Publish a message to the dead ones with its reason, or reject it for good."""
        if not self._dead:
            with _translated(self._queue):
                self._channel.basic_reject(int(message.handle), requeue=False)
            return
        headers = {"x-reason": reason[:1_000], "x-queue": self._queue}
        kept = pika.BasicProperties(
            delivery_mode=2, message_id=message.id, correlation_id=message.correlation,
            reply_to=message.reply_to, headers=headers,
        )  # fmt: skip
        try:
            self._publish(self._dead, message.body, kept)
        except errors.RequestRefused as exc:
            raise errors.BrokerUnavailable(exc.what, where=self._queue, fix=exc.fix) from exc
        self.accept(message)

    def reply(self, reply: Reply, body: bytes) -> None:
        """Publish an outcome and wait for the broker's confirmation."""
        told = pika.BasicProperties(
            content_type="application/json", delivery_mode=2, message_id=reply.request_id,
            correlation_id=reply.correlation,
        )  # fmt: skip
        self._publish(reply.address, body, told)

    def close(self) -> None:
        """End the connection; what was not acknowledged goes back to the queue."""
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            self._connection.close()

    def _publish(self, queue: str, body: bytes, properties: pika.BasicProperties) -> None:
        with _translated(queue):
            try:
                self._channel.basic_publish("", queue, body, properties, mandatory=True)
            except pika.exceptions.UnroutableError:
                raise errors.RequestRefused(
                    f"there is no queue {queue!r}", where=self._queue, fix="declare it"
                ) from None

    def _arrived(
        self,
        _channel: object,
        method: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        self._came.append(
            QueueMessage(
                id=properties.message_id or properties.correlation_id or "",
                body=body,
                handle=str(method.delivery_tag),
                reply_to=properties.reply_to,
                correlation=properties.correlation_id,
                is_redelivered=method.redelivered,
            )
        )


@contextlib.contextmanager
def _translated(queue: str) -> Iterator[None]:
    """Say what pika's errors mean; their texts may hold the address with its password."""
    try:
        yield
    except pika.exceptions.ChannelClosedByBroker as exc:
        raise errors.BrokerUnavailable(
            f"the broker refused: {exc.reply_code} {exc.reply_text}",
            where=f"queue {queue}",
            fix="declare the queue, and let the user read and write it",
        ) from None
    except pika.exceptions.ProbableAuthenticationError:
        raise errors.BrokerUnavailable(
            "the broker refused the user or the password", where=f"queue {queue}"
        ) from None
    except (pika.exceptions.AMQPError, OSError) as exc:
        raise errors.BrokerUnavailable(
            f"the broker does not answer ({type(exc).__name__})", where=f"queue {queue}"
        ) from None
