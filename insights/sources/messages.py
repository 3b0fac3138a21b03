"""What travels between the supervisor and a reader."""

from insights.model import (
    Bookmark,
    Finding,
    Fingerprint,
    Gap,
    Lateness,
    Prepared,
    Row,
    Sent,
    StreamSpec,
    Value,
    Walk,
)


class ReaderInit(Value, frozen=True):
    """A reader's first frame: which database, the key of the hashes, and that of seals."""

    name: str
    odbc: str
    hash_key: bytes
    timeout_s: float
    hash_key_former: bytes | None = None
    credential: str = ""
    seal_key: bytes | None = None


class PageRequest(Value, frozen=True):
    """Read the page after a bookmark."""

    stream: StreamSpec
    after: Bookmark | None
    by: Walk
    within: tuple[Gap, ...] = ()


class FetchRequest(Value, frozen=True):
    """Read rows by key."""

    stream: StreamSpec
    keys: tuple[str, ...]


class AttachmentRequest(Value, frozen=True):
    """Read the file of one row."""

    stream: StreamSpec
    key: str


class FetchReply(Value, frozen=True):
    """The rows that are there."""

    rows: tuple[Row, ...]


class BehindRequest(Value, frozen=True):
    """Compare the replica with what was recorded of it."""

    identity: str | None
    position: str | None
    now: Fingerprint | None


class BehindReply(Value, frozen=True):
    """Whether it is another one, or older."""

    behind: bool


class WindowRequest(Value, frozen=True):
    """Measure what lies at and above a cursor."""

    stream: StreamSpec
    low: str | None


class GapsRequest(Value, frozen=True):
    """Find identities that are missing between two, the latest ones first."""

    stream: StreamSpec
    low: str
    high: str
    at: float
    most: int


class GapsReply(Value, frozen=True):
    """What is missing."""

    gaps: tuple[Gap, ...]


class LatenessRequest(Value, frozen=True):
    """Tell how late rows are, against a watermark and the database's clock."""

    stream: StreamSpec
    keys: tuple[str, ...]
    below: str | None


class LatenessReply(Value, frozen=True):
    """One entry a row that is there and has a cursor."""

    rows: tuple[Lateness, ...]


class StreamRequest(Value, frozen=True):
    """Look at one stream."""

    stream: StreamSpec


class Findings(Value, frozen=True):
    """What `insights doctor` is told."""

    findings: tuple[Finding, ...]


class ScriptReply(Value, frozen=True):
    """What `insights doctor --script` prints of a stream."""

    text: str


class TableRequest(Value, frozen=True):
    """Look at one table, `schema.table` or `table`."""

    table: str


class IntakeInit(Value, frozen=True):
    """The intake child's first frame: the keys of hashes, and whether it confines itself."""

    hash_key: bytes
    hash_key_former: bytes | None = None
    confined: bool = True


class PrepareRequest(Value, frozen=True):
    """Redact and hash what was sent."""

    stream: StreamSpec
    rows: tuple[Sent, ...]


class PrepareReply(Value, frozen=True):
    """The rows, in order."""

    rows: tuple[Prepared, ...]
