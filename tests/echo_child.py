"""A child process for tests: sleeps, echoes, tells what surrounds it, starts slowly, or dies."""

import ctypes
import os
import sys
import time
from pathlib import Path

import msgspec

from insights import errors
from insights.workers import serve


class Init(msgspec.Struct):
    """How it starts: `load_s` seconds late, or not at all; `secret` must be nowhere to be seen."""

    load_s: float = 0.0
    secret: str = ""
    polls: bool = False
    refuses: str = ""


class Ask(msgspec.Struct):
    """Take `seconds` to answer."""

    seconds: float = 0.0


class Told(msgspec.Struct):
    """Where it runs, and with what."""

    folder: str
    path: list[str]
    environment: dict[str, str]
    dumpable: int


def _sleep(ask: Ask) -> Ask:
    time.sleep(ask.seconds)
    return ask


def _tell(_: Ask) -> Told:
    return Told(
        folder=str(Path.cwd()),
        path=sys.path,
        environment=dict(os.environ),
        dumpable=ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),  # PR_GET_DUMPABLE
    )


def _die(_: Ask) -> None:
    os._exit(3)


def main() -> None:
    """Serve."""
    with serve.connect() as server:
        init = server.init(Init)
        time.sleep(init.load_s)
        if init.refuses:
            raise errors.ModelError(init.refuses, where="a model")
        if init.polls:
            while True:
                for call in server.poll(None):
                    call.reply(_sleep(call.decode(Ask)))
        server.run({"sleep": (Ask, _sleep), "tell": (Ask, _tell), "die": (Ask, _die)})


if __name__ == "__main__":
    main()
