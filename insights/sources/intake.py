"""The intake: the child that redacts and hashes what comes in through doors, as readers do.

It has no network and writes nothing: texts come from strangers, and go back without what redaction
found in them.
"""

from typing import Any

from insights.governance import redact
from insights.model import Prepared, Sent, StreamSpec
from insights.sources import messages
from insights.sources.canonical import Hasher, clean
from insights.workers import serve


class Intake:
    """Answers the calls of one process with doors."""

    def __init__(self, init: messages.IntakeInit) -> None:
        self._hasher = Hasher(init.hash_key)
        former = init.hash_key_former
        self._former = None if former is None else Hasher(former)

    def handlers(self) -> dict[str, tuple[type[Any], serve.Handler]]:
        """Return what answers each call, with the type of its request."""
        return {"prepare": (messages.PrepareRequest, self.prepare)}

    def prepare(self, request: messages.PrepareRequest) -> messages.PrepareReply:
        """Redact and hash rows."""
        rows = tuple(self._prepared(request.stream, row) for row in request.rows)
        return messages.PrepareReply(rows=rows)

    def _prepared(self, stream: StreamSpec, row: Sent) -> Prepared:
        values: dict[str, str | None] = {}
        notes: list[str] = []
        for name, text in row.fields.items():
            values[name], found = clean(text, stream.max_text_chars)
            notes += [f"{name}: {note}" for note in found]
        redacted, counts = redact.row(values, stream.redaction)
        return Prepared(
            key=row.key,
            values={name: redacted[name] for name in stream.inputs},
            digests=_digests(self._hasher, values, stream),
            former_digests=_digests(self._former, values, stream),
            redactions=counts,
            notes=tuple(notes),
        )


def _digests(
    hasher: Hasher | None, values: dict[str, str | None], stream: StreamSpec
) -> dict[str, bytes]:
    if hasher is None:
        return {}
    return {name: hasher.digest([values[name]]) for name in stream.inputs}


def main() -> None:
    """Serve until the process with the doors closes."""
    with serve.connect() as server:
        init = server.init(messages.IntakeInit, reads=lambda init: () if init.confined else None)
        server.run(Intake(init).handlers())


if __name__ == "__main__":
    main()
