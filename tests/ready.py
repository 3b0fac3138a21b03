"""Runs `python -m insights ...` in a process that has read the package already.

Reading the command line's modules takes a second or two of processor time, and the suites run many
hundreds of commands. A process that has done nothing but read them waits, and forks for each
command: the fork has the command's own arguments, environment, folder and output, and ends as the
interpreter ends. What would be seen while the modules are read begins from nothing, as ever: other
variables than the product's own, another folder. So do daemons.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import queue
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from insights import cli
from insights.ground import failpoints

_HEAD = 4  # bytes that say how long a request is
_waiting: "queue.SimpleQueue[_Waiting]" = queue.SimpleQueue()


def run(
    arguments: list[str], env: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, as `subprocess.run` with its output captured as text.

    Raises:
        subprocess.TimeoutExpired: If it has not ended within the time, in seconds; it is killed.
    """
    command = [sys.executable, "-m", "insights", *arguments]
    if not _as_read(env):
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=env, timeout=timeout
        )
    try:
        process = _waiting.get_nowait()  # one for each thread that runs a command at the time
    except queue.Empty:
        process = _Waiting()
    code, out, err = process.run(command, env, timeout)
    _waiting.put(process)
    return subprocess.CompletedProcess(command, code, out, err)


def _as_read(env: dict[str, str]) -> bool:
    """Tell whether a command would read the modules as the waiting process has read them."""
    return Path.cwd() == _FOLDER and _seen_while_read(env) == _seen_while_read(_ENVIRONMENT)


def _seen_while_read(env: dict[str, str]) -> dict[str, str]:
    own = ("INSIGHTS_", "PYTEST_")
    return {name: value for name, value in env.items() if not name.startswith(own)}


class _Waiting:
    """The process that waits, as its client sees it: it ends when this end of the socket does."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.ready", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=_FOLDER,
                env=_ENVIRONMENT,
            )
        atexit.register(self._end)

    def _end(self) -> None:
        self._socket.close()
        self._process.kill()  # it holds nothing, and a command that hangs would hold it
        self._process.wait()

    def run(self, command: list[str], env: dict[str, str], timeout: float) -> tuple[int, str, str]:
        until = time.monotonic() + timeout
        request = json.dumps({"command": command, "env": env}).encode()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        with open(out, "rb") as out_file, open(err, "rb") as err_file:  # noqa: PTH123 - pipes
            try:
                fds = [out_end, err_end]
                socket.send_fds(self._socket, [len(request).to_bytes(_HEAD)], fds)
                self._socket.sendall(request)
            finally:
                os.close(out_end)
                os.close(err_end)
            pid = self._number()
            try:
                said = _read([out_file, err_file], until)
                self._socket.settimeout(max(0.01, until - time.monotonic()))
                status = self._number()
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                self._socket.settimeout(None)
                self._number()
                _waiting.put(self)
                raise subprocess.TimeoutExpired(command, timeout) from None
            self._socket.settimeout(None)
        out_text, err_text = (text.decode().replace("\r\n", "\n") for text in said)
        return os.waitstatus_to_exitcode(status), out_text, err_text

    def _number(self) -> int:
        said = self._socket.recv(8, socket.MSG_WAITALL)
        assert len(said) == 8, f"the process that runs commands ended: {self._process.poll()}"
        return int.from_bytes(said)


def _read(pipes: list[IO[bytes]], until: float) -> list[bytes]:
    """Return what pipes said until all their writers closed them, or raise TimeoutError."""
    said = [bytearray() for _ in pipes]
    with selectors.DefaultSelector() as looks:
        for pipe, text in zip(pipes, said, strict=True):
            looks.register(pipe, selectors.EVENT_READ, text)
        while looks.get_map():
            if not (ready := looks.select(max(0.0, until - time.monotonic()))):
                raise TimeoutError
            for key, _ in ready:
                if piece := os.read(key.fd, 65536):
                    key.data.extend(piece)
                else:
                    looks.unregister(key.fileobj)
    return [bytes(text) for text in said]


def _wait(link: socket.socket) -> None:
    """Fork for each request, until there are no more; return in a fork, which is the command."""
    while True:
        head, fds, _, _ = socket.recv_fds(link, _HEAD, 2)
        if not head:
            sys.exit(0)
        length = int.from_bytes(head)
        request = json.loads(link.recv(length, socket.MSG_WAITALL))
        pid = os.fork()
        if pid == 0:
            link.close()
            _become(request["command"], request["env"], *fds)
            return
        for fd in fds:
            os.close(fd)
        link.sendall(pid.to_bytes(8))
        _, status = os.waitpid(pid, 0)
        link.sendall(status.to_bytes(8))


def _become(command: list[str], env: dict[str, str], out: int, err: int) -> None:
    for fd, number in ((out, 1), (err, 2)):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(env)
    sys.orig_argv[:] = command
    sys.argv[:] = ["-m", *command[3:]]
    importlib.reload(failpoints)  # the one module that keeps a variable of the product's own


# The many processes that tests start read the package compiled, as an installed one is.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
_FOLDER = Path.cwd()
_ENVIRONMENT = dict(os.environ)

if __name__ == "__main__":
    for one in pkgutil.iter_modules(cli.__path__, "insights.cli."):  # else read when asked for
        importlib.import_module(one.name)
    for name in ("insights.service.signals", "insights.store.migrate"):
        importlib.import_module(name)
    gc.freeze()
    assert threading.active_count() == 1  # a fork would lose the others
    _wait(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("insights", run_name="__main__", alter_sys=True)
