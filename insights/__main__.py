"""`insights` and `python -m insights`: the command line, which Ctrl-C ends cleanly at any time."""

import os
import signal
import sys


def main() -> None:
    """Run the command line.

    Ctrl-C ends every command with exit code 130: what was opened is closed within a second, and
    what cannot be closed in that time is left to the system. SIGTERM ends every command but the
    daemon, which drains, with exit code 143, once all is closed: an embedded store stops with it.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # nothing is open yet
    from insights import cli  # noqa: PLC0415 - reading it takes a while, and Ctrl-C comes in it
    from insights.service import signals  # noqa: PLC0415

    signal.signal(signal.SIGINT, signals.interrupt)
    signal.signal(signal.SIGTERM, signals.terminate)
    try:
        cli.main()
    except SystemExit as exc:
        if exc.code in {signals.INTERRUPTED, signals.TERMINATED}:
            sys.stdout.flush()
            os._exit(int(str(exc.code)))  # all is closed: no thread that hangs is waited for
        raise


if __name__ == "__main__":
    main()
