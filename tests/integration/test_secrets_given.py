"""Commands take secrets from standard input, a terminal or a credential, never from arguments."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.servers import Postgres, PostgresPair


def _command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "insights", "-c", str(folder / "insights.toml"), *arguments]


def _seen(process: psutil.Process) -> str:
    """Return what `ps` and /proc show of a process and its children."""
    seen = ""
    for one in [process, *process.children(recursive=True)]:
        for file in ("cmdline", "environ"):
            seen += Path(f"/proc/{one.pid}/{file}").read_bytes().decode(errors="replace")
    return seen


def _told(command: list[str], *lines: str, **env: str) -> str:
    """Run a command, give it each line, and look for them where others could see them."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **env},
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        process = psutil.Process(run.pid)
        run.stdin.write("".join(f"{line}\n" for line in lines))
        run.stdin.close()
        seen = ""
        while run.poll() is None:
            try:
                seen += _seen(process)
            except (psutil.Error, OSError):  # it ended meanwhile
                break
            time.sleep(0.05)
        out = run.stdout.read()
        assert run.wait() == 0, out
    assert "insights" in seen
    for line in lines:
        assert line not in seen
        assert line not in out
    return out


def _without_password(url: str, secret: str) -> str:
    written = url.replace(f":{secret}@", "@")
    assert secret not in written
    return written


@pytest.fixture
def owner(empty_store_url: str, store_server: Postgres, tmp_path: Path) -> str:
    (tmp_path / "insights.toml").write_text('[store]\nurl = "postgresql://u:${absent}@db/x"\n')
    return _without_password(empty_store_url, store_server.password)


def _is_migrated(url: str) -> bool:
    with psycopg.connect(url) as link:
        found = link.execute("SELECT to_regclass('store.work') IS NOT NULL").fetchone()
    return found == (True,)


def test_migrate_reads_a_password_from_standard_input(
    owner: str, empty_store_url: str, store_server: Postgres, tmp_path: Path
) -> None:
    command = _command(tmp_path, "migrate", "--url", owner, "--password-stdin")
    _told(command, store_server.password)
    assert _is_migrated(empty_store_url)


def test_migrate_reads_its_url_from_standard_input(
    owner: str, empty_store_url: str, tmp_path: Path
) -> None:
    assert owner
    _told(_command(tmp_path, "migrate", "--url", "-"), empty_store_url)
    assert _is_migrated(empty_store_url)


def test_migrate_takes_a_credential(
    owner: str, empty_store_url: str, store_server: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "owner_password").write_text(f"{store_server.password}\n")
    url = owner.replace("@", ":${owner_password}@")
    _told(_command(tmp_path, "migrate", "--url", url), CREDENTIALS_DIRECTORY=str(tmp_path))
    assert _is_migrated(empty_store_url)


def test_a_terminal_is_asked_and_shows_nothing(
    owner: str, empty_store_url: str, store_server: Postgres, tmp_path: Path
) -> None:
    command = _command(tmp_path, "migrate", "--url", owner, "--password-stdin")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)  # noqa: S606 - our own interpreter
    shown, given = b"", False
    while select.select([terminal], [], [], 120)[0]:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not given and b"Password (not shown): " in shown:
            os.write(terminal, f"{store_server.password}\n".encode())
            given = True
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    assert given
    assert store_server.password.encode() not in shown
    assert _is_migrated(empty_store_url)


def _init(folder: Path, postgres: PostgresPair, database: str, *more: str, **given: Any) -> str:  # noqa: ANN401
    """Inspect a table of the standby; return the settings that were written."""
    table = "ticket"
    postgres.primary.execute(
        f"CREATE TABLE {table} (id int PRIMARY KEY, body text)", database=database
    )
    postgres.primary.execute(f"GRANT SELECT ON {table} TO reader", database=database)
    postgres.wait()
    odbc = given.get("odbc", postgres.standby.odbc(database, "reader", "x").replace("PWD=x;", ""))
    lines = given.get("lines", ())
    _told(_command(folder, "init", odbc, table, "--yes", *more), *lines, **given.get("env", {}))
    return (folder / "insights.toml").read_text()


def test_init_reads_a_password_or_the_whole_string_from_standard_input(
    postgres: PostgresPair, postgres_database: str, tmp_path: Path
) -> None:
    secret = postgres.primary.reader[1]
    written = _init(tmp_path, postgres, postgres_database, "--password-stdin", lines=[secret])
    assert "${legacy_password}" in written
    assert secret not in written
    whole = postgres.standby.odbc(postgres_database, "reader", secret)
    _told(_command(tmp_path, "init", "-", "ticket", "--yes", "--force"), whole)
    written = (tmp_path / "insights.toml").read_text()
    assert "${legacy_password}" in written
    assert secret not in written


def test_init_takes_a_credential_and_writes_its_name(
    postgres: PostgresPair, postgres_database: str, tmp_path: Path
) -> None:
    (tmp_path / "erp_password").write_text(postgres.primary.reader[1])
    written = _init(
        tmp_path, postgres, postgres_database,
        odbc=postgres.standby.odbc(postgres_database, "reader", "${erp_password}"),
        env={"CREDENTIALS_DIRECTORY": str(tmp_path)},
    )  # fmt: skip
    assert "${erp_password}" in written
    assert postgres.primary.reader[1] not in written


def test_nothing_on_standard_input_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        _command(tmp_path, "init", "-", "ticket"),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert "nothing came from standard input" in done.stderr
