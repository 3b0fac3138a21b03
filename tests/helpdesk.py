"""A legacy SQLite database for end-to-end tests, and what its sink shows."""

import sqlite3
from contextlib import closing
from pathlib import Path

SINK = (
    "CREATE TABLE ai_insight (ticket_id INTEGER NOT NULL PRIMARY KEY, category VARCHAR(32),"
    " urgent BOOLEAN, citations TEXT, insight_id BIGINT, revision BIGINT NOT NULL,"
    " status VARCHAR(16) NOT NULL, source_cursor VARCHAR(255), pipeline_version VARCHAR(64),"
    " model VARCHAR(255), generated_at DATETIME)"
)


class Helpdesk:
    """Tickets in a file."""

    def __init__(self, path: Path, rows: int = 0, *, sink: bool = True) -> None:
        self.path = path
        self.execute(
            "CREATE TABLE ticket (ticket_id INTEGER NOT NULL PRIMARY KEY, subject VARCHAR(80),"
            " body TEXT, updated_at VARCHAR(19))"
        )
        self.execute("CREATE INDEX ticket_updated ON ticket (updated_at, ticket_id)")
        if sink:
            self.execute(SINK)
        self.add(range(1, rows + 1))

    @classmethod
    def of(cls, path: Path) -> "Helpdesk":
        """Return the helpdesk in an existing file."""
        helpdesk = cls.__new__(cls)
        helpdesk.path = path
        return helpdesk

    @property
    def odbc(self) -> str:
        return f"DRIVER=SQLite3;DATABASE={self.path}"

    def add(self, ids: range) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            database.executemany(
                "INSERT INTO ticket VALUES (?, ?, ?, '2026-01-01 00:00:00')",
                [(i, f"Subject {i}", f"Body of ticket {i}.") for i in ids],
            )

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path, timeout=20)) as database, database:
            return database.execute(statement, values).fetchall()

    def keys(self) -> set[str]:
        return {str(key) for (key,) in self.execute("SELECT ticket_id FROM ticket")}

    def shown(self) -> dict[int, str]:
        """Return status by ticket, as the legacy application would see it."""
        rows = self.execute("SELECT ticket_id, status FROM ai_insight")
        return {int(str(key)): str(status) for key, status in rows}
