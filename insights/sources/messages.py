"""What travels between the supervisor and a reader."""

from typing import Literal

from insights.model import Bookmark, Finding, Row, StreamSpec, Value


class ReaderInit(Value, frozen=True):
    """A reader's first frame: which database, and the key of the hashes."""

    name: str
    odbc: str
    hash_key: bytes
    timeout_s: float


class PageRequest(Value, frozen=True):
    """Read the page after a bookmark."""

    stream: StreamSpec
    after: Bookmark | None
    by: Literal["cursor", "key"]


class FetchRequest(Value, frozen=True):
    """Read rows by key."""

    stream: StreamSpec
    keys: tuple[str, ...]


class FetchReply(Value, frozen=True):
    """The rows that are there."""

    rows: tuple[Row, ...]


class BehindRequest(Value, frozen=True):
    """Compare the replica with what was recorded of it."""

    identity: str | None
    position: str | None


class BehindReply(Value, frozen=True):
    """Whether it is another one, or older."""

    behind: bool


class WindowRequest(Value, frozen=True):
    """Measure what lies at and above a cursor."""

    stream: StreamSpec
    low: str | None


class StreamRequest(Value, frozen=True):
    """Look at one stream."""

    stream: StreamSpec


class Findings(Value, frozen=True):
    """What `insights doctor` is told."""

    findings: tuple[Finding, ...]


class TableRequest(Value, frozen=True):
    """Look at one table, `schema.table` or `table`."""

    table: str
