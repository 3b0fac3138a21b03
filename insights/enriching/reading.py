"""Claimed rows as they are now: unchanged ones go on, newer ones are followed, gone ones left."""

from collections.abc import Sequence

from insights.enriching.failures import Failures
from insights.enriching.flight import Flight, InHand
from insights.enriching.recipe import Recipe
from insights.ground import metrics
from insights.model import Claim, Row
from insights.ports import Work

STALE_RETRY_S = 15.0  # a replica that showed an older copy needs time to catch up


class Reading:
    """Reads claimed rows.

    Args:
        work: The queue.
        flight: What is held; rows that do not go on are dropped from it.
        failures: Told what was read well, and what is put off.
    """

    def __init__(self, work: Work, flight: Flight, failures: Failures) -> None:
        self._work = work
        self._flight = flight
        self._failures = failures

    def rows(self, recipe: Recipe, claims: Sequence[Claim]) -> list[InHand]:
        """Fetch rows by key; the reader has redacted them."""
        found = _fetched(recipe, claims)
        self._failures.passed("read", recipe)
        absent = [claim for claim in claims if claim.row_key not in found]
        if absent:
            with self._flight.leaving(absent):
                self._work.missing(absent)
                self._flight.drop(absent)
            metrics.MISSING.labels(recipe.name).inc(len(absent))
        rows = [InHand(claim=c, row=found[c.row_key]) for c in claims if c.row_key in found]
        same = [row for row in rows if row.row.input_hash == row.claim.input_hash]
        former = [row for row in rows if row.row.former_hash == row.claim.input_hash]
        if former:  # the same inputs: only the key of the hash is another
            self._work.restamp([(row.claim, row.row) for row in former])
        known = {row.claim.work_id for row in (*same, *former)}
        changed = [row for row in rows if row.claim.work_id not in known]
        return same + former + self._follow(recipe, changed)

    def _follow(self, recipe: Recipe, changed: Sequence[InHand]) -> list[InHand]:
        """Rows with another hash than claimed: follow a newer copy that two readings agree on."""
        if not changed:
            return []
        claims = [row.claim for row in changed]
        if recipe.source.is_behind(*self._work.recorded(recipe.stream.name)):
            self._failures.put_off(claims, "the replica showed an older copy", STALE_RETRY_S)
            return []
        again = _fetched(recipe, claims)  # read after the position was asked for
        hashes = {key: row.input_hash for key, row in again.items()}
        torn = [r.claim for r in changed if hashes.get(r.row.key) != r.row.input_hash]
        self._failures.put_off(torn, "the row changed between two readings", STALE_RETRY_S)
        moves = [(c, again[c.row_key]) for c in claims if c not in torn]
        with self._flight.leaving(claims):
            moved = {claim.row_key: claim for claim in self._work.move(moves)}
            self._flight.drop(claims)
        followed = [InHand(claim=moved[r.key], row=r) for _, r in moves if r.key in moved]
        self._flight.hold([row.claim for row in followed])
        return followed


def _fetched(recipe: Recipe, claims: Sequence[Claim]) -> dict[str, Row]:
    rows = recipe.source.fetch(recipe.stream, [claim.row_key for claim in claims])
    return {row.key: row for row in rows}
