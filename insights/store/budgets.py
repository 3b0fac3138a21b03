"""Budgets in the store: what they bound. Claims reserve of them and writes settle, elsewhere."""

from collections.abc import Mapping, Sequence

import msgspec

from insights.store import audit
from insights.store.postgres import Store
from insights.store.queries import load


class Budget(msgspec.Struct, frozen=True):
    """A budget as the settings say it; `reserves` is what a row takes of it, by version.

    Rows of versions in `yields` go to their pipeline's other model once it is used up.
    A `client`'s of rows has none: what it sends is taken when it is accepted (`store.inbox`).
    """

    name: str
    concerns: str
    model: str | None
    unit: str
    per: str
    time_zone: str
    soft: float | None
    hard: float | None
    reserves: Mapping[int, float]
    client: str | None = None
    yields: frozenset[int] = frozenset()


class Budgets:
    """Puts versions under budgets.

    Args:
        store: The store.
        actor: Who does so, for the audit.
    """

    def __init__(self, store: Store, actor: str) -> None:
        self._store = store
        self._actor = actor
        self._sql = load("budgets")

    def put(self, budgets: Sequence[Budget], versions: Sequence[int]) -> None:
        """Put these versions under these budgets, and under no other.

        What was used of a budget stays where only its bounds change. Each statement is by itself:
        who claims holds budgets in their order, and would wait in a circle with a transaction here.
        """
        ids = {budget.name: self._declare(budget) for budget in budgets}
        with self._store.connection() as connection:
            bound = [budget.name for budget in budgets if budget.client is not None]
            connection.execute(self._sql["unbind_clients"], {"names": bound})
        for version in versions:
            under = [budget for budget in budgets if version in budget.reserves]
            values = {
                "version_id": version,
                "budgets": [ids[budget.name] for budget in under],
                "reserves": [budget.reserves[version] for budget in under],
                "yields": [version in budget.yields for budget in under],
            }
            with self._store.connection() as connection:
                connection.execute(self._sql["put_under"], values)

    def _declare(self, budget: Budget) -> int:
        facts = msgspec.structs.asdict(budget)
        del facts["reserves"], facts["yields"]
        with self._store.transaction() as connection:
            row = connection.execute(self._sql["declare"], facts).fetchone()
            assert row is not None  # noqa: S101 - it always returns its row
            if row.changed:
                audit.append(connection, self._actor, [audit.Event("budget set", details=facts)])
            return int(row.budget_id)
