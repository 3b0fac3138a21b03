"""What polls, sweeps and the pipeline need of legacy databases."""

from collections.abc import Sequence
from typing import Protocol

from insights.model import (
    Bookmark,
    Fingerprint,
    Gap,
    Lateness,
    Outcome,
    Page,
    Row,
    StreamShape,
    StreamSpec,
    Told,
    Walk,
    Window,
)


class Rows(Protocol):
    """Where the pipeline reads claimed rows: a legacy database, or a door's inbox."""

    def fetch(self, stream: StreamSpec, keys: Sequence[str]) -> list[Row]:
        """Return the rows with these keys as they are now, redacted; absent rows are left out."""
        ...

    def is_behind(
        self, identity: str | None, position: str | None, now: Fingerprint | None = None
    ) -> bool:
        """Tell whether the replica is another one than recorded, or an older copy of it.

        With `now`, a fingerprint just taken, the database is not asked again.
        """
        ...


class Source(Rows, Protocol):
    """A legacy database, read over ODBC by a child process of its own. Only ever reads."""

    def fingerprint(self) -> Fingerprint:
        """Return which replica answers and how far it has applied."""
        ...

    def page(
        self,
        stream: StreamSpec,
        after: Bookmark | None,
        *,
        by: Walk,
        within: Sequence[Gap] = (),
    ) -> Page:
        """Return the next keyset page after a bookmark, only of some gaps if these are given."""
        ...

    def gaps(
        self, stream: StreamSpec, low: str, high: str, *, at: float, most: int
    ) -> tuple[Gap, ...]:
        """Return what is missing of an identity between two values, the latest gaps first."""
        ...

    def lateness(
        self, stream: StreamSpec, keys: Sequence[str], below: str | None
    ) -> tuple[Lateness, ...]:
        """Tell how late rows are: below the watermark or not, and how old their cursors are."""
        ...

    def window(self, stream: StreamSpec, low: str | None) -> Window:
        """Count what stands at or above a cursor (from the start, if None), by the index alone."""
        ...

    def inspect(self, stream: StreamSpec) -> StreamShape:
        """Return what is read of the stream; refuse what cannot be read or has no unique key."""
        ...

    def reread(self, stream: StreamSpec, keys: Sequence[str]) -> Page:
        """Return a page of the rows with these keys, marked as pending or not."""
        ...


class Marks(Protocol):
    """The marks of a stream's rows on the primary, changed over ODBC by a child of its own."""

    def tell(self, outcomes: Sequence[Outcome]) -> tuple[list[Told], str | None]:
        """Change the marks that still have their old value; return the position after that."""
        ...
