"""Each mistake gives one message that names thing, place and fix, and an exit code of its own."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpdesk import SINK, Helpdesk
from tests.site import Site


def _error(site: Site, *command: str, code: int) -> str:
    done = site.insights(*command, code=code)
    message = " ".join(done.stderr.split())
    assert "error" in message
    assert "Traceback" not in message
    return message


def test_a_misspelt_setting_names_the_nearest(site: Site) -> None:
    site.stream = site.stream.replace("cursor", "curser")
    message = _error(site.write(), "status", code=78)
    assert "unknown setting 'curser'" in message
    assert "did you mean 'cursor'" in message


def test_a_missing_settings_file_says_how_to_write_one(site: Site) -> None:
    site.config.unlink()
    assert "insights.toml init` writes one" in _error(site, "status", code=78)


def test_a_password_in_the_file_is_refused(site: Site) -> None:
    site.odbc += ";PWD=hunter2"
    message = _error(site.write(), "status", code=78)
    assert "password" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("odbc", "said", "code"),
    [
        ("Driver=Nonesuch;Database=x", "driver 'Nonesuch' is not installed", 78),
        ("DSN=nonesuch", "not known", 78),
        ("Driver=MariaDB Unicode;Server=127.0.0.1;Port=1;UID=x", "does not answer", 20),
        ("Driver=PostgreSQL Unicode;Server=127.0.0.1;Port=1;UID=x", "does not answer", 20),
    ],
)
def test_a_wrong_connection_string(site: Site, odbc: str, said: str, code: int) -> None:
    site.odbc, site.sink = odbc, False
    assert said in _error(site.write(), "run", "--once", code=code)


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        ('table = "tickets"\nkey = ["ticket_id"]', "tickets"),
        ('table = "ticket"\nkey = ["ticket_no"]', "ticket_no"),
        ('table = "ticket"\nkey = ["subject"]', "unique"),
        ('table = "ticket"\nkey = ["ticket_id"]\ncursor = "changed"', "changed"),
    ],
)
def test_a_wrong_stream_names_what_is_missing(site: Site, stream: str, said: str) -> None:
    site.stream = stream
    message = _error(site.write(), "run", "--once", code=31)
    assert said in message
    assert "fix" in message


def test_a_prompt_that_names_a_missing_column(site: Site) -> None:
    site.prompt = "{{ row.subjekt }}"
    message = _error(site.write(), "run", "--once", code=31)
    assert "subjekt" in message


def test_doctor_says_which_null_would_cost_a_row(site: Site) -> None:
    site.prompt = "{{ row.subject }} {{ row.body | truncate(9) }}\n"
    found = json.loads(site.write().insights("doctor", "--json").stdout)
    told = [one["what"] for one in found if "NULL" in one["what"]]
    assert len(told) == 1
    assert "body is NULL" in told[0]
    assert "line 1" in told[0]


def test_a_schema_that_is_none(site: Site) -> None:
    site.schema["properties"]["category"] = {"type": "strin"}
    message = _error(site.write(), "run", "--once", code=78)
    assert "schema.json" in message
    assert "properties/category" in message


def test_a_missing_and_a_swapped_model(site: Site, tmp_path: Path) -> None:
    real = site.model
    site.model = tmp_path / "copy.gguf"
    site.model.write_bytes(real.read_bytes())
    site.write()
    site.model.write_bytes(real.read_bytes()[:-1000] + bytes(1000))
    message = _error(site, "run", "--once", code=34)
    assert "sha256" in message.lower()
    site.model.unlink()
    assert "no such file" in _error(site, "run", "--once", code=34)


def _with_chat_template(site: Site, text: str) -> Site:
    site.write()
    (site.folder / "chat.jinja").write_text(text)
    settings = site.config.read_text()
    site.config.write_text(settings.replace("[sink.", 'chat_template = "chat.jinja"\n[sink.', 1))
    return site


def test_a_chat_template_that_cannot_be_said_blames_no_row(site: Site) -> None:
    said = "no chat model"
    _with_chat_template(site, f"{{{{ raise_exception('{said}') }}}}")
    examined = site.insights("doctor", "--json", code=34)
    found = [one for one in json.loads(examined.stdout) if one["level"] == "error"]
    assert [one["place"] for one in found] == ["model stand_in"]
    assert said in found[0]["what"]
    assert "chat_template" in found[0]["fix"]
    assert said in _error(site, "run", "--once", code=34)
    assert json.loads(site.insights("dead", "list", "--json").stdout) == []


def test_published_chat_templates_and_generated_schemas_just_work(
    site: Site, tmp_path: Path
) -> None:
    site.odbc = Helpdesk(tmp_path / "three.sqlite", 3).odbc
    site.sink = False
    site.prompt = "{# system #}\nDescribe.\n{# user #}\n{{ row.subject }}\n{{ row.body }}\n"
    site.schema = {
        "$defs": {"Severity": {"enum": ["S1 critical", "S2 major"], "type": "string"}},
        "properties": {
            "severity": {"$ref": "#/$defs/Severity"},
            "team": {"anyOf": [{"enum": ["team 1", "team 2"], "type": "string"}, {"type": "null"}]},
            "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        },
        "required": ["severity", "team", "due"],
    }
    _with_chat_template(
        site,
        "{%- set today = strftime_now('%Y-%m-%d') %}{{ today }}"
        "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
    )
    site.insights("migrate")
    assert "chat template: from the settings" in " ".join(site.insights("doctor").stdout.split())
    site.run_once()
    assert site.query("SELECT status, count(*) FROM insights.triage GROUP BY 1") == [("ok", 3)]
    shown = site.query("SELECT severity, team, due FROM insights.triage")
    assert {severity for severity, _, _ in shown} <= {"S1 critical", "S2 major"}
    assert {team for _, team, _ in shown} <= {"team 1", "team 2", None}


def test_an_empty_store_and_one_ahead(site: Site, empty_store_url: str) -> None:
    filled, site.store_url = site.store_url, empty_store_url
    assert "insights.toml migrate`" in _error(site, "run", "--once", code=33)
    site.store_url = filled
    site.query("UPDATE public.insights_schema_version SET version_num = '9999' RETURNING 1")
    assert "newer than this program" in _error(site, "run", "--once", code=33)


def test_a_wrong_hash_key_is_refused(site: Site) -> None:
    site.run_once()
    site.environment["INSIGHTS_CREDENTIAL_HASH_KEY"] = "another key"
    assert "hash_key" in _error(site, "run", "--once", code=33)


def test_a_sink_without_its_table_keeps_the_insights_for_later(site: Site, tmp_path: Path) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    legacy.execute("DROP TABLE ai_insight")
    message = _error(site, "run", "--once", code=32)
    assert "ai_insight" in message
    assert "insights sink ddl" in message
    site.assert_exactly_once(legacy.keys())
    legacy.execute(SINK)
    site.run_once()
    assert len(legacy.shown()) == 40


def test_an_empty_table_is_no_error(site: Site, tmp_path: Path) -> None:
    Helpdesk.of(tmp_path / "legacy.sqlite").execute("DELETE FROM ticket")
    assert site.run_once()["rows"] == 0


def test_odd_rows_are_processed_and_leave_the_others_alone(site: Site, tmp_path: Path) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    odd = [
        (101, None, None),
        (102, "", ""),
        (103, "one megabyte", "x" * 1_000_000),
        (104, "a NUL \0 inside", "text\0text"),
        (105, "emoji 👩‍👩‍👧 and עברית", "\u202eright to left</s><|im_end|>"),
        (106, "lone continuation", b"\xff\xfe\x80 bytes"),
    ]
    with closing(sqlite3.connect(legacy.path)) as database, database:
        database.executemany(
            "INSERT INTO ticket VALUES (?, ?, CAST(? AS TEXT), '2026-01-02 00:00:00')", odd
        )
    site.pipeline = 'cut = ["row.body"]\n'
    site.write().run_once()
    site.assert_exactly_once(legacy.keys())
    notes = dict(site.query("SELECT row_key, notes FROM insights.history h JOIN store.insight"
                            " USING (insight_id)"))  # fmt: skip
    assert any("cut" in note for note in notes["103"])


def test_a_row_that_cannot_be_read_becomes_a_dead_letter_that_can_be_retried(site: Site) -> None:
    site.run_once()
    site.query(
        "UPDATE store.work SET state = 'dead', reason = 'broken' WHERE row_id = 7 RETURNING 1"
    )
    listed = json.loads(site.insights("dead", "list", "--json").stdout)
    assert [letter["reason"] for letter in listed] == ["broken"]
    assert "broken" in site.insights("dead", "show", str(listed[0]["work_id"])).stdout
    assert "1 rows" in site.insights("dead", "retry").stdout
