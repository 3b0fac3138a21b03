"""Messages that a door takes from a queue, and the replies to them."""

from insights.model.base import Value


class QueueMessage(Value, frozen=True):
    """One message: `id` is what the queue or its sender calls it, the same when it comes again.

    `handle` is the adapter's own, to acknowledge it by. `reply_to` and `correlation` are where its
    sender wants the outcome, and what it is to carry. `is_redelivered`: the broker gave it before.
    """

    id: str
    body: bytes
    handle: str
    reply_to: str | None = None
    correlation: str | None = None
    is_redelivered: bool = False


class Reply(Value, frozen=True):
    """A request whose outcome is to be told on a queue; `number` is the store's."""

    number: int
    request_id: str
    address: str
    correlation: str | None = None
