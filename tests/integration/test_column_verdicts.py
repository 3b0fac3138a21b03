"""A column that a clerk fills is feedback: no input, no text in the store, one verdict each."""

import json

import psycopg
import pytest

from insights import errors
from insights.store.queries import folder
from tests.helpdesk import Helpdesk
from tests.site import Site

FEEDBACK = '[feedback]\ncolumns = { category = "kind" }\ndecided = "closed_at"\nevery = "1s"\n'
GIVEN = (
    "SELECT row_key, verdict, corrected, given_by, source FROM insights.verdict ORDER BY row_key"
)


@pytest.fixture
def desk(site: Site) -> Helpdesk:
    """The legacy table with two columns that clerks fill when they close a ticket."""
    legacy = Helpdesk.of(site.folder / "legacy.sqlite")
    legacy.execute("DELETE FROM ticket WHERE ticket_id > 9")
    legacy.execute("ALTER TABLE ticket ADD COLUMN kind TEXT")
    legacy.execute("ALTER TABLE ticket ADD COLUMN closed_at TEXT")
    site.pipeline = FEEDBACK
    site.write()
    site.run_once()
    return legacy


def categories(site: Site) -> dict[str, str]:
    found = site.query("SELECT row_key, output ->> 'category' FROM insights.current"
                       " WHERE status = 'ok'")  # fmt: skip
    return {key: category for key, category in found}  # noqa: C416 - tuples of Any


def close(desk: Helpdesk, key: str, kind: str | None, at: str | None = "2026-02-03") -> None:
    told = "NULL" if kind is None else f"'{kind}'"
    when = "NULL" if at is None else f"'{at}'"
    desk.execute(f"UPDATE ticket SET kind = {told}, closed_at = {when} WHERE ticket_id = {key}")


def other(category: str) -> str:
    return "problem" if category != "problem" else "other"


def test_what_clerks_decide_becomes_verdicts_and_no_new_version_of_any_row(
    site: Site, desk: Helpdesk
) -> None:
    said = categories(site)
    assert len(said) == 9
    assert site.query("SELECT 1 FROM store.feedback") == []  # nothing is decided yet
    insights = site.query("SELECT insight_id, input_hash FROM store.insight ORDER BY 1")
    close(desk, "1", said["1"].upper())
    close(desk, "2", other(said["2"]))
    close(desk, "3", "furniture")  # no value of the output
    close(desk, "4", other(said["4"]), at=None)  # not closed yet
    # The column that is polled moves as well, as it does where clerks work.
    desk.execute("UPDATE ticket SET updated_at = '2026-02-03 00:00:00' WHERE ticket_id < 5")
    assert site.run_once()["generations"] == 0
    assert site.query("SELECT insight_id, input_hash FROM store.insight ORDER BY 1") == insights
    wrong = {"category": other(said["2"])}
    right = ("1", "right", None, "column kind", "column")
    assert site.query(GIVEN) == [right, ("2", "wrong", wrong, "column kind", "column")]
    # It is counted where what people say is, and evaluated beside it.
    (row,) = json.loads(site.insights("pipeline", "history", "triage", "--json").stdout)
    assert (row["said_right"], row["said_wrong"]) == (1, 1)
    found = json.loads(site.insights("evaluate", "--labels", "feedback", "--json").stdout)
    assert found["sides"][0]["rows"] == 2
    # The text of no row and of no column is in the store.
    dump = str(site.query("SELECT * FROM store.feedback"))
    assert "furniture" not in dump
    assert "2026-02-03" not in dump.replace("datetime", "")


def test_a_case_that_is_decided_anew_or_reopened_says_so(site: Site, desk: Helpdesk) -> None:
    said = categories(site)
    close(desk, "1", other(said["1"]))
    close(desk, "2", said["2"])
    site.run_once()
    given = site.query("SELECT insight_id, given_at FROM store.feedback ORDER BY 1")
    site.run_once()
    assert site.query("SELECT insight_id, given_at FROM store.feedback ORDER BY 1") == given
    close(desk, "1", said["1"])
    close(desk, "2", None, at=None)
    site.run_once()
    assert [row[:2] for row in site.query(GIVEN)] == [("1", "right")]
    desk.execute("DELETE FROM ticket WHERE ticket_id = 1")
    site.run_once()
    assert [row[:2] for row in site.query(GIVEN)] in ([], [("1", "right")])  # of a row that is gone


@pytest.mark.usefixtures("desk")
def test_a_daemon_cannot_say_anything_for_people_nor_of_what_is_not_shown(site: Site) -> None:
    ((number, pipeline_version),) = site.query(
        "SELECT insight_id, pipeline_version_id FROM store.insight ORDER BY 1 LIMIT 1"
    )
    daemon = (folder("sql") / "grants" / "store_daemon.sql").read_text(encoding="utf-8")
    say = "SELECT store.column_verdicts('kind', %s)"
    with psycopg.connect(site.store_url) as link:
        link.execute("CREATE ROLE insights_daemon")
        link.execute(daemon.encode())
        link.execute(
            "INSERT INTO store.feedback (insight_id, pipeline_version_id, verdict, given_by)"
            " VALUES (%s, %s, 'right', 'column kind')",
            [number, pipeline_version],
        )  # a login of that name
        link.execute("SET ROLE insights_daemon")
        told = [{"insight_id": number, "verdict": "wrong", "corrected": {"category": "other"}},
                {"insight_id": 999_999, "verdict": "wrong"}]  # fmt: skip
        assert link.execute(say, [json.dumps(told)]).fetchone() == (0,)
        told[0]["verdict"] = None
        assert link.execute(say, [json.dumps(told[:1])]).fetchone() == (0,)
        link.execute("RESET ROLE")
        assert link.execute("SELECT verdict, source FROM store.feedback").fetchall() == [
            ("right", "person")
        ]
        link.rollback()


def test_columns_of_what_is_no_closed_property_are_refused_by_name(site: Site) -> None:
    wrong = errors.SettingsError.exit_code
    site.pipeline = '[feedback]\ncolumns = { subject = "kind" }\n'
    site.write()
    refused = site.insights("run", "--once", code=wrong).stderr
    assert "subject is no enumeration and no boolean of the output" in refused
    assert "category, urgent" in refused
