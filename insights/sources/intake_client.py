"""The side of the process with the doors: the port `Intake`, answered by an intake child."""

from collections.abc import Sequence

import msgspec

from insights.governance import redact
from insights.model import Prepared, Row, Sent, StreamSpec
from insights.ports import Recognizer
from insights.sources import messages
from insights.workers.confinement import Held
from insights.workers.process import Worker

_DEADLINE_S = 30.0
_PER_CHARACTER_S = 0.00005  # redaction reads a thousand characters in less than a millisecond


class IntakeClient:
    """Implements `ports.Intake` over a child process.

    Args:
        hash_key: The credential `hash_key`.
        hash_key_former: The key before it, while rows are still known by that one.
        recognizer: Finds names for streams that have a model for it.
        confined: Whether the child is left nothing but its libraries.
    """

    def __init__(
        self,
        hash_key: bytes,
        *,
        hash_key_former: bytes | None = None,
        recognizer: Recognizer | None = None,
        confined: bool = True,
    ) -> None:
        self._recognizer = recognizer
        self._worker = Worker(
            "insights.sources.intake",
            messages.IntakeInit(
                hash_key=hash_key, hash_key_former=hash_key_former, confined=confined
            ),
            name="intake",
        )

    @property
    def pid(self) -> int | None:
        """The living child's process id."""
        return self._worker.pid

    def prepare(self, stream: StreamSpec, rows: Sequence[Sent]) -> list[Prepared]:
        """Return the rows as they may be stored; see `ports.Intake`.

        Raises:
            errors.WorkerDied: If the child ended over these rows, or was late.
        """
        request = messages.PrepareRequest(stream=stream, rows=tuple(rows))
        length = sum(len(text or "") for row in rows for text in row.fields.values())
        deadline_s = _DEADLINE_S + _PER_CHARACTER_S * length
        call = self._worker.call
        found = call("prepare", request, messages.PrepareReply, deadline_s=deadline_s).rows
        if stream.names is None:
            return list(found)
        shown = [
            Row(
                key=one.key,
                input_hash=b"",
                cursor=None,
                values=one.values,
                redactions=one.redactions,
                notes=one.notes,
            )
            for one in found
        ]
        named = redact.names_in_rows(shown, stream.names, self._recognizer)
        return [
            msgspec.structs.replace(
                one, values=row.values, redactions=row.redactions, notes=row.notes
            )
            for one, row in zip(found, named, strict=True)
        ]

    def held(self) -> Held:
        """Let the child try what it must not be able to do."""
        return self._worker.held()

    def close(self, drain_s: float = 5.0) -> None:
        """End the child."""
        self._worker.close(drain_s)
