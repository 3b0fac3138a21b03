"""What `insights doctor` says of this machine: clock, zone, disk, modes of secrets, the unit."""

import datetime as dt
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from insights.ground import environment
from insights.model import Finding
from insights.site.settings import Settings

_SKEW_S = 5.0  # leases and lateness are the store's time; quiet hours and logs are ours
_LITTLE_BYTES = 2_000_000_000  # an embedded store, tuned models and a core of headroom
_UNIT = "insights.service"
_INSTANCES = "insights@*.service"
_INSTANCE = re.compile(r"^\S*(insights@\S+\.service)\b", re.MULTILINE)
_EXPOSURE = re.compile(r"Overall exposure level for \S+: ([\d.]+)")
_MOST_EXPOSED = 2.0  # as the unit is shipped, of 10
_PATIENCE_S = 20.0


def findings(settings: Settings, config: Path) -> Iterator[Finding]:
    """Yield what there is to say; nothing is called well that was not looked at."""
    yield zone(settings)
    yield disk(settings.resolve(settings.state_dir))
    yield from modes([config, *environment.secret_files(settings.resolve(settings.state_dir))])
    yield from units()


def clock(store_s: Callable[[], float]) -> Finding:
    """Compare our clock with the store's, which is asked for the seconds since 1970."""
    before = time.time()
    theirs = store_s()
    skew_s = theirs - (before + time.time()) / 2
    what = f"this machine's clock and the store's differ by {abs(skew_s):.1f} s"
    if abs(skew_s) <= _SKEW_S:
        return Finding("ok", what)
    return Finding("warning", what, "synchronise both machines: chrony, or systemd-timesyncd")


def zone(settings: Settings) -> Finding:
    """Say what local time is: quiet hours are in it."""
    now = dt.datetime.now(dt.UTC).astimezone()
    what = f"local time is {now:%H:%M}, {now.tzname()} (UTC{now:%z})"
    quiet = [name for name, stream in settings.stream.items() if stream.quiet_hours]
    if quiet and not now.utcoffset():
        fix = "if that is meant, nothing; else `timedatectl set-timezone`, or TZ= in the unit"
        return Finding("note", f"{what}: quiet hours of {', '.join(quiet)} are in UTC", fix)
    return Finding("ok", what)


def disk(state: Path) -> Finding:
    """Say how much room the state directory has."""
    while not state.exists():
        state = state.parent
    free = shutil.disk_usage(state).free
    what = f"{free / 1e9:,.1f} GB are free where {state} is"
    if free < _LITTLE_BYTES:
        return Finding("warning", what, "free some: a full disk stops an embedded store, and logs")
    return Finding("ok", what)


def modes(files: list[Path]) -> Iterator[Finding]:
    """Look at who may read secrets, and change what the daemon believes; the first is its settings.

    Secrets shall be their owner's alone; settings may be read, and changed by nobody else.
    """
    well = 0
    for at, file in enumerate(files):
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError:
            continue  # not there, or not for us to see: nothing is said of it
        wrong = mode & (0o022 if at == 0 else 0o077)
        if not wrong:
            well += 1
        elif at == 0:
            what = f"{file} may be written by others than its owner ({mode:04o})"
            yield Finding("warning", what, f"chmod go-w {file}")
        else:
            what = f"the secret {file} may be read by others than its owner ({mode:04o})"
            yield Finding("warning", what, f"chmod 0400 {file}")
    if well:
        what = "1 file" if well == 1 else f"{well} files"
        yield Finding("ok", f"settings and secrets: {what} looked at, closed to others")
    if named := environment.credential_variables():
        what = f"credentials are in the environment: {', '.join(named)}"
        fix = "LoadCredential= in the unit: a file that only root reads, and no process shows"
        yield Finding("note", what, fix)


def units() -> Iterator[Finding]:
    """Say how exposed each installed unit is, as systemd counts: the one, or each instance."""
    known = _systemd("systemctl", "list-units", "--all", "--plain", "--no-legend", _INSTANCES)
    named = sorted({_UNIT} | set(_INSTANCE.findall(known or "")))
    found = [(name, exposed) for name in named if (exposed := _exposure(name)) is not None]
    if not found:
        what = "no systemd answers here" if known is None else f"no {_UNIT} is loaded here"
        yield Finding("note", f"the unit's hardening was not looked at: {what}")
    for name, exposure in found:
        what = f"{name} has an exposure level of {exposure:.1f}, as shipped at most {_MOST_EXPOSED}"
        if exposure <= _MOST_EXPOSED:
            yield Finding("ok", what)
        else:
            yield Finding("warning", what, f"`systemctl cat {name}`: which drop-in opens it?")


def _exposure(unit: str) -> float | None:
    found = _EXPOSURE.search(_systemd("systemd-analyze", "security", "--no-pager", unit) or "")
    return None if found is None else float(found[1])


def _systemd(*command: str) -> str | None:
    """Return what a command of systemd prints; None: it cannot be asked."""
    try:
        done = subprocess.run(  # noqa: S603 - no input of anybody's
            command, check=False, capture_output=True, text=True, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
