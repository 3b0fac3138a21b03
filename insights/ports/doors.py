"""What doors need: a child that redacts, and the store's inbox."""

from collections.abc import Sequence
from typing import Protocol

from insights import errors
from insights.model import Answer, Prepared, Sent, StreamSpec, Submission, Ticket


class Intake(Protocol):
    """Redacts and hashes what clients sent, in a process of its own, by the readers' code."""

    def prepare(self, stream: StreamSpec, rows: Sequence[Sent]) -> list[Prepared]:
        """Return the rows as they may be stored, in order."""
        ...


class Inbox(Protocol):
    """Accepted requests, in the store."""

    def submit(
        self, stream: str, submissions: Sequence[Submission]
    ) -> list[tuple[Ticket, ...] | errors.RequestRefused]:
        """Accept submissions of one stream in one transaction: inbox, ledger and work together.

        No key may occur twice. Returns, for each, a ticket a row in order, or why it is refused.
        """
        ...

    def outcomes(self, ids: Sequence[str], *, delivers: bool = False) -> dict[str, Answer]:
        """Return how requests stand; unknown ids are left out.

        With `delivers`, outcomes that are there count as delivered: their fields may be forgotten.
        """
        ...

    def cancel(self, id_: str, *, actor: str) -> Answer | None:
        """Cancel a request that has no outcome yet; return how it stands, None if unknown."""
        ...

    def forget(self) -> int:
        """Delete fields whose time is over or whose outcome was delivered; return of how many."""
        ...

    def waiting(self, pipeline: str, most: int) -> int:
        """Return how many rows wait for a pipeline, counted up to `most`."""
        ...
