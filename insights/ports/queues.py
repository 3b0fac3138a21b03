"""What tells outcomes: a broker's queue, a webhook, and the store's list of what is to be told."""

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
        self,
        door: str,
        request_ids: Sequence[str],
        address: str,
        *,
        message: str = "",
        correlation: str | None = None,
    ) -> None:
        """Remember where the outcomes of requests go; a second time changes nothing.

        `message` is what asked for them: another one is told as well. `correlation` goes with it.
        """
        ...

    def due(
        self, door: str, after: int, window: int, most: int, *, in_hand_s: float = 20.0
    ) -> tuple[list[Reply], int]:
        """Return replies that nobody is about to send and whose requests may be over.

        Of the next `window` open ones by number, up to `most`; and where the next window begins.
        They are ours for `in_hand_s`: a process that is killed keeps them from others so long.
        """
        ...

    def sent(self, numbers: Sequence[int]) -> None:
        """Remember that replies are where they were to go."""
        ...

    def failed(self, number: int, reason: str, *, most: int = 20, longest_s: float = 600.0) -> None:
        """Try a reply again later, and give it up after `most` times.

        Pauses double from a second to `longest_s`, a quarter more or less by chance.
        """
        ...


class Hook(Protocol):
    """An address that takes outcomes over HTTP."""

    def post(self, address: str, made: str, body: bytes) -> bool:
        """Tell one outcome, with a name that is the same when it is told again.

        `address` is "" for the hook's own. Returns False if it never will be taken.

        Raises:
            errors.ReceiverUnavailable: If the server is not there, or says to come later.
            errors.RequestRefused: If it does not take this one, now.
        """
        ...
