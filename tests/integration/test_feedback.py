"""What people say of insights: who may say it, of what, and what becomes of it."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import LiteralString

import psycopg
import pyodbc
import pytest

from insights import errors
from insights.store.queries import folder
from tests import servers
from tests.helpdesk import Helpdesk
from tests.site import Site

SECRET = "only-in-tests"
SCRIPT = (folder("sql") / "grants" / "store_reviewer.sql").read_text(encoding="utf-8")
BY_KEY = "INSERT INTO insights.verdict (pipeline, row_key, verdict) VALUES (%s, %s, 'right')"
SAY = "INSERT INTO insights.verdict (insight_id, verdict, corrected) VALUES (%s, %s, %s)"


@pytest.fixture(scope="module")
def site_(
    tmp_path_factory: pytest.TempPathFactory, store_server: servers.Postgres, stand_in: Path
) -> Iterator[Site]:
    """A site with insights, and `helpdesk`: the login of its application."""
    place, name = tmp_path_factory.mktemp("feedback"), "feedback"
    store_server.create_database(name, "template_store")
    legacy = Helpdesk(place / "legacy.sqlite", 24)
    site = Site(place, store_server.url(name), legacy.odbc, stand_in).write()
    site.insights("migrate")
    site.run_once()
    for _ in range(2):  # repeating it changes nothing
        execute(site, SCRIPT)
    execute(site, f"CREATE ROLE helpdesk LOGIN PASSWORD '{SECRET}' IN ROLE insights_reviewer")
    yield site
    execute(site, "DROP OWNED BY helpdesk, insights_reviewer")
    execute(site, "DROP ROLE helpdesk, insights_reviewer")
    store_server.drop_database(name)


@pytest.fixture
def desk(site_: Site) -> Site:
    """The site, with nothing said of its insights."""
    execute(site_, "DELETE FROM store.feedback")
    return site_


def url(site: Site) -> str:
    return psycopg.conninfo.make_conninfo(site.store_url, user="helpdesk", password=SECRET)


def made(site: Site) -> list[tuple[int, str, str]]:
    """Return each insight that is shown: its number, key and category."""
    return site.query(
        "SELECT insight_id, row_key, output ->> 'category' FROM insights.current"
        " WHERE status = 'ok' ORDER BY insight_id"
    )


def execute(site: Site, statement: str) -> None:
    with psycopg.connect(site.store_url, autocommit=True) as link:
        link.execute(statement.encode())


def other(category: str) -> str:
    return "problem" if category != "problem" else "other"


def say(site: Site, *values: object) -> None:
    with psycopg.connect(url(site), autocommit=True) as link:
        link.execute(SAY, values)


def test_the_last_verdict_of_a_login_stands_and_is_shown_by_version(desk: Site) -> None:
    (first, _, category), (second, key, _), *_ = made(desk)
    say(desk, first, "right", None)
    say(desk, first, "wrong", json.dumps({"category": other(category), "urgent": True}))
    with psycopg.connect(url(desk), autocommit=True) as link:  # as an application knows its rows
        link.execute(BY_KEY, ["triage", key])
    given = desk.query(
        "SELECT insight_id, row_key, verdict, corrected ->> 'category', given_by, pipeline_version"
        " FROM insights.verdict ORDER BY insight_id"
    )
    ((version,),) = desk.query("SELECT sha256 FROM store.pipeline_version")
    assert [row[:5] for row in given] == [
        (first, made(desk)[0][1], "wrong", other(category), "helpdesk"),
        (second, key, "right", None, "helpdesk"),
    ]
    assert {row[5] for row in given} == {version}
    assert "of 2 insights people said: 1 right, 1 wrong" in " ".join(
        desk.insights("status").stdout.split()
    )
    (row,) = json.loads(desk.insights("pipeline", "history", "triage", "--json").stdout)
    assert (row["said_right"], row["said_wrong"]) == (1, 1)


def test_an_application_gives_feedback_over_odbc(
    desk: Site, store_server: servers.Postgres
) -> None:
    (number, _, category), *_ = made(desk)
    database = psycopg.conninfo.conninfo_to_dict(desk.store_url)["dbname"]
    odbc = store_server.odbc(str(database), "helpdesk", SECRET)
    with closing(pyodbc.connect(odbc, autocommit=True)) as link:
        link.execute(
            SAY.replace("%s", "?"), number, "wrong", json.dumps({"category": other(category)})
        )
    assert desk.query("SELECT verdict, given_by FROM store.feedback") == [("wrong", "helpdesk")]


REFUSED: tuple[tuple[str | None, object], ...] = (
    ("maybe", None),
    (None, None),
    ("right", {"category": "other"}),
    ("wrong", {}),
    ("wrong", ["other"]),
    ("wrong", {"category": "Zelda Quimby"}),
    ("wrong", {"category": True}),
    ("wrong", {"category": {"note": "Zelda Quimby"}}),
    ("wrong", {"category": ["other"]}),
    ("wrong", {"urgent": "Zelda Quimby"}),
    ("wrong", {"urgent": 1}),
    ("wrong", {"comment": "Zelda Quimby"}),
    ("wrong", {"Zelda Quimby": "other"}),
)


def test_a_text_is_no_correction_and_is_not_repeated(desk: Site) -> None:
    number = made(desk)[0][0]
    for verdict, corrected in REFUSED:
        told = None if corrected is None else json.dumps(corrected)
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            say(desk, number, verdict, told)
        assert "Zelda" not in str(refused.value)
    assert desk.query("SELECT 1 FROM store.feedback") == []


def test_what_is_shown_can_be_right_and_nothing_else(desk: Site) -> None:
    number = made(desk)[0][0]
    withheld = (
        f"UPDATE store.insight SET status = 'withheld', reason = 'x' WHERE insight_id = {number}"
    )
    execute(desk, withheld)
    for wanted in (number, 999_999, None):
        with pytest.raises(psycopg.errors.NoDataFound):
            say(desk, wanted, "right", None)


def test_a_reviewer_says_what_it_thinks_and_can_do_nothing_else(desk: Site) -> None:
    number, key, _ = made(desk)[0]
    say(desk, number, "right", None)
    columns = re.findall(r"GRANT INSERT \(([^)]*)\)", SCRIPT)[0].split(", ")
    assert columns == ["insight_id", "pipeline", "row_key", "verdict", "corrected"]
    with psycopg.connect(url(desk), autocommit=True) as link:
        for change in (
            "UPDATE insights.verdict SET verdict = 'right'",
            "DELETE FROM insights.verdict",
        ):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
                link.execute(change.encode())  # there is no door for it, whoever asks
        for statement in (
            "SELECT * FROM insights.verdict",
            "SELECT * FROM insights.current",
            "SELECT * FROM store.feedback",
            "INSERT INTO store.feedback DEFAULT VALUES",
            "INSERT INTO insights.verdict (insight_id, given_by) VALUES (1, 'me')",
            "INSERT INTO insights.verdict (insight_id) VALUES (1) RETURNING given_by",
            "UPDATE store.feedback SET verdict = 'right'",
            "DELETE FROM store.feedback",
            "SELECT store.give_verdict()",
            "CREATE TABLE public.mine ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                link.execute(statement.encode())
        by_number = (SAY, (number, "right", None))
        uses: dict[str, tuple[LiteralString, tuple[object, ...]]] = dict.fromkeys(
            ("insight_id", "verdict", "corrected"), by_number
        ) | dict.fromkeys(("pipeline", "row_key"), (BY_KEY, ("triage", key)))
        for column in columns:  # none is needless
            statement, values = uses[column]
            link.execute(statement, values)
            execute(desk, f"REVOKE INSERT ({column}) ON insights.verdict FROM insights_reviewer")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                link.execute(statement, values)
            execute(desk, f"GRANT INSERT ({column}) ON insights.verdict TO insights_reviewer")


def test_feedback_labels_an_evaluation_and_certifies_nothing(desk: Site) -> None:
    (first, _, kind), (second, key, _), (third, _, _), *_ = made(desk)
    say(desk, first, "wrong", json.dumps({"category": other(kind)}))
    say(desk, second, "right", None)
    say(desk, third, "wrong", None)
    found = json.loads(desk.insights("evaluate", "--labels", "feedback", "--json").stdout)
    fields = {one["name"]: one["of_all"] for one in found["sides"][0]["fields"]}
    assert (found["labels"], found["sides"][0]["rows"]) == ("feedback", 2)
    assert fields["category"]["share"] == 0.5
    assert fields["urgent"]["share"] == 1.0
    assert found["left_out"] == {"it is wrong, and nobody says what is right": 1}
    legacy = Helpdesk.of(desk.folder / "legacy.sqlite")
    legacy.execute("UPDATE ticket SET body = 'another' WHERE ticket_id = ?", int(key))
    found = json.loads(desk.insights("evaluate", "--labels", "feedback", "--json").stdout)
    assert found["left_out"]["the row is gone from the replica, or has changed since"] == 1
    said = desk.insights(
        "calibrate", "--labels", "feedback", code=errors.SettingsError.exit_code
    ).stderr
    assert "feedback is no random sample" in said


def test_what_was_said_of_a_row_is_forgotten_with_it(desk: Site) -> None:
    (first, key, category), (second, _, _), *_ = made(desk)
    say(desk, first, "wrong", json.dumps({"category": other(category)}))
    say(desk, second, "right", None)
    desk.insights(
        "forget", "-s", "ticket", "-k", key, "--wait", "0", code=errors.Unfinished.exit_code
    )
    assert desk.query("SELECT insight_id FROM store.feedback") == [(second,)]
    with pytest.raises(psycopg.errors.NoDataFound):
        say(desk, first, "right", None)


def test_a_personal_key_is_shown_as_its_hash_with_a_verdict_too(desk: Site) -> None:
    number, key, _ = made(desk)[0]
    say(desk, number, "right", None)
    execute(desk, "UPDATE store.stream SET key_personal = true")
    try:
        ((shown,),) = desk.query("SELECT row_key FROM insights.verdict")
        assert (shown != key, len(shown)) == (True, 32)
        with pytest.raises(psycopg.errors.InvalidTextRepresentation) as refused:
            desk.query("SELECT 1 FROM insights.verdict WHERE row_key::int > 0")
        assert f'"{key}"' not in str(refused.value)
    finally:
        execute(desk, "UPDATE store.stream SET key_personal = false")
