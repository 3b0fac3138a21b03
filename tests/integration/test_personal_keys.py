"""A stream's keys are personal: nobody who looks from outside sees one, and each is found again."""

import json
import subprocess
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from insights import cli, errors
from insights.store.postgres import Store
from insights.store.queries import folder
from insights.store.rowkeys import RowKeys
from tests.helpdesk import Helpdesk
from tests.site import Site

NAMES = (
    *("zelda.quimby", "ottokar.vonzweig", "ilse.brandtner", "pim.verhoeven", "una.okafor"),
    *(f"quidnunc{number:02}" for number in range(20)),
)
SINK = (
    "CREATE TABLE ai_insight (login VARCHAR(60) NOT NULL PRIMARY KEY CHECK (login <> '{refused}'),"
    " category VARCHAR(32), urgent BOOLEAN, citations TEXT, insight_id BIGINT,"
    " revision BIGINT NOT NULL, status VARCHAR(16) NOT NULL, source_cursor VARCHAR(255),"
    " pipeline_version VARCHAR(64), model VARCHAR(255), generated_at DATETIME)"
)


@pytest.fixture
def persons(site: Site, tmp_path: Path) -> Helpdesk:
    """Rows whose key is a person's login: one breaks the prompt, one is refused by the sink."""
    helpdesk = Helpdesk.of(tmp_path / "legacy.sqlite")
    helpdesk.execute("DROP TABLE ai_insight")
    helpdesk.execute(SINK.format(refused=NAMES[1]))
    helpdesk.execute(
        "CREATE TABLE person (login VARCHAR(60) NOT NULL PRIMARY KEY, subject VARCHAR(80),"
        " body TEXT, updated_at VARCHAR(19))"
    )
    for name in NAMES:
        helpdesk.execute(
            "INSERT INTO person VALUES (?, ?, ?, '2026-01-01 00:00:00')",
            name,
            "broken" if name == NAMES[0] else "Request",
            f"Please help {name} today.",
        )
    site.stream = 'table = "person"\nkey = ["login"]\nkey_personal = true'
    site.prompt = "{{ row.body }}{% if row.subject == 'broken' %}{{ row.body + 1 }}{% endif %}"
    site.schema = {
        "type": "object",
        "properties": {"category": {"type": "string", "enum": ["a", "b"]}},
        "required": ["category"],
        "additionalProperties": False,
    }
    site.write()
    site.insights("migrate")
    return helpdesk


def _said(done: "subprocess.CompletedProcess[str]") -> str:
    return done.stdout + done.stderr


def _analyst_sees(site: Site) -> str:
    """Return all rows of all views that analysts read."""
    views = site.query("SELECT viewname::text FROM pg_views WHERE schemaname = 'insights'")
    assert {("current",), ("history",), ("citation",), ("request",), ("triage",)} <= set(views)
    return "\n".join(
        str(row)
        for (view,) in views
        for row in site.query(f'SELECT v::text FROM insights."{view}" v')
    )


def test_no_key_is_seen_outside_the_store_whatever_happens_to_the_row(
    site: Site, persons: Helpdesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    loud = {"INSIGHTS_LOG__LEVEL": "debug", "TMPDIR": str(temporary)}
    said = [_said(site.insights("run", "--once", env=loud))]
    persons.execute("DELETE FROM person WHERE login = ?", NAMES[2])
    for subject in ("Again", "And again"):  # a deletion is confirmed once the replica has moved on
        persons.execute("UPDATE person SET subject = ? WHERE login = ?", subject, NAMES[4])
        said.append(_said(site.insights("run", "--once", env=loud)))
    dead = json.loads(site.insights("dead", "list", "--json").stdout)
    refused = json.loads(site.insights("sink", "refused", "legacy", "--json").stdout)
    assert [one["stream"] for one in (*dead, *refused)] == ["ticket", "ticket"]
    keys = {str(key): str(shown) for key, shown in site.query(
        "SELECT row_key, shown_key FROM store.shown_key")}  # fmt: skip
    assert (dead[0]["row_key"], refused[0]["row_key"]) == (keys[NAMES[0]], keys[NAMES[1]])
    assert keys.keys() == set(NAMES)
    assert site.query("SELECT count(*) FROM store.ledger WHERE gone_at IS NOT NULL") == [(1,)]
    for variable, value in site.env(**loud).items():
        monkeypatch.setenv(variable, value)
    for command in (
        ("dead", "list"), ("dead", "show", str(dead[0]["work_id"]), "--json"),
        ("sink", "refused", "legacy"), ("status", "--json"), ("try", NAMES[3], "--json"),
        ("redact", "test", "ticket", "--key", NAMES[3]), ("doctor",), ("pipeline", "list"),
        ("try", NAMES[2]),
    ):  # fmt: skip
        result = CliRunner().invoke(cli.app, ["-c", str(site.config), *command])
        assert (result.exit_code == 0) == (command != ("try", NAMES[2])), result.output
        said += [result.output, str(result.exception)]
    seen = _analyst_sees(site)
    assert all(shown in seen for shown in keys.values() if shown != keys[NAMES[0]])
    said.append(seen)
    said += [str(row) for row in site.query("SELECT e::text FROM store.audit_event e")]
    said += [str(row) for row in site.query("SELECT l::text FROM store.lease l")]
    for table in ("insight", "citation", "stream", "outbox", "work", "request", "pipeline_version"):
        said += [str(row) for row in site.query(f"SELECT t::text FROM store.{table} t")]
    for place in (temporary, site.folder / "state"):
        said += [file.read_bytes().decode("latin-1") for file in place.rglob("*") if file.is_file()]
    found = [(name, text) for name in NAMES for text in said if name in text.casefold()]
    assert found == []


def test_a_hash_leads_back_to_its_row_for_who_may_read_the_store(
    site: Site, persons: Helpdesk
) -> None:
    site.run_once()
    shown = subprocess.run(
        site.command("key", "hash", "ticket"),
        input=NAMES[3] + "\n", capture_output=True, text=True, check=True, env=site.env(),
    ).stdout.strip()  # fmt: skip
    assert len(shown) == 32
    assert NAMES[3] not in shown
    assert site.query("SELECT count(*) FROM insights.triage WHERE row_key = %s", shown) == [(1,)]
    (row,) = json.loads(site.insights("key", "find", shown, "--json").stdout)
    assert (row["stream"], row["row_key"]) == ("ticket", NAMES[3])
    assert NAMES[3] in persons.execute("SELECT group_concat(login) FROM person")[0][0]  # type: ignore[operator]
    assert "no known row" in site.insights("key", "find", "0" * 32, code=30).stderr


def test_keys_that_are_not_personal_stay_as_they_are(site: Site) -> None:
    site.write()
    site.insights("migrate")
    site.run_once()
    assert {key for (key,) in site.query("SELECT row_key FROM insights.triage")} == {
        str(number) for number in range(1, 41)
    }


def test_an_analyst_cannot_make_a_view_quote_a_key(store_url: str) -> None:
    with psycopg.connect(store_url, autocommit=True) as link:
        link.execute(
            "INSERT INTO store.stream (name, key_personal) VALUES ('p', true);"
            "INSERT INTO store.pipeline (name) VALUES ('p');"
            "INSERT INTO store.pipeline_version (pipeline_id, sha256, definition)"
            " VALUES (1, repeat('0', 64), '{}');"
            "INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version)"
            " VALUES (1, 'zelda.quimby', gen_random_uuid(), 1);"
            "INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, output)"
            " VALUES (1, 1, gen_random_uuid(), 'ok', '{}');"
            "INSERT INTO store.current_insight VALUES (1, 1, 1)"
        )
        for view in ("current", "history"):
            asked = f"SELECT count(*) FROM insights.{view} WHERE row_key::int > 0"
            with pytest.raises(psycopg.errors.InvalidTextRepresentation) as refused:
                link.execute(asked)
            assert "zelda" not in str(refused.value)


def test_a_grant_decides_who_goes_from_a_hash_to_its_key(store_url: str) -> None:
    script = (folder("sql") / "grants" / "store_key_reader.sql").read_text(encoding="utf-8")
    with psycopg.connect(store_url, autocommit=True) as link:
        link.execute(script.encode())
        try:
            link.execute("SET ROLE insights_key_reader")
            assert link.execute("SELECT count(*) FROM store.shown_key").fetchone() == (0,)
            for table in ("ledger", "setting"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    link.execute(f"SELECT * FROM store.{table}")
        finally:
            link.execute("RESET ROLE")
            link.execute("DROP OWNED BY insights_key_reader; DROP ROLE insights_key_reader")


def test_the_hash_is_the_stores_own(store_url: str, empty_store_url: str) -> None:
    """Two stores made apart give one key two hashes: neither can be guessed by the other."""
    from insights.store import migrate  # noqa: PLC0415 - Alembic

    migrate.upgrade(empty_store_url)
    shown = set()
    for url in (store_url, empty_store_url):
        store = Store(url).open()
        shown.add(RowKeys(store).shown("zelda.quimby", personal=True))
        store.close()
    assert len(shown) == 2


def test_an_error_of_the_store_does_not_quote_the_value(store_url: str) -> None:
    store = Store(store_url).open()
    try:
        with pytest.raises(errors.RowError) as refused, store.connection() as connection:
            connection.execute("SELECT %s::int", ["zelda.quimby"])
    finally:
        store.close()
    assert "22P02" in str(refused.value)
    assert "zelda" not in str(refused.value)
