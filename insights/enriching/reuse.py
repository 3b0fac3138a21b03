"""Generations of identical requests, reused across time where a pipeline asks for it.

What is reused is what a model made, never what was thought of it: the row's own columns and
passages judge it again, and its own values are put in the place of placeholders.
"""

import hashlib
from collections.abc import Sequence

import msgspec
import structlog

from insights import errors
from insights.enriching.flight import InHand
from insights.enriching.recipe import Recipe
from insights.model import GenerateRequest

log = structlog.get_logger(__name__)


def find(recipe: Recipe, rendered: Sequence[tuple[InHand, GenerateRequest]]) -> None:
    """Give each row the generation that it may reuse, if there is one.

    It only spares a model: a store that does not answer now leaves each row its own.
    """
    asked = {
        row.claim.work_id: identity(request)
        for row, request in rendered
        if recipe.former is not None and recipe.guard.refusal(row.orders) is None
    }
    if recipe.former is None or not asked:
        return
    for row, _ in rendered:
        row.asked = asked.get(row.claim.work_id)
    try:
        found = recipe.former.made(asked)
    except (errors.Transient, errors.StoreError) as exc:
        log.warning("earlier generations could not be looked for", reason=str(exc))
        return
    for row, _ in rendered:
        row.reused = found.get(row.claim.work_id)


def identity(request: GenerateRequest) -> bytes:
    """Return the SHA-256 of all that decides a generation, but for its time allowed, which is none.

    That is more than the prompt: what quotes are taken from, and whether the row must stay here.
    """
    same = msgspec.structs.replace(request, deadline_s=0.0)
    return hashlib.sha256(msgspec.msgpack.encode(same)).digest()
