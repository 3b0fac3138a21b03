"""Plans in the store: what pending rows are estimated to take."""

import msgspec

from insights.governance.plan import Estimate, RowCost
from insights.store.postgres import Store
from insights.store.queries import load


class Pending(msgspec.Struct, frozen=True):
    """What waits for a live version of a pipeline. `polled`: its stream's rows are known."""

    version_id: int
    sha256: str
    pending: int
    polled: bool


class Plans:
    """Reads what plans are made from, and keeps them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("plans")

    def pending(self, pipeline: str, sha256: str) -> Pending | None:
        """Return what waits for a version, or where it is not live for the one that is full.

        None if the pipeline has never run.
        """
        values = {"pipeline": pipeline, "sha256": sha256}
        with self._store.connection() as connection:
            row = connection.execute(self._sql["to_plan"], values).fetchone()
        return None if row is None else msgspec.convert(row._asdict(), Pending)

    def cost(self, sha256: str) -> RowCost | None:
        """Return what a row of a version has taken of late; None if it has made none."""
        with self._store.connection() as connection:
            row = connection.execute(self._sql["row_cost"], {"sha256": sha256}).fetchone()
        if row is None or not row.rows:
            return None
        return RowCost(**row._asdict(), basis=f"its last {row.rows:,} rows")

    def keep(self, made: Estimate) -> None:
        """Keep the estimate of a pipeline's own model."""
        with self._store.connection() as connection:
            connection.execute(self._sql["keep_plan"], msgspec.structs.asdict(made))
