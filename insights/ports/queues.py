"""What the queue door needs: a broker's queue, and the store's list of what is to be replied."""

from collections.abc import Sequence
from typing import Protocol

from insights.model import QueueMessage, Reply


class Broker(Protocol):
    """One queue of a message broker, and the queues that replies go to.

    Every call may raise `errors.BrokerUnavailable`: what was not acknowledged comes again.
    """

    def waiting(self) -> int:
        """Return how many messages the queue has; takes none."""
        ...

    def receive(self, timeout_s: float) -> list[QueueMessage]:
        """Return messages that came, as many as may be unacknowledged; wait for the first."""
        ...

    def accept(self, message: QueueMessage) -> None:
        """Acknowledge a message: it does not come again."""
        ...

    def refuse(self, message: QueueMessage, reason: str) -> None:
        """Put a message where those go that are no valid request, with the reason."""
        ...

    def reply(self, reply: Reply, body: bytes) -> None:
        """Tell an outcome; it is with the broker when this returns.

        Raises:
            errors.RequestRefused: If there is no such queue.
        """
        ...

    def close(self) -> None:
        """End the connection; what was not acknowledged goes back."""
        ...


class Replies(Protocol):
    """What is to be replied, in the store."""

    def keep(
        self, door: str, message: QueueMessage, request_ids: Sequence[str], address: str
    ) -> None:
        """Remember where the outcomes of a message's requests go; a second time changes nothing."""
        ...

    def due(self, door: str, after: int, window: int, most: int) -> tuple[list[Reply], int]:
        """Return replies that nobody is about to send and whose requests may be over.

        Of the next `window` open ones by number, up to `most`; and where the next window begins.
        """
        ...

    def sent(self, numbers: Sequence[int]) -> None:
        """Remember that replies are with the broker."""
        ...

    def failed(self, number: int, reason: str) -> None:
        """Try a reply again later, and give it up after many times."""
        ...
