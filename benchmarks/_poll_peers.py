"""What `benchmarks.poll` is measured against, each in a process of its own.

    python -m benchmarks._poll_peers fetchmany ODBC    pyodbc, the page's query without limit
    python -m benchmarks._poll_peers dlt URL URL DIR BACKEND   dlt with an incremental cursor

Prints one JSON object: rows and seconds.
"""

import json
import os
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.poll import LOADED
from insights.model import StreamSpec
from insights.sources import shape
from insights.sources.session import Session
from insights.sources.statements import Statements

BATCH = 1_000


def fetchmany(odbc: str) -> tuple[int, float]:
    """Fetch the very query that the reader's pages are made of, whole, and drop the rows."""
    session = Session("erp", odbc, 600.0)
    spec = msgspec.convert(LOADED, StreamSpec)
    with session.reading() as link:
        statements = Statements(spec, shape.reflected(link, spec), session.casts)
        statement = statements.page(None, by="cursor").limit(None)
        began, rows = time.perf_counter(), 0
        cursor = link.execute(statement).cursor
        assert cursor is not None
        while found := cursor.fetchmany(BATCH):
            rows += len(found)
        return rows, time.perf_counter() - began


def load_with_dlt(source: str, destination: str, folder: str, backend: str) -> tuple[int, float]:
    """Load the table with dlt, rows appended, no merge.

    Its backend is "sqlalchemy" where none is named; "pyarrow" is its fastest without other drivers.
    """
    os.environ.update(
        DLT_DATA_DIR=folder,
        RUNTIME__DLTHUB_TELEMETRY="false",
        RUNTIME__LOG_LEVEL="CRITICAL",
        EXTRACT__WORKERS="2",
    )
    import dlt
    from dlt.sources.sql_database import sql_table

    pipeline = dlt.pipeline(
        f"bench_{backend}",
        pipelines_dir=str(Path(folder) / "pipelines"),
        destination=dlt.destinations.postgres(destination),
        dataset_name=f"peer_{backend}",
    )
    table = sql_table(
        credentials=source,
        table=LOADED["table"],
        included_columns=["id", LOADED["cursor"], *LOADED["inputs"]],
        incremental=dlt.sources.incremental(LOADED["cursor"]),
        backend=backend,
        chunk_size=50_000,
    )
    began = time.perf_counter()
    pipeline.run(table, write_disposition="append")
    spent = time.perf_counter() - began
    with pipeline.sql_client() as client:
        found = client.execute_sql(f"SELECT count(*) FROM {LOADED['table']}")
    assert found is not None
    return int(found[0][0]), spent


def main() -> None:
    """Run one of them."""
    name, *arguments = sys.argv[1:]
    rows, seconds = fetchmany(*arguments) if name == "fetchmany" else load_with_dlt(*arguments)
    print(json.dumps({"rows": rows, "seconds": seconds}))


if __name__ == "__main__":
    main()
