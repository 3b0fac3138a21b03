"""What every value is: an immutable struct, and the words that several rooms share."""

from typing import Any, Literal

import msgspec

WorkState = Literal["pending", "claimed", "done", "dead", "superseded", "missing", "cancelled"]
InsightStatus = Literal["ok", "abstained", "withheld"]
Shows = Literal["current", "stale", "tombstoned"]
Grade = Literal["L0", "L1", "L2", "L3", "L4"]
Walk = Literal["cursor", "key", "null"]  # a walk's order; `null`: by key, rows without a cursor
Json = dict[str, Any]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every value here: immutable, keyword-only, encodable as msgpack and JSON."""
