"""The publisher: one child process a sink, the only one that writes to a legacy database."""

from insights.governance.seal import Seal
from insights.sinks.messages import (
    ApplyReply,
    ApplyRequest,
    DdlReply,
    DdlRequest,
    DialectReply,
    Holds,
    HoldsRequest,
    PublisherInit,
    RevisionReply,
)
from insights.sinks.sink import SinkTable
from insights.workers import serve


class Publisher:
    """Answers the supervisor's calls for one sink."""

    def __init__(self, sink: SinkTable) -> None:
        self._sink = sink

    def apply(self, request: ApplyRequest) -> ApplyReply:
        """Show states."""
        return ApplyReply(results=tuple(self._sink.apply(request.states)))

    def max_revision(self, _request: None) -> RevisionReply:
        """Tell the highest revision."""
        return RevisionReply(revision=self._sink.max_revision())

    def check(self, _request: None) -> None:
        """Look whether the sink can be written."""
        self._sink.check()

    def holds(self, request: HoldsRequest) -> Holds:
        """Tell what the sink has of a row."""
        return self._sink.holds(request.row_key, request.texts)

    def dialect(self, _request: None) -> DialectReply:
        """Tell which engine it is."""
        return DialectReply(dialect=self._sink.dialect())

    def ddl(self, request: DdlRequest) -> DdlReply:
        """Write the sink's DDL."""
        return DdlReply(script=self._sink.ddl(request.dialect))


def main() -> None:
    """Serve one sink until the supervisor closes."""
    with serve.connect() as server:
        init = server.init(PublisherInit)
        table = SinkTable(
            init.spec,
            init.odbc,
            timeout_s=init.timeout_s,
            credential=init.credential,
            seal=None if init.seal_key is None else Seal(init.seal_key),
        )
        publisher = Publisher(table)
        server.run(
            {
                "apply": (ApplyRequest, publisher.apply),
                "max_revision": (type(None), publisher.max_revision),
                "check": (type(None), publisher.check),
                "holds": (HoldsRequest, publisher.holds),
                "dialect": (type(None), publisher.dialect),
                "ddl": (DdlRequest, publisher.ddl),
            }
        )


if __name__ == "__main__":
    main()
