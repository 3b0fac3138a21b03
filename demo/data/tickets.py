"""The demo's tickets, with the truth about each."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from demo.data.articles import Entry, articles
from demo.data.people import Customer, assets, customers
from demo.model.grammar import Issue, issues
from demo.model.rows import write

_FIRST, _COUNT, _MORE = 1001, 300, 5
_ANSWERED = 0.85  # of the tickets; the others are about issues without an article
_BEGIN = datetime(2026, 10, 19, 7, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Ticket:
    """A row of the table `ticket`; from `category` on, the truth, which the table does not have.

    Times are texts in UTC, `YYYY-MM-DD HH:MM:SS`. `article_id` and `next_step` are None where no
    article answers.
    """

    ticket_id: int
    customer_name: str
    customer_email: str
    asset_tag: str
    subject: str
    body: str
    status: str
    created_at: str
    updated_at: str
    category: str
    priority: str
    sentiment: str
    article_id: str | None
    problem: str
    next_step: str | None


@lru_cache(maxsize=1)
def tickets() -> tuple[Ticket, ...]:
    """Return the 300 tickets that the helpdesk begins with, by ticket id."""
    seen: set[str] = set()
    return tuple(_ticket(number, seen) for number in range(_FIRST, _FIRST + _COUNT))


def more_tickets(change: int = 0) -> tuple[Ticket, ...]:
    """Return the five tickets of the n-th change (from 0), dated now."""
    first = _FIRST + _COUNT + change * _MORE
    now = _text(datetime.now(UTC))
    seen = {ticket.problem for ticket in tickets()}
    return tuple(
        replace(_ticket(number, seen), status="open", created_at=now, updated_at=now)
        for number in range(first, first + _MORE)
    )


def edits(change: int = 0) -> tuple[Ticket, ...]:
    """Return two of `tickets()` as the n-th change leaves them: other problems, dated now."""
    now = _text(datetime.now(UTC))
    seen = {ticket.problem for ticket in tickets()}
    found = []
    for at in (7 + 2 * change, 8 + 2 * change):
        old = tickets()[at % _COUNT]
        new = _ticket(old.ticket_id, seen, salt=f"edit {change}")
        found.append(
            replace(
                new,
                customer_name=old.customer_name,
                customer_email=old.customer_email,
                asset_tag=old.asset_tag,
                status=old.status,
                created_at=old.created_at,
                updated_at=now,
            )
        )
    return tuple(found)


def removed_ticket(change: int = 0) -> int:
    """Return the id of the ticket that the n-th change deletes."""
    return _FIRST + _COUNT - 1 - change % (_COUNT // 2)


def _ticket(number: int, seen: set[str], salt: str = "ticket") -> Ticket:
    rng = random.Random(f"{salt} {number}")
    person = rng.choice(customers())
    asset = next(asset for asset in assets() if asset.customer_id == person.customer_id)
    entry, issue = _about(rng)
    text = write(rng, issue, held=True, signed=_signature(rng, person), marks=False)
    while text.problem in seen:
        text = write(rng, issue, held=True, signed=_signature(rng, person), marks=False)
    seen.add(text.problem)
    created = _BEGIN + timedelta(hours=(number - _FIRST) * 2.6, minutes=rng.randint(0, 120))
    updated = created + timedelta(minutes=rng.choice((0, 0, 0, 5, 40, 600)))
    return Ticket(
        ticket_id=number,
        customer_name=person.name,
        customer_email=person.email,
        asset_tag=asset.asset_tag,
        subject=text.subject,
        body=text.body,
        status=rng.choice(("open", "open", "open", "in progress", "waiting")),
        created_at=_text(created),
        updated_at=_text(updated),
        category=text.category,
        priority=text.priority,
        sentiment=text.sentiment,
        article_id=entry.article_id if entry else None,
        problem=text.problem,
        next_step=entry.article.answer if entry else None,
    )


def _about(rng: random.Random) -> tuple[Entry | None, Issue]:
    if rng.random() < _ANSWERED:
        entry = rng.choice(articles())
        return entry, entry.issue
    answered = {entry.issue.name for entry in articles()}
    return None, rng.choice([issue for issue in issues() if issue.name not in answered])


def _signature(rng: random.Random, person: Customer) -> str:
    first = person.name.split()[0]
    return rng.choice(
        (
            first,
            person.name,
            f"{person.name}\n{person.department}, {person.site}",
            f"{person.name}\n{person.phone}",
            f"{person.name}\nTel. {person.phone}\n{person.email}",
        )
    )


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
