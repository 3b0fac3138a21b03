"""`insights redact test` as a person types it, on a real SQLite file over ODBC."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from insights import cli, errors
from tests import tagged

SETTINGS = """
state_dir = "{path}"
[source.helpdesk]
odbc = "Driver=SQLite3;Database={path}/legacy.sqlite"
[stream.ticket]
source = "helpdesk"
table = "ticket"
key = ["ticket_id"]
redact.columns = ["customer"]
redact.patterns = {{ customer_no = "K-\\\\d{{6}}" }}
[model.small]
path = "small.gguf"
sha256 = "{sha256}"
"""
PIPELINE = 'stream = "ticket"\nmodel = "small"\nprompt = "p.j2"\nschema = "s.json"\n'
SCHEMA = {"type": "object", "properties": {"summary": {"type": "string"}}}


@pytest.fixture
def command(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    with sqlite3.connect(tmp_path / "legacy.sqlite") as db:
        db.execute("CREATE TABLE ticket (ticket_id INTEGER PRIMARY KEY, customer TEXT, body TEXT)")
        db.executemany(
            "INSERT INTO ticket VALUES (?, ?, ?)",
            [
                (1, "Ann Berg", "Berg, Ann: write to ann.berg@mail.example, no. K-123456"),
                (2, "Jo Lind", "firmware 2.4.1.0, part 0445-110-376"),
                (3, "Kim Moe", "call +49 30 901820"),
            ],
        )
    db.close()
    monkeypatch.setenv("INSIGHTS_STORE__URL", store_url)
    (tmp_path / "hash_key").write_text("0" * 64)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    pipelines = tmp_path / "pipelines"
    pipelines.mkdir()
    (pipelines / "triage.toml").write_text(PIPELINE)
    (pipelines / "p.j2").write_text("{{ row.body }}")
    (pipelines / "s.json").write_text(json.dumps(SCHEMA))
    config = tmp_path / "insights.toml"
    config.write_text(SETTINGS.format(path=tmp_path, sha256="0" * 64))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(
            cli.app, ["--config", str(config), "redact", *arguments], catch_exceptions=False
        )

    return run


def test_it_shows_what_would_be_found_and_no_value(command: Callable[..., Result]) -> None:
    shown = json.loads(command("test", "ticket", "--json").stdout)
    assert shown["rows"] == 3
    found = {(one["kind"], one["column"]): one for one in shown["found"]}
    assert set(found) == {
        ("customer", "body"),
        ("email", "body"),
        ("customer_no", "body"),
        ("phone", "body"),
    }
    assert found["email", "body"]["examples"] == ["a••.b•••@m•••.e••••••"]
    printed = command("test", "ticket").stdout
    assert "email" in printed
    for value in ("Berg", "ann.berg", "901820", "123456"):
        assert value not in printed


def test_single_rows_can_be_asked_for(command: Callable[..., Result]) -> None:
    shown = json.loads(command("test", "ticket", "--key", "2", "--json").stdout)
    assert shown == {"rows": 1, "found": []}
    assert "Nothing was found" in command("test", "ticket", "--key", "2").stdout


def test_an_unknown_stream_is_named(command: Callable[..., Result]) -> None:
    with pytest.raises(errors.SettingsError, match="there is no stream 'tickets'"):
        command("test", "tickets")


def test_what_a_model_finds_is_shown_masked_too(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    folder = tmp_path / "names"
    model = f'redact.names_model = "names"\nredact.names_model_sha256 = "{tagged.made(folder)}"\n'
    config = tmp_path / "insights.toml"
    config.write_text(config.read_text().replace("[model.small]", f"{model}[model.small]"))
    with sqlite3.connect(tmp_path / "legacy.sqlite") as db:
        db.execute("UPDATE ticket SET body = 'call Jo Lind today' WHERE ticket_id = 3")
    db.close()
    shown = json.loads(command("test", "ticket", "--json").stdout)
    found = {(one["kind"], one["column"]): one for one in shown["found"]}
    assert found["person", "body"]["rows"] == 1
    assert found["person", "body"]["examples"] == ["J• L•••"]
    assert "Lind" not in command("test", "ticket").stdout
    (folder / "model.safetensors").unlink()
    with pytest.raises(errors.ModelError, match="is not the pinned model"):
        command("test", "ticket")


def test_files_of_a_collection_are_no_texts_of_its_rows(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "legacy.sqlite") as db:
        db.execute("ALTER TABLE ticket ADD content BLOB")
        db.execute("UPDATE ticket SET content = ?", (b"From: file@mail.example",))
    db.close()
    with (tmp_path / "insights.toml").open("a") as config:
        config.write('[collection.files]\nstream = "ticket"\nattachment = "content"\n')
    shown = json.loads(command("test", "ticket", "--json").stdout)
    assert {one["column"] for one in shown["found"]} == {"body"}
