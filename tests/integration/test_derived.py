"""Views that depend on settings: no older row fails them, and who may read them stays so."""

import re
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from insights import errors
from insights.store import derived
from insights.store.views import typed_view

_FIELDS = {
    "whole": {"type": "integer"},
    "amount": {"type": "number"},
    "urgent": {"type": "boolean"},
    "word": {"type": "string"},
    "list": {"type": "array"},
}


def _view(store_url: str, output: str) -> list[tuple[object, ...]]:
    """Ask the view's own expressions over one output, in place of insights.current."""
    created = typed_view("triage", "ticket", {"properties": _FIELDS}).create
    shown = (
        created.partition('c."row_key",')[2].partition(',\n       c."status"')[0].replace("%", "%%")
    )
    with psycopg.connect(store_url) as link:
        return link.execute(
            f"SELECT {shown} FROM (SELECT %s::jsonb AS output) c", [output]
        ).fetchall()


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (
            '{"whole": 3, "amount": 1.5, "urgent": true, "word": "a", "list": [1]}',
            (3, 1.5, True, "a", [1]),
        ),
        ('{"whole": 3.0, "amount": 2}', (3, 2, None, None, None)),
        ('{"whole": "3.0", "amount": "dear", "urgent": "yes"}', (None,) * 5),
        ('{"whole": 3.5, "amount": {"eur": 1}, "urgent": 1}', (None,) * 5),
        ('{"whole": 9223372036854775808, "amount": null}', (None,) * 5),
        ('{"whole": 9223372036854775807}', (9223372036854775807, None, None, None, None)),
        ("null", (None,) * 5),
    ],
)
def test_a_value_of_another_type_is_null_and_fails_nobodys_select(
    store_url: str, output: str, shown: tuple[object, ...]
) -> None:
    assert _view(store_url, output) == [shown]


def test_a_view_that_is_made_anew_keeps_its_grants(store_url: str) -> None:
    former = typed_view("triage", "ticket", {"properties": _FIELDS})
    less = typed_view("triage", "ticket", {"properties": {"word": {"type": "integer"}}})
    derived.make(store_url, [former])
    with psycopg.connect(store_url, autocommit=True) as link:
        name = sql.Identifier("Some Analyst")

        def run(text: LiteralString) -> None:
            link.execute(sql.SQL(text).format(name))

        run("DROP ROLE IF EXISTS {}")
        run("CREATE ROLE {}")
        try:
            run("GRANT SELECT ON insights.triage TO {} WITH GRANT OPTION")
            run("GRANT UPDATE (word, urgent) ON insights.triage TO {}")
            link.execute("GRANT SELECT (word) ON insights.triage TO PUBLIC")
            assert derived.make(store_url, [less]) == [less]
            assert derived.make(store_url, [less]) == []
            assert link.execute(
                "SELECT relacl::text ~ 'Some Analyst..=r[*]/' FROM pg_class"
                " WHERE oid = 'insights.triage'::regclass"
            ).fetchone() == (True,)
            (word,) = link.execute(
                "SELECT attacl::text FROM pg_attribute"
                " WHERE attrelid = 'insights.triage'::regclass AND attname = 'word'"
            ).fetchone() or ("",)
            assert re.search(r"Some Analyst.*=w/.*[{,]=r/", word), word
        finally:
            run("DROP OWNED BY {}")
            run("DROP ROLE {}")


def test_a_view_that_others_stand_on_is_named_and_left_alone(store_url: str) -> None:
    derived.make(store_url, [typed_view("triage", "ticket", {"properties": _FIELDS})])
    with psycopg.connect(store_url, autocommit=True) as link:
        link.execute("CREATE VIEW public.report AS SELECT word FROM insights.triage")
        less = typed_view("triage", "ticket", {"properties": {"other": {"type": "string"}}})
        with pytest.raises(errors.StoreError, match=r"insights\.triage .*report"):
            derived.make(store_url, [less])
        assert link.execute("SELECT count(*) FROM public.report").fetchone() == (0,)
