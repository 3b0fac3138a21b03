"""A signal at any moment stops the daemon: a handler takes no lock, whatever it interrupts."""

import random
import signal
import subprocess
import sys
import time

import pytest

from insights.service import systemd

# What the daemon's main thread does: wait in a tight loop; here it goes on after each signal.
LOOP = """
import sys
from insights.service.signals import Stop
with Stop() as stop:
    print("ready", flush=True)
    seen = 0
    while True:
        while not stop.wait(0):
            pass
        seen += 1
        stop.requested = False
        print(seen, flush=True)
"""
SIGNALS = 2_000


def test_two_thousand_sigterms_at_random_moments_of_a_tight_loop() -> None:
    """With `Event.set` in the handler this hung within a few hundred."""
    rng = random.Random(12)
    child = subprocess.Popen(
        [sys.executable, "-c", LOOP], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        for number in range(1, SIGNALS + 1):
            until = time.perf_counter() + rng.random() * 0.002
            while time.perf_counter() < until:
                pass
            child.send_signal(signal.SIGTERM)
            assert int(child.stdout.readline()) == number  # hangs here if the child hangs
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def test_the_service_manager_being_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("/no/such/socket", "@no such abstract socket", "/a\0b", "x" * 300):
        monkeypatch.setattr("insights.ground.environment.notify_socket", lambda at=address: at)
        systemd.tell("WATCHDOG=1")


HANGUP = """
import os, signal
from insights.service import signals
signals.hear_reload()
os.kill(os.getpid(), signal.SIGHUP)
assert signals.reload_asked() and not signals.reload_asked()
"""


def test_a_hangup_is_heard_where_standard_input_was_closed() -> None:
    """As a daemon is started by scripts of before systemd."""
    started = ["/bin/sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, HANGUP]
    subprocess.run(started, check=True, timeout=60)
