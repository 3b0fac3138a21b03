"""Errors provoked by the command line: each ends with its own exit code, a place and a fix."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from insights import errors
from insights.cli import exits
from tests.helpdesk import Helpdesk
from tests.site import Site

ROOT = Path(__file__).resolve().parents[2]
Break = Callable[[Site], None]


def _setting(old: str, new: str) -> Break:
    def change(site: Site) -> None:
        text = site.config.read_text()
        assert old in text
        site.config.write_text(text.replace(old, new, 1))

    return change


def _table(statement: str) -> Break:
    def change(site: Site) -> None:
        Helpdesk.of(site.folder / "legacy.sqlite").execute(statement)

    return change


def _store(url: str) -> Break:
    """Point to another store: `{}` is the URL of the server that the tests' own is on."""

    def change(site: Site) -> None:
        server = site.store_url.rpartition("/")[0]
        site.environment["INSIGHTS_STORE__URL"] = url.format(server)

    return change


def _source(name: str) -> Break:
    def change(site: Site) -> None:
        head, found, tail = site.config.read_text().partition(f"[source.{name}]\n")
        gone = tail.replace("legacy.sqlite", "gone/legacy.sqlite", 1)
        site.config.write_text(head + found + gone)

    return change


def _server(site: Site) -> None:
    head, _, tail = site.config.read_text().partition("[model.stand_in]")
    _, found, rest = tail.partition("[sink.legacy]")
    model = '[model.stand_in]\nurl = "http://127.0.0.1:9/v1"\ntimeout = "1s"\n'
    site.config.write_text(head + model + found + rest)


def _collection(site: Site) -> None:
    site.extra = '[collection.manuals]\nfolder = "nowhere"'
    site.write()


def _audit(site: Site) -> None:
    with psycopg.connect(site.store_url) as owner:
        owner.execute("ALTER TABLE store.audit_event DISABLE TRIGGER ALL")


# What each is provoked by, the command that meets it, and a word of what it says.
CASES: dict[type[errors.InsightsError], tuple[Break, tuple[str, ...], str]] = {
    errors.SettingsError: (_setting("in_flight", "in_flihgt"), ("status",), "in_flight"),
    errors.StreamError: (_table("ALTER TABLE ticket RENAME TO tickets"), ("try", "1"), "tickets"),
    errors.RowError: (lambda _: None, ("try", "999"), ""),
    errors.SinkError: (_table("DROP TABLE ai_insight"), ("sink", "check", "legacy"), "sink ddl"),
    errors.SourceUnavailable: (_source("legacy"), ("try", "1"), ""),
    errors.SinkUnavailable: (_source("primary"), ("sink", "check", "legacy"), "start it"),
    errors.ModelError: (_setting('path = "', 'path = "/gone'), ("try", "1"), "path"),
    errors.ProviderUnavailable: (_server, ("try", "1"), ""),
    errors.StoreUnavailable: (_store("postgresql://127.0.0.1:9/none"), ("status",), "start"),
    errors.StoreError: (_store("{}/postgres"), ("status",), "migrate"),
    errors.AuditBroken: (_audit, ("audit", "verify"), "backup"),
    errors.KnowledgeError: (_collection, ("knowledge", "sync"), ""),
}
# What takes more than a command to provoke, and where that is done.
ELSEWHERE = {
    errors.WorkerDied: "tests/unit/test_children.py",
    errors.RecognizerDied: "tests/integration/test_recognizer.py",
    errors.LoaderUnavailable: "tests/integration/test_attached_rows.py",
    errors.GeneratorBroken: "tests/integration/test_generator_deaths.py",
    errors.AdapterError: "tests/integration/test_adapters.py",
    errors.Overloaded: "tests/unit/test_batcher.py",
    errors.MustWait: "tests/unit/test_pages.py",
    errors.Fenced: "tests/unit/test_pages.py",
    errors.DaemonUnavailable: "tests/integration/test_health.py",
    errors.NotReady: "tests/integration/test_health.py",
    errors.BudgetUsedUp: "tests/integration/test_budget_command.py",
    errors.ReceiverUnavailable: "tests/integration/test_receivers.py",
    errors.AccessDenied: "tests/integration/test_access.py",
    errors.FolderUnavailable: "tests/unit/test_folder_trouble.py",
    errors.Unfinished: "tests/integration/test_forgetting.py",
    errors.BrokerUnavailable: "tests/integration/test_queues.py",
    errors.NotForgotten: "tests/integration/test_forgetting.py",
    errors.RequestRefused: "tests/unit/test_doors.py",
}


@pytest.mark.parametrize("error", CASES, ids=lambda error: str(error.__name__))
def test_an_error_ends_with_its_code_its_place_and_its_fix(
    error: type[errors.InsightsError], site: Site
) -> None:
    broken, command, fix = CASES[error]
    broken(site)
    said = site.insights(*command, code=error.exit_code).stderr
    assert "error " in said
    assert "Traceback" not in said
    assert fix in said
    assert "  fix " in said


def test_no_error_is_left_out() -> None:
    branches = {errors.Transient, errors.Permanent}
    assert {*CASES, *ELSEWHERE} == {*exits.kinds()} - branches
    for error, file in ELSEWHERE.items():
        assert error.__name__ in (ROOT / file).read_text(), file
