"""A small site whose rows are persons', for tests of forgetting; and a look into every corner."""

from pathlib import Path

import psycopg
from psycopg import sql as psql

from tests.helpdesk import Helpdesk
from tests.site import Site

ZELDA = "zelda.quimby"
WORDS = "teapot whistles backwards"  # what her row says, and no other
OTHERS = ("ottokar.vonzweig", "ilse.brandtner", "pim.verhoeven", "una.okafor")
SINK = (
    "CREATE TABLE ai_insight (login VARCHAR(60) NOT NULL PRIMARY KEY, quote VARCHAR(200),"
    " citations TEXT, insight_id BIGINT, revision BIGINT NOT NULL, status VARCHAR(16) NOT NULL,"
    " source_cursor VARCHAR(255), pipeline_version VARCHAR(64), model VARCHAR(255),"
    " generated_at DATETIME)"
)
_SCHEMA = {
    "type": "object",
    "properties": {"quote": {"type": "string", "x-quote": "row.body", "x-quote-words": [3, 3]}},
    "required": ["quote"],
    "additionalProperties": False,
}


def persons(site: Site, folder: Path) -> Helpdesk:
    """Make the site's stream one whose keys are persons' logins, and its outputs quotes."""
    legacy = Helpdesk.of(folder / "legacy.sqlite")
    legacy.execute("DROP TABLE ai_insight")
    legacy.execute(SINK)
    legacy.execute(
        "CREATE TABLE person (login VARCHAR(60) NOT NULL PRIMARY KEY, body TEXT,"
        " updated_at VARCHAR(19))"
    )
    for name in (ZELDA, *OTHERS):
        say(legacy, name, WORDS if name == ZELDA else "nothing to complain")
    site.stream = (
        'table = "person"\nkey = ["login"]\ncursor = "updated_at"\noverlap = "0.5s"\n'
        "key_personal = true"
    )
    site.prompt = "{{ row.body }}"
    site.schema = _SCHEMA
    site.write()
    site.insights("migrate")
    return legacy


def say(legacy: Helpdesk, name: str, body: str, at: str = "2026-01-01 00:00:00") -> None:
    legacy.execute("REPLACE INTO person VALUES (?, ?, ?)", name, body, at)


def standing(store_url: str, *needles: str) -> list[str]:
    """Return the tables of the store in whose rows any of these texts stands, in any column."""
    found = []
    with psycopg.connect(store_url) as link:
        tables = link.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('store', 'public')"
        ).fetchall()
        for schema, table in tables:
            look = psql.SQL("SELECT count(*) FROM {} t WHERE t::text ILIKE ANY (%s)").format(
                psql.Identifier(schema, table)
            )
            (count,) = link.execute(look, ([f"%{needle}%" for needle in needles],)).fetchone() or ()
            if count:
                found.append(f"{schema}.{table}")
    return found
