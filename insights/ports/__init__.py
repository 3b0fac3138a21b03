"""The ports: what the flow needs of the outside, as Protocols that adapters implement.

Every call may raise `errors.Transient` (retry later, nobody to blame) or `errors.Permanent`
(retrying is useless).
"""

from insights.ports.doors import Inbox, Intake
from insights.ports.generation import Former, Generator
from insights.ports.knowledge import (
    Attachments,
    Documents,
    Embedder,
    Examples,
    Grounds,
    Passages,
    Recognizer,
    Reranker,
    Retriever,
)
from insights.ports.publishing import Outbox, Requests, Sink
from insights.ports.queue import Insights, Leases, Ledger, Work
from insights.ports.queues import Broker, Hook, Replies
from insights.ports.sources import Marks, Rows, Source

__all__ = [
    "Attachments",
    "Broker",
    "Documents",
    "Embedder",
    "Examples",
    "Former",
    "Generator",
    "Grounds",
    "Hook",
    "Inbox",
    "Insights",
    "Intake",
    "Leases",
    "Ledger",
    "Marks",
    "Outbox",
    "Passages",
    "Recognizer",
    "Replies",
    "Requests",
    "Reranker",
    "Retriever",
    "Rows",
    "Sink",
    "Source",
    "Work",
]
