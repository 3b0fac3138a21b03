"""The acknowledger: one child process a stream that names `acknowledge` or `reject`.

Apart from the sink's publisher, so that neither process holds the other's login.
"""

from insights.sinks.marks import MarkTable
from insights.sinks.messages import AcknowledgerInit, TellReply, TellRequest
from insights.workers import serve


class Acknowledger:
    """Answers the supervisor's calls for one stream's marks."""

    def __init__(self, marks: MarkTable) -> None:
        self._marks = marks

    def tell(self, request: TellRequest) -> TellReply:
        """Tell outcomes."""
        told, position = self._marks.tell(request.outcomes)
        return TellReply(told=tuple(told), position=position)

    def check(self, _request: None) -> None:
        """Look whether the marks can be changed."""
        self._marks.check()


def main() -> None:
    """Serve one stream's marks until the supervisor closes."""
    with serve.connect() as server:
        init = server.init(AcknowledgerInit)
        acknowledger = Acknowledger(MarkTable(init.spec, init.odbc, timeout_s=init.timeout_s))
        server.run(
            {
                "tell": (TellRequest, acknowledger.tell),
                "check": (type(None), acknowledger.check),
            }
        )


if __name__ == "__main__":
    main()
