"""Says in one line why a step of set-up failed and what mends it.

    python3 .ci/diagnose.py LOG [WHAT]    explains the end of a log, for steps that a shell runs

Run by the machine's own Python before anything is installed: the standard library only.
"""

import os
import re
import shutil
import signal
import ssl
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Reason(NamedTuple):
    """What a failing tool prints, as a regular expression, and what to say then."""

    printed: str
    meaning: str


_NOT_FOUND = "No matching distribution found"
_CONFLICT = "ResolutionImpossible"  # what pip says instead where it has a constraints file

# What a failing tool prints, and what to say. The first that matches is the reason: a full disk or
# a wrong clock also looks like a failing network or compiler.
_REASONS = (
    Reason(
        r"DO NOT MATCH THE HASHES|Hashes are required in --require-hashes mode",
        "a package is not the file whose hash the lock files have: a download that was cut or "
        "changed on its way, or a line without hashes (.ci/lock.sh keep writes them). Nothing of "
        "it was installed",
    ),
    Reason(
        r"No space left on device|Disk quota exceeded|not enough free space",
        "the disk is full ({free}): free 4 GB, then run the same again; what is done is kept",
    ),
    Reason(
        r"certificate is not yet valid|certificate has expired|is not valid yet \(invalid for"
        r"|Release file .* is expired",
        "the servers' certificates are refused for their dates, and this machine's clock says "
        "{now}: if that is wrong, set it (timedatectl set-ntp true, or date -s), then run the same "
        "again",
    ),
    Reason(
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|unable to get local issuer",
        "a server's certificate is not trusted here, as behind a proxy that opens TLS: name the "
        "proxy's certificate in PIP_CERT (and SSL_CERT_FILE), then run the same again",
    ),
    Reason(
        r"Temporary failure (in name resolution|resolving)|Name or service not known"
        r"|Network is unreachable|No route to host|Could not resolve|NewConnectionError"
        r"|ConnectTimeoutError|Failed to establish a new connection|Connection refused"
        r"|Max retries exceeded|Could not connect to",
        "no network, or no way to the package servers: set-up needs the system's packages and PyPI "
        "once. Behind a proxy set https_proxy; for mirrors of your own, PIP_INDEX_URL and apt's "
        "sources",
    ),
    Reason(
        r"Killed signal terminated program|cc1plus.*Killed|virtual memory exhausted"
        r"|Cannot allocate memory|out of memory|MemoryError",
        "not enough memory: close what else runs or add swap (1 GB for one compiler), then run "
        "the same again; what is done is kept",
    ),
    Reason(
        r"Unable to locate package|has no installation candidate",
        "the system's package list does not know a package ({line}): run apt-get update; on Ubuntu "
        "also add-apt-repository universe, with its updates",
    ),
    Reason(
        r"Could not get lock|Unable to acquire the dpkg frontend lock",
        "another program installs packages just now: wait for it, then run the same again",
    ),
    Reason(
        r"dpkg was interrupted",
        "an earlier installation was interrupted: run dpkg --configure -a, then the same again",
    ),
    Reason(
        r"Read-only file system|EROFS",
        "this folder is read-only: copy the checkout to a disk that can be written",
    ),
    Reason(
        r"Permission denied",
        "permission denied: {line}",
    ),
    Reason(
        _CONFLICT,
        f"{_CONFLICT}: no build that is to be had fits both the lock files and pip's constraints "
        "(pip config list shows them): lift them for set-up with PIP_CONSTRAINT=/dev/null",
    ),
    Reason(
        _NOT_FOUND,
        "{line}: this Python ({python}) may be too new or too old for it; 3.11 to 3.13 work",
    ),
)


def reach_index() -> str:
    """Return why the package index cannot be reached, nothing if it can.

    Without retries pip says of a network that is gone only that it found no such package.
    """
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple")
    if not index.startswith(("https://", "http://")):
        return ""
    try:
        trusted = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
        url = f"{index.rstrip('/')}/pip/"
        urllib.request.urlopen(url, timeout=20, context=trusted).close()  # noqa: S310 - http and https alone
    except OSError as error:
        return str(error)
    return ""


def explain(
    output: str,
    code: int,
    *,
    where: Path | None = None,
    probe: Callable[[], str] = reach_index,
) -> str:
    """Return one line: the reason for a failure, and the fix if it is known.

    Args:
        output: What the step printed, the end of it.
        code: Its exit code; negative for a signal, as `subprocess` has it.
        where: The log with the whole output.
        probe: Says why the package index cannot be reached, asked when a package is not found.
    """
    # sudo only warns, at each call, of a host whose own name is in no /etc/hosts.
    told = [line for line in output.splitlines() if not line.startswith("sudo: unable to resolve")]
    for pattern, meaning in _REASONS:
        lines = [line for line in told if re.search(pattern, line)]
        if lines:
            if _NOT_FOUND in lines[-1] and (trouble := probe()):
                return explain(trouble, code, where=where, probe=lambda: "")
            return meaning.format(
                free=_free(where),
                now=time.strftime("%Y-%m-%d %H:%M"),
                line=lines[-1].strip().removeprefix("ERROR: "),
                python=".".join(map(str, sys.version_info[:2])),
            )
    last = _last(output) or ended(code)
    return f"{last}{f' (the whole output is in {where})' if where else ''}"


def ended(code: int) -> str:
    """Return how a process ended, with the signal's name and meaning."""
    if code >= 0:
        return f"it ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    meaning = {
        "SIGILL": "an instruction this processor lacks, or one the compiler prepared wrongly",
        "SIGSEGV": "a bad address",
        "SIGBUS": "a bad address",
        "SIGFPE": "a division by zero",
        "SIGABRT": "it gave up itself",
        "SIGKILL": "killed, mostly for want of memory",
    }.get(name)
    return f"{name} ({meaning})" if meaning else name


def _last(output: str) -> str:
    """Return the line that most probably names the error, the last one otherwise."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [
        line for line in lines if re.search(r"\berror\b:?|^E: |CMake Error", line, re.IGNORECASE)
    ]
    return (errors or lines or [""])[-1]


def _free(where: Path | None) -> str:
    folder = where.parent if where else Path.cwd()
    return f"{shutil.disk_usage(folder).free // 2**20} MB free under {folder}"


def main() -> int:
    """Explain a log."""
    log = Path(sys.argv[1])
    output = log.read_text("utf-8", "replace")[-40_000:]
    what = f"{sys.argv[2]}: " if len(sys.argv) > 2 else ""
    print(f"setup: {what}{explain(output, 1, where=log)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
