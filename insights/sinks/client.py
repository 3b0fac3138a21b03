"""The supervisor's side of sinks and marks: the ports, answered by a child process each."""

from collections.abc import Sequence

from insights.model import MarkSpec, Outcome, SinkResult, SinkSpec, SinkState, Told
from insights.sinks.messages import (
    AcknowledgerInit,
    ApplyReply,
    ApplyRequest,
    DdlReply,
    DdlRequest,
    DialectReply,
    Holds,
    HoldsRequest,
    PublisherInit,
    RevisionReply,
    TellReply,
    TellRequest,
)
from insights.workers.process import Standing, Worker

_GRACE_S = 15.0  # past the driver's own timeout, before the publisher is killed


class SinkClient:
    """Implements `ports.Sink` over a child process.

    Args:
        spec: The sink.
        odbc: The connection string of a login that may write its table, password included.
        timeout_s: Seconds that one statement may take.
        credential: What holds the password, for messages.
        seal_key: Opens what placeholders stand for; None where nothing is restored.
    """

    def __init__(
        self,
        spec: SinkSpec,
        odbc: str,
        *,
        timeout_s: float = 30.0,
        credential: str = "",
        seal_key: bytes | None = None,
    ) -> None:
        self.name = spec.name
        self._deadline_s = timeout_s + _GRACE_S
        self._worker = Worker(
            "insights.sinks.publisher",
            PublisherInit(
                spec=spec,
                odbc=odbc,
                timeout_s=timeout_s,
                credential=credential,
                seal_key=seal_key,
            ),
            name=f"publisher {spec.name}",
            in_place=True,
        )

    @property
    def pid(self) -> int | None:
        """The living publisher's process id."""
        return self._worker.pid

    @property
    def standing(self) -> Standing:
        """What the calls so far tell of the sink; asks nothing."""
        return self._worker.standing

    def apply(self, states: Sequence[SinkState]) -> list[SinkResult]:
        """Show states; see `ports.Sink`."""
        request = ApplyRequest(states=tuple(states))
        reply = self._worker.call("apply", request, ApplyReply, deadline_s=self._deadline_s)
        return list(reply.results)

    def max_revision(self) -> int:
        """Return the highest revision in the sink."""
        call = self._worker.call
        return call("max_revision", None, RevisionReply, deadline_s=self._deadline_s).revision

    def check(self) -> None:
        """Raise the first thing that keeps us from writing the sink; change nothing."""
        self._worker.call("check", None, type(None), deadline_s=self._deadline_s)

    def holds(self, row_key: str | None, texts: Sequence[str]) -> Holds:
        """Return what the sink has of a row, and in how many rows one of the texts stands."""
        request = HoldsRequest(row_key=row_key, texts=tuple(texts))
        return self._worker.call("holds", request, Holds, deadline_s=self._deadline_s)

    def dialect(self) -> str:
        """Return the name of the engine's dialect, as `ddl` takes it."""
        call = self._worker.call
        return call("dialect", None, DialectReply, deadline_s=self._deadline_s).dialect

    def ddl(self, dialect: str | None = None) -> str:
        """Return the script a DBA runs to make the sink."""
        request = DdlRequest(dialect=dialect)
        return self._worker.call("ddl", request, DdlReply, deadline_s=self._deadline_s).script

    def close(self, drain_s: float = 5.0) -> None:
        """End the publisher."""
        self._worker.close(drain_s)


class MarksClient:
    """Implements `ports.Marks` over a child process.

    Args:
        spec: Whose marks.
        odbc: The connection string of a login that may change them, password included.
        timeout_s: Seconds that one statement may take.
    """

    def __init__(self, spec: MarkSpec, odbc: str, *, timeout_s: float = 30.0) -> None:
        self.spec = spec
        self._deadline_s = timeout_s + _GRACE_S
        self._worker = Worker(
            "insights.sinks.acknowledger",
            AcknowledgerInit(spec=spec, odbc=odbc, timeout_s=timeout_s),
            name=f"acknowledger {spec.stream}",
            in_place=True,
        )

    @property
    def standing(self) -> Standing:
        """What the calls so far tell of the primary; asks nothing."""
        return self._worker.standing

    def tell(self, outcomes: Sequence[Outcome]) -> tuple[list[Told], str | None]:
        """Tell outcomes; see `ports.Marks`."""
        request = TellRequest(outcomes=tuple(outcomes))
        reply = self._worker.call("tell", request, TellReply, deadline_s=self._deadline_s)
        return list(reply.told), reply.position

    def check(self) -> None:
        """Raise the first thing that keeps us from changing marks; change nothing."""
        self._worker.call("check", None, type(None), deadline_s=self._deadline_s)

    def close(self, drain_s: float = 5.0) -> None:
        """End the acknowledger."""
        self._worker.close(drain_s)
