"""The legacy application's database: an SQLite file, and how it changes from day to day."""

import csv
import sqlite3
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path

from demo.data.people import assets, customers
from demo.data.tickets import Ticket, edits, more_tickets, removed_ticket, tickets

_COLUMNS = (
    "ticket_id",
    "customer_name",
    "customer_email",
    "asset_tag",
    "subject",
    "body",
    "status",
    "created_at",
    "updated_at",
)
_SCHEMA = """
CREATE TABLE customer (
  customer_id INTEGER NOT NULL PRIMARY KEY,
  name VARCHAR(80) NOT NULL,
  email VARCHAR(120) NOT NULL,
  phone VARCHAR(30) NOT NULL,
  department VARCHAR(40) NOT NULL,
  site VARCHAR(40) NOT NULL
);
CREATE TABLE asset (
  asset_tag VARCHAR(20) NOT NULL PRIMARY KEY,
  customer_id INTEGER NOT NULL REFERENCES customer (customer_id),
  kind VARCHAR(20) NOT NULL,
  model VARCHAR(40) NOT NULL,
  bought_on VARCHAR(10) NOT NULL
);
CREATE TABLE ticket (
  ticket_id INTEGER NOT NULL PRIMARY KEY,
  customer_name VARCHAR(80) NOT NULL,
  customer_email VARCHAR(120) NOT NULL,
  asset_tag VARCHAR(20) REFERENCES asset (asset_tag),
  subject VARCHAR(200) NOT NULL,
  body TEXT NOT NULL,
  status VARCHAR(20) NOT NULL,
  created_at VARCHAR(19) NOT NULL,
  updated_at VARCHAR(19) NOT NULL
);
CREATE INDEX ticket_updated ON ticket (updated_at, ticket_id);
CREATE INDEX asset_customer ON asset (customer_id);
"""


@dataclass(frozen=True)
class Change:
    """Which tickets a change added, edited and deleted."""

    added: tuple[int, ...]
    edited: tuple[int, ...]
    deleted: tuple[int, ...]


def build_database(path: Path) -> Path:
    """Write the helpdesk's database as it is on its first day, in place of any other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(_SCHEMA)
        database.executemany("INSERT INTO customer VALUES (?,?,?,?,?,?)", map(astuple, customers()))
        database.executemany("INSERT INTO asset VALUES (?,?,?,?,?)", map(astuple, assets()))
        _insert(database, tickets())
        database.commit()
    return path


def change_database(path: Path) -> Change:
    """Add five tickets, edit two, delete one; each call the next such change.

    What is left of an edited or deleted row after an earlier change is told by the ids returned.
    """
    with closing(sqlite3.connect(path)) as database:
        (newest,) = database.execute("SELECT max(ticket_id) FROM ticket").fetchone()
        change = max(0, newest - tickets()[-1].ticket_id) // len(more_tickets())
        added, edited, removed = more_tickets(change), edits(change), removed_ticket(change)
        _insert(database, added)
        for ticket in edited:
            database.execute(
                "UPDATE ticket SET subject = ?, body = ?, updated_at = ? WHERE ticket_id = ?",
                (ticket.subject, ticket.body, ticket.updated_at, ticket.ticket_id),
            )
        database.execute("DELETE FROM ticket WHERE ticket_id = ?", (removed,))
        database.commit()
    return Change(
        added=tuple(ticket.ticket_id for ticket in added),
        edited=tuple(ticket.ticket_id for ticket in edited),
        deleted=(removed,),
    )


def _insert(database: sqlite3.Connection, rows: tuple[Ticket, ...]) -> None:
    database.executemany(
        f"INSERT INTO ticket ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",
        [tuple(getattr(ticket, column) for column in _COLUMNS) for ticket in rows],
    )


def write_labels(path: Path) -> None:
    """Write what is true of the tickets that an article answers: labels for `insights evaluate`."""
    names = ("ticket_id", "category", "priority", "sentiment")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for ticket in tickets():
            if ticket.article_id is not None:
                writer.writerow([getattr(ticket, name) for name in names])
