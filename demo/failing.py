"""Why a command of the demo failed, in a line or two, from what it printed."""

import errno
import json
import signal
import sqlite3
from collections import Counter


def reason(output: str) -> str:
    """Return the reason for a failure: the command's own error, and what its log repeats most.

    Args:
        output: Everything that the command printed: JSON log lines and lines for people.
    """
    words: list[str] = []
    logged: Counter[str] = Counter()
    for line in output.splitlines():
        text = line.strip()
        try:
            entry = json.loads(text)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            words += [text] if text else []
        elif entry.get("level") in {"error", "critical", "warning"}:
            logged[_told(entry)] += 1
    told = _error(words)
    if logged:
        (line, times), *_ = logged.most_common(1)
        told.append(f"in the log {times} times: {line}" if times > 1 else f"in the log: {line}")
    return "\n".join(told) or "it said nothing"


def _error(words: list[str]) -> list[str]:
    """Return the lines from the last `error` on, or the last line of a traceback or of all."""
    for index in range(len(words) - 1, -1, -1):
        if words[index].startswith("error "):
            return words[index : index + 2]
    return words[-1:]


def _told(entry: dict[str, object]) -> str:
    why = entry.get("error") or entry.get("reason") or entry.get("exception") or ""
    last = str(why).strip().splitlines()[-1:]
    return ": ".join([str(entry.get("event", "")), *last])


def ended(code: int) -> str:
    """Return how a process ended, as people say it: a signal's name, or the code."""
    return signal.Signals(-code).name if code < 0 else f"code {code}"


def mended(error: OSError | sqlite3.Error) -> str:
    """Return why the demo's own files could not be made, and what mends it."""
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    if full or "disk is full" in str(error):
        return "the disk is full: free 1 GB, then run the same again"
    refused = isinstance(error, OSError) and error.errno in {errno.EROFS, errno.EACCES}
    if refused or "readonly database" in str(error) or "unable to open" in str(error):
        return (
            "the folder .demo cannot be written: run it as the user who owns the checkout, on a "
            "disk that can be written"
        )
    return f"{error}: make demo-reset begins anew"
