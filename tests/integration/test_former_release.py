"""A daemon of the former schema that still runs while the store moves on: its statements hold.

With a release `sql/store` is copied to `former/store`, and `AT` is the revision it was written
for: the one that a schema names which says that it serves it (`test_rolling_upgrade.py`).
"""

import re
from pathlib import Path

import psycopg

from insights.store import migrate
from tests.integration.test_permissions import explained

AT = "0025"
FORMER = Path(__file__).parent / "former" / "store"  # sql/store as it was at that revision
NAME = re.compile(r"^-- name: (?P<name>[a-z0-9_]+)\s*$", re.MULTILINE)
UTILITY = re.compile(r"(--.*\n|\s)*(LOCK|COPY|CREATE|SET)")


def _former() -> dict[str, str]:
    found = {}
    for file in sorted(FORMER.glob("*.sql")):
        parts = NAME.split(file.read_text("utf-8"))[1:]
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            found[f"{file.stem}.{name}"] = body.strip().rstrip(";")
    return found


def _refused(url: str) -> dict[str, str]:
    former = _former()
    assert len(former) > 100
    refused = {}
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(former["ledger.page_table"].encode())
        for name, text in former.items():
            if UTILITY.match(text):
                continue
            try:
                link.execute(explained(text).encode())
            except psycopg.Error as exc:
                refused[name] = str(exc)
    return refused


def test_each_statement_of_the_former_schema_is_understood_by_the_newest(store_url: str) -> None:
    assert _refused(store_url) == {}
    with psycopg.connect(store_url) as link:
        link.execute("ALTER TABLE store.daemon DROP COLUMN threads")  # as no migration may
    assert set(_refused(store_url)) == {"daemons.daemons", "daemons.tell"}


def test_a_store_that_went_back_is_the_former_one_with_its_rows(store_url: str) -> None:
    with psycopg.connect(store_url) as link:
        link.execute("INSERT INTO store.stream (name, overlap_s) VALUES ('ticket', 60)")
    migrate.downgrade(store_url, AT)
    assert _refused(store_url) == {}
    with psycopg.connect(store_url) as link:
        assert link.execute("SELECT name FROM store.stream").fetchall() == [("ticket",)]
