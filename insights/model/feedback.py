"""What people said of an insight."""

from typing import Literal
from uuid import UUID

from insights.model.base import Json, Value


class Said(Value, frozen=True):
    """One verdict: on which row and output, and what the version that made it reads of a row.

    `prompt` is the SHA-256 of what the model was asked; None where the audit has it no more.
    """

    insight_id: int
    row_key: str
    verdict: Literal["right", "wrong"]
    corrected: Json | None
    output: Json
    input_hash: UUID
    version: str
    columns: tuple[str, ...]
    prompt: str | None = None


class Shown(Value, frozen=True):
    """An insight that a row shows."""

    row_id: int
    row_key: str
    insight_id: int
    output: Json


class Spoken(Value, frozen=True):
    """What columns say of an insight; `verdict` is None where they say nothing, or no more."""

    insight_id: int
    verdict: Literal["right", "wrong"] | None
    corrected: Json | None
