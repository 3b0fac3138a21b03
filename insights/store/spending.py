"""What the budgets of clients say of what they send (docs/budgets.md)."""

from collections.abc import Mapping, Sequence
from typing import Any

from insights import errors
from insights.model import Submission
from insights.store.postgres import Connection


def taken(
    connection: Connection,
    sql: Mapping[str, str],
    fresh: Sequence[tuple[Submission, int]],
    stands: Mapping[str, str],
) -> tuple[dict[int, errors.RequestRefused], frozenset[str]]:
    """Take what is new of its client's budgets of rows; look whether the others have room.

    Before anything else is locked, and client by client: nobody waits in a circle.

    Args:
        connection: In the transaction that accepts.
        sql: The statements of the inbox.
        fresh: Submissions, each with its pipeline.
        stands: Their rows that are known already, which cost nothing.

    Returns:
        The refusals, by the `id` of the submission, and the clients whose work is under budgets of
        tokens, seconds or money.
    """
    refused: dict[int, errors.RequestRefused] = {}
    spenders = set()
    for sent, pipeline_id in sorted(fresh, key=lambda one: one[0].client):
        if not (rows := sum(one.key not in stands for one in sent.rows)):
            continue
        values = {"client": sent.client, "rows": rows, "pipeline_id": pipeline_id}
        spent = connection.execute(sql["spent_by_client"], values).fetchone()
        if spent is not None:
            spenders.add(sent.client)
            if spent.used_up:
                refused[id(sent)] = _used_up(spent)
                continue
        found = connection.execute(sql["take_of_client"], values).fetchone()
        if found is not None:
            refused[id(sent)] = _too_much(found, rows)
    return refused, frozenset(spenders)


def _used_up(found: Any) -> errors.RequestRefused:  # noqa: ANN401 - a psycopg named tuple
    told = errors.RequestRefused(
        f"{found.used:,.10g} of {found.hard:,.10g} {found.unit} a {found.per} are used: there is no"
        " room for another row",
        where="budget",
        fix=f"send it after the {found.per} is over",
    )
    told.again_s = found.again_s
    return told


def _too_much(found: Any, rows: int) -> errors.RequestRefused:  # noqa: ANN401 - a named row
    """Return why rows are not accepted; more than there are in a whole window never will be."""
    told = errors.RequestRefused(
        f"{found.used:,.10g} of {found.hard:,.10g} rows a {found.per} were sent, and {rows:,} more"
        " are too many",
        where="budget",
        fix=f"send what is new after the {found.per} is over",
    )
    if rows > found.hard:
        told.fix = f"send at most {found.hard:,.10g} rows at once"
    else:
        told.again_s = found.again_s
    return told
