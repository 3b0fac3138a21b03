"""What set-up shows: one line a step, progress with the time left, one line when it fails.

Run by the machine's own Python before anything is installed: the standard library only.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from diagnose import explain

_STEP = re.compile(r"\[(\d+)/(\d+)\]")  # ninja
_PERCENT = re.compile(r"\[ *(\d+)%\]")  # make


class Failed(Exception):
    """A step that failed; its text is one line with the fix."""


def say(text: str) -> None:
    """Print the name of a step."""
    mark = "\033[1m==>\033[0m" if sys.stdout.isatty() else "==>"
    print(mark, text, flush=True)


class Progress:
    """A count that moves: one line that is rewritten, or every tenth where nobody watches.

    Args:
        clock: Seconds that only grow; tests give their own.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._first: int | None = None
        self._tenth = 0
        self._shown = False

    def show(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done, and about how long the rest takes."""
        if total < 1:
            return
        if self._first is None:  # a second call goes on where the first was stopped
            self._first = done
        line = f"    {done} of {total}{self._left(done - self._first, total - done)}"
        if sys.stdout.isatty():
            print(f"\r{line:<50}", end="", flush=True)
            self._shown = True
        elif 10 * done // total > self._tenth:
            self._tenth = 10 * done // total
            print(line, flush=True)

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            print(f"\r{'':<50}\r", end="", flush=True)

    def _left(self, done: int, rest: int) -> str:
        elapsed = self._clock() - self._began
        if done < 3 or elapsed < 2 or not rest:
            return ""
        seconds = elapsed / done * rest
        if seconds < 60:
            return ", less than a minute left"
        return f", about {round(seconds / 60)} min left"


def counted(line: str) -> tuple[int, int] | None:
    """Return how far a build says it is in a line of its output."""
    if match := _STEP.search(line):
        return int(match[1]), int(match[2])
    if match := _PERCENT.search(line):
        return int(match[1]), 100
    return None


def run(
    command: Sequence[str],
    log: Path,
    *,
    failing: str,
    count: Callable[[str], tuple[int, int] | None] = counted,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a long step with its output in the log, showing how far it is.

    Args:
        command: What to run.
        log: Where its output is added.
        failing: What to say failed, if it does.
        count: Finds (done, total) in a line of output.
        environment: Set over the process's own.

    Raises:
        Failed: If it fails, with the reason and the fix where they are known.
    """
    progress = Progress()
    output: list[str] = []
    with log.open("a", encoding="utf-8", buffering=1) as file:
        file.write(f"$ {' '.join(command)}\n")
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {})},
        ) as child:
            try:
                for line in child.stdout or ():
                    file.write(line)
                    output.append(line)
                    del output[:-400]
                    if found := count(line):
                        progress.show(*found)
                code = child.wait()
            except KeyboardInterrupt:
                child.send_signal(signal.SIGINT)
                child.wait()
                raise
            finally:
                progress.end()
    if code != 0:
        raise Failed(f"{failing}: {explain(''.join(output), code, where=log)}")


def guarded(main: Callable[[], None]) -> int:
    """Run a step's whole; return its exit code, having said in one line why it failed."""
    try:
        main()
    except Failed as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: stopped; what is done is kept: run the same again", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"setup: {explain(str(error), 1)}", file=sys.stderr)
        return 1
    return 0
