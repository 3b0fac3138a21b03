"""Where ends of the audit's chains are kept outside the store: the log, a file, a command.

Whoever owns the store can write its chains anew from the beginning, with right hashes. What they
cannot change is an end that was kept where they have no hand.
"""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from insights import errors
from insights.ground import environment

log = structlog.get_logger(__name__)

_A_LINE = 100  # ends in a line: journald cuts lines at 48 KiB
_COMMAND_S = 60.0


class Anchors:
    """Keeps the ends that have changed, in every place that is named.

    Args:
        file: A file that lines are added to; None keeps none.
        command: A program and its arguments, given a line on its standard input; empty runs none.
    """

    def __init__(self, file: Path | None, command: Sequence[str]) -> None:
        places: list[Callable[[str], None]] = [_tell]
        if file is not None:
            places.append(_File(file))
        if command:
            places.append(_Command(command))
        self._places: list[tuple[Callable[[str], None], dict[int, str]]] = [
            (place, {}) for place in places
        ]

    def keep(self, ends: Mapping[int, str]) -> None:
        """Keep what has changed, in each place by itself.

        Args:
            ends: Of each chain, `chain:length:hash`.

        Raises:
            errors.SettingsError: If a place cannot be written; the others were, and the next call
                makes up for it.
        """
        failed: errors.InsightsError | None = None
        for place, kept in self._places:
            changed = sorted(chain for chain, end in ends.items() if kept.get(chain) != end)
            try:
                for first in range(0, len(changed), _A_LINE):
                    some = {chain: ends[chain] for chain in changed[first : first + _A_LINE]}
                    place(" ".join(some.values()))
                    kept.update(some)
            except errors.InsightsError as exc:
                failed = failed or exc
        if failed is not None:
            raise failed


def _tell(ends: str) -> None:
    # Not among what repeats: each line is one that a later check needs.
    log.info("audit anchored", ends=ends, _told=True)


def _line(ends: str) -> bytes:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return msgspec.json.encode({"at": at, "ends": ends}) + b"\n"


class _File:
    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, ends: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(self._file, flags, 0o600), "ab") as file:
                file.write(_line(ends))  # the whole of it, or an error: a disk may be full
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise errors.SettingsError(
                f"{self._file} cannot be written ({exc.strerror})",
                where="audit.anchor_file",
                fix="give the daemon's user the right, and the unit ReadWritePaths=",
            ) from exc


class _Command:
    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    def __call__(self, ends: str) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own, from the settings
                self._command,
                input=_line(ends),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment.for_children(),
                timeout=_COMMAND_S,
                check=False,
            )
            trouble = f"ended with exit code {done.returncode}" if done.returncode else ""
        except OSError as exc:
            trouble = f"cannot be started ({exc.strerror})"
        except subprocess.TimeoutExpired:
            trouble = f"did not end within {_COMMAND_S:.0f} s"
        if trouble:
            raise errors.SettingsError(
                f"{self._command[0]} {trouble}",
                where="audit.anchor_command",
                fix="try it by hand with a line on its standard input",
            )


def read(file: Path) -> list[str]:
    """Return the lines of a file in which ends were kept: ours, a log, the journal's output.

    Raises:
        errors.SettingsError: If it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as exc:
        raise errors.SettingsError(
            f"{file} cannot be read ({exc.strerror})",
            where="audit.anchor_file",
            fix="name the files that have them by --anchors",
        ) from exc
