"""Where finished rows are written: one statement for whatever finished together, exactly once."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from insights.governance.budget import Costs
from insights.model import Citation, Example, Generation, Insight
from insights.store import audit
from insights.store.postgres import Store
from insights.store.queries import load

_TAKEN = ("prompt_tokens", "reused_tokens", "sampled_tokens", "forced_tokens", "queue_ms",
          "prompt_ms", "decode_ms")  # fmt: skip


_spent = attrgetter(*_TAKEN)


class InsightStore:
    """Implements `ports.Insights` on PostgreSQL.

    Args:
        store: The store.
        holder: This daemon's name, for the audit.
        costs: What generations cost; without it they have tokens and seconds, and no price.
    """

    def __init__(self, store: Store, holder: str, costs: Costs | None = None) -> None:
        self._store = store
        self._costs = costs or Costs({}, {})
        self._holder = holder
        self._sql = load("insights")

    def write(self, finished: Sequence[Insight]) -> int:
        """Write what finished together in one transaction; return how many held their lease.

        Repeating it after a COMMIT that nobody acknowledged changes nothing: the leases are gone.
        """
        rows = [self._record(insight) for insight in finished]
        made = {insight.claim.work_id: insight for insight in finished}
        with self._store.transaction() as connection:
            values = {"rows": Jsonb(rows, dumps=_dumps)}
            # Read and planned once a connection: that takes as long as to write ten rows.
            held = connection.execute(self._sql["write"], values, prepare=True).fetchall()
            audit.append(
                connection,
                self._holder,
                (
                    audit.Event(
                        action="insight",
                        stream_id=row.stream_id,
                        row_id=row.row_id,
                        insight_id=row.insight_id,
                        details=_decision(row, made[row.work_id]),
                    )
                    for row in held
                    if row.insight_id is not None
                ),
            )
        return len(held)

    def _record(self, insight: Insight) -> dict[str, Any]:
        spent = self._costs.of(insight.claim.pipeline_version_id, insight.generation)
        money = [one.money for one in spent if one.money is not None]
        told = [
            {"model": one.model, "tokens": one.tokens, "seconds": one.seconds, "money": one.money,
             "rows": int(not at)}
            for at, one in enumerate(spent)
        ]  # fmt: skip
        return _record(insight) | {"money": sum(money) if money else None, "spent": told}


class Registry:
    """Registers sinks and facts in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("insights")

    def sink(self, name: str) -> int:
        """Record a sink; return its id."""
        return self._id("sink", {"name": name})

    def setting(self, name: str) -> str | None:
        """Return one fact, or None."""
        with self._store.connection() as connection:
            row = connection.execute(self._sql["setting"], {"name": name}).fetchone()
        return None if row is None else str(row.value)

    def set_setting(self, name: str, value: str) -> None:
        """Record one fact, once: it is never overwritten."""
        with self._store.connection() as connection:
            connection.execute(self._sql["set_setting"], {"name": name, "value": value})

    def rotate(self, name: str, check: str) -> None:
        """Record the check value of a new hash key, and ask every stream for a sweep."""
        with self._store.transaction() as connection:
            connection.execute(self._sql["rotate"], {"name": name, "value": check})

    def former_rows(self, key_version: int) -> int:
        """Return how many rows, deleted ones apart, have the hash of an older key."""
        return self._id("former_rows", {"key_version": key_version})

    def unswept(self) -> list[str]:
        """Return the streams whose rows still get hashes over other columns."""
        with self._store.connection() as connection:
            return [str(row.name) for row in connection.execute(self._sql["unswept"])]

    def _id(self, statement: str, values: dict[str, Any]) -> int:
        with self._store.transaction() as connection:
            row = connection.execute(self._sql[statement], values).fetchone()
        assert row is not None  # noqa: S101 - every such statement returns its id
        return int(row[0])


def _dumps(value: object) -> bytes:
    # PostgreSQL's jsonb has no NUL: a model that writes one would fail the whole batch.
    return msgspec.json.encode(value).replace(b"\\u0000", b"\\ufffd")


def _record(insight: Insight) -> dict[str, Any]:
    made = insight.generation
    sure = made.confidence if made is not None and insight.verdict.status == "ok" else {}
    record: dict[str, Any] = {
        "work_id": insight.claim.work_id,
        "version": insight.claim.pipeline_version_id,  # a lease keeps it
        "token": insight.claim.token,
        "status": insight.verdict.status,
        "reason": insight.verdict.reason,
        "output": insight.verdict.output,
        "confidence": min(sure.values(), default=None),
        "confidences": sure or None,
        "source_cursor": insight.source_cursor,
        "redactions": insight.redactions,
        "notes": insight.notes,
        "neighbour": _neighbour(insight.neighbour),
        "sealed": insight.sealed or None,
        "citations": [_citation(at, c) for at, c in enumerate(insight.verdict.citations)],
        "shared": made is not None and made.shared,
    }
    if insight.asked is not None and insight.verdict.status == "ok":
        record["asked"] = insight.asked.hex()
    if made is not None:
        record |= {
            "model": made.model,
            "route": made.route,
            "quotes_by": made.quotes_by if made.quotes else None,
            "reused_from": made.reused_from,
        }
    if made is not None and made.reused_from is None:
        record |= {
            **dict(zip(_TAKEN, map(sum, zip(*map(_spent, made.both), strict=True)), strict=True)),
            "compute_ms": sum(one.compute_ms for one in made.both if not one.shared),
        }
    return record


def _neighbour(nearest: Example | None) -> dict[str, Any] | None:
    if nearest is None:
        return None
    return {"uri": nearest.uri, "similarity": nearest.similarity, "output": nearest.output}


def _decision(row: Any, insight: Insight) -> dict[str, Any]:  # noqa: ANN401 - a named row
    """Return what the audit keeps of one decision: hashes, numbers and names.

    No text of a row, but for its redacted prompt where the settings ask for that.
    """
    told: dict[str, Any] = {
        "key": row.shown_key,
        "input": row.input_hash.hex,
        "version": row.version,
        "stage": row.stage,
        "status": row.status,
        "output": row.output_sha256,
        "why": row.reason_sha256,
        "prompt": insight.prompt_sha256,
        "asked": None if insight.prompt is None else insight.prompt.replace("\0", "\ufffd"),
        "passages": [[id_, round(score, 4)] for id_, score in insight.shown] or None,
    }
    if (made := insight.generation) is not None:
        told |= {
            **_taken(made),
            "reused": made.reused_from,
        }
        if made.first is not None:
            told |= {"escalated": made.escalated, "first": _taken(made.first)}
    return {name: value for name, value in told.items() if value is not None}


def _taken(made: Generation) -> dict[str, Any]:
    """Return which model made something, and what that took."""
    return {
        "model": made.model,
        "route": made.route,
        "finish": made.finish,
        "tokens": [made.prompt_tokens, made.sampled_tokens + made.forced_tokens],
        "ms": [round(ms) for ms in (made.queue_ms, made.prompt_ms, made.decode_ms)],
    }


def _citation(ordinal: int, citation: Citation) -> dict[str, Any]:
    return {
        "ordinal": ordinal,
        "field": citation.field,
        "source": citation.source,
        "passage_id": citation.passage_id,
        "uri": citation.uri,
        "title": citation.title,
        "quote": citation.quote,
        "start": citation.start,
        "stop": citation.end,
        "support": citation.support,
        "claim_start": citation.claim_start,
        "claim_end": citation.claim_end,
    }
