"""What comes in through doors, and what goes back: requests, tickets, and how each stands."""

import datetime as dt
from typing import Literal

from insights.model.base import InsightStatus, Json, Value

Standing = Literal["queued", "started", "done", "failed", "superseded", "cancelled", "expired"]


class Sent(Value, frozen=True):
    """A row as a client sent it, checked and not yet redacted: in memory only, never stored.

    `fields` has every column of the stream, those of the key as well; None is SQL NULL.
    """

    key: str
    fields: dict[str, str | None]


class Prepared(Value, frozen=True):
    """A row as the intake child hands it back: redacted, canonical, ready to be stored.

    `values` maps column to redacted text. `digests` are keyed BLAKE2b-128 hashes of each column's
    canonical text *before* redaction: the hash of a row over any columns is made of them.
    `former_digests` are those under the former key, if there is one. `redactions` counts
    placeholders by kind; `notes` says what was normalised.
    """

    key: str
    values: dict[str, str | None]
    digests: dict[str, bytes]
    former_digests: dict[str, bytes] = {}
    redactions: dict[str, int] = {}
    notes: tuple[str, ...] = ()


class Submission(Value, frozen=True):
    """Rows that are accepted together or not at all, for one pipeline.

    Args:
        pipeline: Whose outcome is asked for.
        rows: Each key once.
        client: Who sent them, for the audit and for `idempotency_key`.
        idempotency_key: One that was used before brings back what it brought then.
        keep_s: Seconds until the fields are forgotten, at the latest.
        deadline_s: Seconds after which it is not begun any more; None for no such bound.
    """

    pipeline: str
    rows: tuple[Prepared, ...]
    client: str
    idempotency_key: str | None = None
    keep_s: float = 86_400.0
    deadline_s: float | None = None


class Ticket(Value, frozen=True):
    """An accepted request: `id` asks for its outcome. `is_new`: there was none of this row yet."""

    id: str
    key: str
    is_new: bool


class Answer(Value, frozen=True):
    """How a request stands, and its outcome once there is one.

    `reason` says why it failed, was withheld, cancelled, superseded or expired. `output`,
    `citations` and `version` (SHA-256 of the pipeline's) are there where `standing` is `done`.
    """

    id: str
    pipeline: str
    stream: str
    key: str
    standing: Standing
    accepted_at: dt.datetime
    status: InsightStatus | None = None
    output: Json | None = None
    citations: tuple[Json, ...] = ()
    confidence: float | None = None
    reason: str | None = None
    version: str | None = None
    finished_at: dt.datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has its outcome; nothing changes it any more but another row version."""
        return self.standing not in ("queued", "started")
