"""The demo's helpdesk: people, machines, tickets with what is true about them, and articles.

Everything is deterministic and comes from phrasings that the demo's model never saw in training.
"""

from demo.data.articles import Entry, articles, write_knowledge
from demo.data.database import build_database, change_database
from demo.data.people import Asset, Customer, assets, customers
from demo.data.tickets import Ticket, edits, more_tickets, removed_ticket, tickets

__all__ = [
    "Asset",
    "Customer",
    "Entry",
    "Ticket",
    "articles",
    "assets",
    "build_database",
    "change_database",
    "customers",
    "edits",
    "more_tickets",
    "removed_ticket",
    "tickets",
    "write_knowledge",
]
