"""`insights status --watch`: the same again and again, in place on a terminal, until Ctrl-C."""

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable

from tests import servers
from tests.site import Site


def _watching(site: Site, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        site.command("status", "--watch", "--every", "0.2", *more),
        stdout=subprocess.PIPE,
        text=True,
        env=site.env(),
    )


def test_a_pipe_gets_a_line_each_time_and_ctrl_c_ends_it(site: Site) -> None:
    with _watching(site, "--json") as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["streams"] == []
        site.run_once()
        until = time.monotonic() + 60
        while not (told := json.loads(watching.stdout.readline()))["streams"]:
            assert time.monotonic() < until
        assert {"at", "pipelines", "sinks", "daemons"} <= {*told}
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 130


def test_a_store_that_is_gone_is_said_and_asked_again(
    site: Site, new_store: Callable[[], servers.Postgres]
) -> None:
    store = new_store()
    site.store_url = store.url("store")
    site.write()
    with _watching(site, "--json") as watching:
        assert watching.stdout is not None
        assert "streams" in json.loads(watching.stdout.readline())
        store.stop()
        until = time.monotonic() + 120
        while "error" not in json.loads(watching.stdout.readline()):
            assert time.monotonic() < until
        store.start()
        while "streams" not in json.loads(watching.stdout.readline()):
            assert time.monotonic() < until
        watching.terminate()
        assert watching.wait(10) == 143


def test_a_terminal_is_drawn_anew_in_its_place(site: Site) -> None:
    site.run_once()
    ours, theirs = pty.openpty()
    command = site.command("status", "--watch", "--every", "0.2")
    with subprocess.Popen(
        command, stdout=theirs, stderr=subprocess.DEVNULL, env=site.env(TERM="xterm")
    ) as watching:
        os.close(theirs)
        seen = b""
        while seen.count(b"\x1b[H\x1b[J") < 3:
            seen += os.read(ours, 4096)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 130
    os.close(ours)
    assert b"every 0.2 s" in seen
    assert b"stream ticket" in seen
