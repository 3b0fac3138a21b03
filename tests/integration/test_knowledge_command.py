"""`insights knowledge` as a person types it, with a word-counting model in place of a real one."""

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from insights import cli, errors
from insights.wiring import app
from insights.wiring.daemon import build
from tests.wordbag import Embedder


@pytest.fixture
def command(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    monkeypatch.setattr(app, "EmbedderClient", Embedder)
    monkeypatch.setenv("INSIGHTS_STORE__URL", store_url)
    (tmp_path / "hash_key").write_text("0" * 64)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    folder = tmp_path / "kb"
    folder.mkdir()
    (folder / "vpn.md").write_text("---\ntenant: 2\n---\n# VPN login\n\nReset the VPN token.\n")
    (folder / "queue.md").write_text("# Printer queue\n\nClear the printer queue, code E1234.\n")
    (folder / "scan.pdf").write_bytes(b"%PDF-1.4 cut off")
    config = tmp_path / "insights.toml"
    config.write_text(
        f'state_dir = "{tmp_path}"\n[collection.kb]\nfolder = "kb"\nfilters.tenant = "text"\n'
    )

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(
            cli.app, ["--config", str(config), "knowledge", *arguments], catch_exceptions=False
        )

    return run


def test_sync_search_explain_and_status(command: Callable[..., Result], store_url: str) -> None:
    report = json.loads(command("sync", "--json").stdout)["kb"]
    assert (report["added"], list(report["problems"])) == (2, ["scan.pdf"])
    assert json.loads(command("sync", "--json").stdout)["kb"]["unchanged"] == 2

    found = json.loads(command("search", "printer shows e1234", "--json").stdout)
    assert [passage["uri"] for passage in found] == ["queue.md"]
    assert "Nothing is relevant enough" in command("search", "payroll taxes").stdout
    filtered = command("search", "reset vpn token", "--filter", "tenant=3", "--json")
    assert json.loads(filtered.stdout) == []

    with psycopg.connect(store_url) as store:
        told = store.execute(
            "SELECT c.actor, e.details FROM store.audit_event e"
            " JOIN store.audit_chain c USING (chain_id)"
            " WHERE e.action = 'passages read' ORDER BY e.number"
        ).fetchall()
    assert [actor for actor, _ in told] == ["insights knowledge search"] * 3
    assert [details["passages"] for _, details in told] == [[found[0]["passage_id"]], [], []]
    assert len({details["query"] for _, details in told}) == 3  # each question has its own hash
    assert "printer" not in str(told)
    assert all(details["user"] and details["collections"] == ["kb"] for _, details in told)

    first = json.loads(command("explain", "reset vpn token", "--json").stdout)[0]
    assert (first["hit"]["uri"], first["fate"]) == ("vpn.md", "used")
    assert "vector: rank 1, cosine" in command("explain", "vpn token").stdout

    status = json.loads(command("status", "--json").stdout)[0]
    assert (status["documents"], status["passages"]) == (2, 2)
    assert "scan.pdf" in status["problems"]


def test_evaluate_measures_each_retriever(command: Callable[..., Result], tmp_path: Path) -> None:
    command("sync")
    (tmp_path / "q").write_text("1\tprinter queue\n2\treset vpn token\n")
    (tmp_path / "r").write_text("1 0 queue.md 1\n2 0 vpn.md 1\n")
    measured = json.loads(
        command("evaluate", str(tmp_path / "q"), str(tmp_path / "r"), "--json").stdout
    )
    assert set(measured) == {"text", "vector", "hybrid"}
    assert measured["hybrid"] == {"ndcg_10": 1.0, "recall_10": 1.0, "mrr": 1.0, "queries": 2}


def test_the_daemon_follows_the_folder(command: Callable[..., Result], tmp_path: Path) -> None:
    config = tmp_path / "insights.toml"
    for text, code in (("code E1234", "e1234"), ("code E9999", "e9999")):
        (tmp_path / "kb" / "queue.md").write_text(f"# Printer queue\n\nClear it, {text}.\n")
        with app.open_app(config) as wired:
            build(wired, ("knowledge",), once=True).run_once(lambda _: None)
        found = json.loads(command("search", f"printer shows {code}", "--json").stdout)
        assert [passage["uri"] for passage in found] == ["queue.md"]
    config.write_text(config.read_text() + 'sync_every = "0s"\n')
    (tmp_path / "kb" / "new.md").write_text("# Badge\n\nThe badge opens the door.\n")
    with app.open_app(config) as wired:
        build(wired, ("knowledge",), once=True).run_once(lambda _: None)
    assert json.loads(command("search", "badge opens door", "--json").stdout) == []


def test_what_is_not_declared_is_named(command: Callable[..., Result]) -> None:
    with pytest.raises(errors.SettingsError, match="no collection 'nope'"):
        command("sync", "nope")
    with pytest.raises(errors.SettingsError, match="no filter 'colour'"):
        command("search", "x", "--filter", "colour=red")
