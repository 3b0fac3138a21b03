"""Customers of the helpdesk and the machines they have."""

import random
from dataclasses import dataclass
from functools import lru_cache

from demo.model.grammar import names

_CUSTOMERS = 120
_DOMAIN = "hartmann-logistics.example"
_KINDS = (
    ("Notebook", "NB", ("ThinkPad T14", "EliteBook 840", "Latitude 5440", "Surface Laptop 5")),
    ("Desktop", "PC", ("OptiPlex 7010", "ProDesk 400", "ThinkCentre M70")),
    ("Phone", "PH", ("iPhone 14", "Galaxy A54", "Pixel 8")),
    ("Tablet", "TB", ("iPad 10", "Galaxy Tab Active")),
)


@dataclass(frozen=True)
class Customer:
    """A person who may write tickets."""

    customer_id: int
    name: str
    email: str
    phone: str
    department: str
    site: str


@dataclass(frozen=True)
class Asset:
    """A machine with its tag, and whose it is."""

    asset_tag: str
    customer_id: int
    kind: str
    model: str
    bought_on: str


@lru_cache(maxsize=1)
def customers() -> tuple[Customer, ...]:
    """Return 120 people with different names."""
    rng = random.Random("customers")
    people = [name.split(" ", 1) for name in names("person", held=True)]
    pairs = [(first, last) for first, _ in people for _, last in people]
    departments = ("Accounting", "Sales", "Purchasing", "Warehouse", "Quality", "HR", "Dispatch")
    return tuple(
        Customer(
            customer_id=number,
            name=f"{first} {last}",
            email=f"{first}.{last}@{_DOMAIN}".lower().replace(" ", ""),
            phone=f"+49 30 2345{rng.randint(1000, 9999)}",
            department=rng.choice(departments),
            site=rng.choice(("Berlin", "Hamburg", "Leipzig", "Rotterdam")),
        )
        for number, (first, last) in enumerate(rng.sample(pairs, _CUSTOMERS), 1)
    )


@lru_cache(maxsize=1)
def assets() -> tuple[Asset, ...]:
    """Return one to two machines a customer."""
    rng = random.Random("assets")
    found: list[Asset] = []
    for customer in customers():
        for kind, prefix, models in rng.sample(_KINDS, rng.choice((1, 1, 2))):
            found.append(
                Asset(
                    asset_tag=f"{prefix}-{20_000 + len(found) * 7}",
                    customer_id=customer.customer_id,
                    kind=kind,
                    model=rng.choice(models),
                    bought_on=f"20{rng.randint(21, 25)}-{rng.randint(1, 12):02}-01",
                )
            )
    return tuple(found)
