"""Asks a running daemon over HTTP, as a container's probe does."""

import contextlib
import http.client
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

from tests.site import Site


class Answering:
    """A daemon under test, its log read beside it, and where it answers."""

    def __init__(self, daemon: subprocess.Popen[str]) -> None:
        self.daemon = daemon
        self.log: list[str] = []
        self._reading = Thread(target=self._read, daemon=True)
        self._reading.start()
        self.until(lambda: self.address)

    @property
    def address(self) -> str:
        found = (
            re.search(r'"at": "([^"]+)", "event": "health is answered"', one) for one in self.log
        )
        return next((match[1] for match in found if match), "")

    def get(self, path: str) -> tuple[int, str]:
        """Ask; an answer that takes longer than two seconds is none."""
        connection = http.client.HTTPConnection(self.address, timeout=2)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def status(self, path: str) -> int:
        return self.get(path)[0]

    def checks(self) -> dict[str, dict[str, Any]]:
        found = json.loads(self.get("/healthz?verbose")[1])["checks"]
        return {check["name"]: check for check in found if check["about"] == "ready"}

    def until(self, holds: Callable[[], object], seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert self.daemon.poll() is None, "".join(self.log)
            assert time.monotonic() < deadline, "".join(self.log[-20:])
            time.sleep(0.05)

    def _read(self) -> None:
        assert self.daemon.stderr is not None
        with self.daemon.stderr:
            self.log.extend(iter(self.daemon.stderr.readline, ""))


@contextlib.contextmanager
def answering(site: Site, *arguments: str, **env: str) -> Iterator[Answering]:
    """Start the daemon; end it as systemd does."""
    daemon = site.start(*arguments, **env)
    try:
        found = Answering(daemon)
        yield found
        assert daemon.poll() is None, "".join(found.log)
        daemon.terminate()
        assert daemon.wait(40) == 0, "".join(found.log)
    finally:
        daemon.kill()
        daemon.wait()
