"""`insights support-bundle`: one file for whoever helps, without a secret and without row text."""

import configparser
import datetime as dt
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from insights import errors
from insights.cli import scrubbing
from insights.cli.doctor import Examination
from insights.cli.health import asked, standing
from insights.cli.output import console, shown, stdout
from insights.cli.status import told
from insights.ground import environment
from insights.site import masking
from insights.site.files import load
from insights.site.settings import Settings
from insights.wiring.commands import reports

_MOST_LINES = 20_000  # of the log, its end
_JOURNAL_S = 60.0
_ABOUT = """What `insights support-bundle` collected{when}.

It was looked through for secrets and personal data; look yourself before you send it.
Nothing in it is a row's text, a document's, a prompt's or an insight's.

{parts}"""

_PARTS = {
    "about.json": "versions of program, packages, Python and kernel; memory, disk, time zone",
    "settings.json": "the settings; passwords, logins, SQL literals and redaction's words masked",
    "doctor.json": "what `insights doctor` finds",
    "status.json": "what `insights status` shows",
    "health.json": "what the daemon says of its health",
    "metrics.txt": "the daemon's metrics",
    "log.jsonl": "the end of the daemon's log: its own lines, and of them the harmless fields",
}


def support_bundle(
    ctx: typer.Context,
    output: Annotated[
        Path | None, typer.Option(help="File to write [default: insights-support-TIME.tar.gz here]")
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(help="The log's file, or - for standard input [default: the unit's journal]"),
    ] = None,
    unit: Annotated[str, typer.Option(help="The unit whose journal is read")] = "insights",
    since: Annotated[str, typer.Option(help="How far back, as journalctl writes it")] = "-24h",
    doctor: Annotated[
        bool, typer.Option(help="Let doctor look too; it loads each model once more")
    ] = True,
) -> None:
    """Collect what a helper needs into one file: nothing of a row, no secret, no person.

    A part that cannot be had (no daemon runs, the store is down) is left out, with its reason.
    """
    settings = load(ctx.obj)
    now = dt.datetime.now(dt.UTC)
    target = output or Path(f"insights-support-{now:%Y%m%d-%H%M%S}.tar.gz")
    secrets = environment.credentials(settings.resolve(settings.state_dir))
    secrets |= masking.literal_secrets(settings)
    makers = _makers(settings, ctx.obj, lambda: _log(log, unit, since))
    if not doctor:
        del makers["doctor.json"]
    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name, make in makers.items():
        try:
            found[name] = scrubbing.without(secrets, make())
        except errors.InsightsError as exc:
            missing[name] = scrubbing.without(secrets, scrubbing.text(str(exc)))
    told_parts = [f"{name}: {_PARTS[name]}" for name in found]
    told_parts += [f"{name} is missing: {why}" for name, why in missing.items()]
    readme = _ABOUT.format(when=f" at {now:%Y-%m-%d %H:%M} UTC", parts="\n".join(told_parts) + "\n")
    _write(target, {"README.txt": readme, **found})
    for name, why in missing.items():
        console.print(f"[yellow]missing[/] {name}: {shown(why)}", soft_wrap=True)
    stdout.print(f"Written: {shown(target.absolute())}", soft_wrap=True, highlight=False)
    for name in found:
        stdout.print(f"  {name}: {_PARTS[name]}", soft_wrap=True, highlight=False)
    stdout.print("Look through it before you send it: tar xzf, text files.")


def _makers(
    settings: Settings, config: Path, log: Callable[[], str]
) -> dict[str, Callable[[], str]]:
    """Return what makes each part."""
    listen = settings.health.listen
    return {
        "about.json": lambda: scrubbing.as_json(_about(settings)),
        "settings.json": lambda: scrubbing.as_json(masking.masked(settings)),
        "doctor.json": lambda: scrubbing.as_json(_doctor(settings, config)),
        "status.json": lambda: scrubbing.as_json(_status(settings)),
        "health.json": lambda: scrubbing.as_json(standing(listen)),
        "metrics.txt": lambda: asked(listen, "/metrics").decode(),
        "log.jsonl": log,
    }


def _write(target: Path, parts: dict[str, str]) -> None:
    """Write the archive, readable by its owner alone.

    Raises:
        errors.SettingsError: If the file is there already, or cannot be made.
    """
    packed = io.BytesIO()
    folder = target.name.removesuffix(".gz").removesuffix(".tar")
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in parts.items():
            data = content.encode()
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(data))
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(packed.getbuffer())
    except OSError as exc:
        raise errors.SettingsError(
            f"cannot be written: {exc.strerror}", where=str(target), fix="name another --output"
        ) from exc


def _about(settings: Settings) -> dict[str, object]:
    state = settings.resolve(settings.state_dir)
    while not state.exists():
        state = state.parent
    disk = shutil.disk_usage(state)
    return {
        "insights": metadata.version("legacy-insights"),
        "python": sys.version,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "system": _system(),
        "processors": os.cpu_count(),
        "memory": [line for line in _read("/proc/meminfo").splitlines() if line.startswith("Mem")],
        "state_disk": {"total_bytes": disk.total, "free_bytes": disk.free},
        "time": dt.datetime.now().astimezone().isoformat(timespec="seconds"),
        "time_zone": time.tzname,
        "odbc_drivers": _drivers(),
        "files": {
            name: {
                "prompt_bytes": None if made.prompt is None else _size(made.prompt),
                "schema_bytes": _size(made.schema_),
            }
            for name, made in settings.pipeline.items()
        },
        "packages": {
            one.metadata["Name"]: one.version
            for one in sorted(metadata.distributions(), key=lambda one: one.metadata["Name"] or "")
        },
    }


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _drivers() -> list[str]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(_read("/etc/odbcinst.ini"))
    except configparser.Error:
        return []
    return parser.sections()


def _doctor(settings: Settings, config: Path) -> list[dict[str, str]]:
    examination = Examination(settings, config)
    examination.run()
    return [
        {"place": place, "level": found.level, "what": found.what, "fix": found.fix}
        for place, found in examination.findings
    ]


def _status(settings: Settings) -> dict[str, object]:
    with reports(settings) as opened:
        return {**told(opened), "dead_letters": opened.dead(), "outboxes": opened.outboxes()}


def _log(log: str | None, unit: str, since: str) -> str:
    """Return the end of the log.

    Raises:
        errors.SettingsError: If there is none.
    """
    kept, foreign = scrubbing.log_lines(_lines(log, unit, since)[-_MOST_LINES:])
    if foreign:
        kept.append(f'{{"event": "lines left out that are none of this program\'s: {foreign}"}}')
    return "".join(f"{line}\n" for line in kept)


def _lines(log: str | None, unit: str, since: str) -> list[str]:
    if log is None:
        return _journal(unit, since)
    if log == "-":
        return sys.stdin.readlines()
    try:
        return Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as exc:
        raise errors.SettingsError(str(exc.strerror), where=f"--log {log}") from exc


def _journal(unit: str, since: str) -> list[str]:
    # A list and no shell: what a person gives here stays one argument.
    command = ["journalctl", f"--unit={unit}", f"--since={since}", f"--lines={_MOST_LINES}"]
    command += ["--output=cat", "--no-pager", "--quiet"]
    try:
        done = subprocess.run(  # noqa: S603
            command, check=True, capture_output=True, timeout=_JOURNAL_S
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise errors.SettingsError(
            "the journal cannot be read here",
            where=f"unit {unit}",
            fix="give the log with --log FILE, or - for standard input; or run as root",
        ) from exc
    return done.stdout.decode("utf-8", "replace").splitlines()
