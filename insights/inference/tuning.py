"""What `insights tune` measured, kept in the state directory: true for one file on one machine."""

from pathlib import Path

import msgspec

from insights import errors
from insights.inference.messages import Speeds
from insights.model import Value


class Subject(Value, frozen=True):
    """What a measurement is true for: the model's SHA-256, the machine, and llama.cpp's build."""

    sha256: str
    machine: str
    llama: str


class Tuned(Value, frozen=True):
    """The best way found to run a model, and for what it was measured."""

    subject: Subject
    best: Speeds


def store(folder: Path, tuned: Tuned) -> Path:
    """Keep a measurement in place of any earlier one of the same model; return its file.

    Raises:
        errors.SettingsError: If the folder cannot be written.
    """
    target = _file(folder, tuned.subject)
    fresh = target.with_suffix(".new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(tuned)))
        fresh.replace(target)
    except OSError as exc:
        raise errors.SettingsError(
            f"cannot keep what was measured ({exc.strerror})",
            where=str(target),
            fix="run it as the daemon's user",
        ) from exc
    return target


def find(folder: Path, subject: Subject) -> Speeds | None:
    """Return what was measured for exactly this; None if nothing was, or something has changed."""
    try:
        kept = msgspec.json.decode(_file(folder, subject).read_bytes(), type=Tuned)
    except (OSError, msgspec.MsgspecError):
        return None
    return kept.best if kept.subject == subject else None


def _file(folder: Path, subject: Subject) -> Path:
    return folder / f"{subject.sha256[:16]}.json"
