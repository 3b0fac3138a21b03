"""What supervisor and publisher say to each other."""

from insights.model import MarkSpec, Outcome, SinkResult, SinkSpec, SinkState, Told, Value


class PublisherInit(Value, frozen=True):
    """The first frame: the sink, the ODBC connection string with its password, and a seal's key."""

    spec: SinkSpec
    odbc: str
    timeout_s: float
    credential: str = ""
    seal_key: bytes | None = None


class ApplyRequest(Value, frozen=True):
    """States to be shown."""

    states: tuple[SinkState, ...]


class ApplyReply(Value, frozen=True):
    """One result a state, in the request's order."""

    results: tuple[SinkResult, ...]


class RevisionReply(Value, frozen=True):
    """The highest revision in the sink."""

    revision: int


class DdlRequest(Value, frozen=True):
    """Which engine's SQL; None is the sink's own."""

    dialect: str | None = None


class DdlReply(Value, frozen=True):
    """A script for the engine's own client, comments included."""

    script: str


class HoldsRequest(Value, frozen=True):
    """Whether a row (None: no row is asked for) or texts stand in the sink."""

    row_key: str | None
    texts: tuple[str, ...]


class Holds(Value, frozen=True):
    """What a sink has of a row: rows with content, emptied rows, rows with one of the texts."""

    rows: int = 0
    emptied: int = 0
    texts: int = 0


class DialectReply(Value, frozen=True):
    """Which engine the sink is on."""

    dialect: str


class AcknowledgerInit(Value, frozen=True):
    """The first frame: whose marks, and the ODBC connection string with its password."""

    spec: MarkSpec
    odbc: str
    timeout_s: float


class TellRequest(Value, frozen=True):
    """Outcomes to be told."""

    outcomes: tuple[Outcome, ...]


class TellReply(Value, frozen=True):
    """What each statement did, and the primary's position once all had committed."""

    told: tuple[Told, ...]
    position: str | None
