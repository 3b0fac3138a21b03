"""Directories and files that are this user's alone, made and changed without a race.

Whoever may write beside a path can put a link, a directory or a file there first. So a directory is
made exclusively, opened without following a link, and looked at and changed by its descriptor only.
"""

import os
import stat
from pathlib import Path

from insights import errors

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def private_folder(path: Path, *, mode: int = 0o700, owner: tuple[int, int] | None = None) -> None:
    """Make a directory, or take one that is there, if nobody else can have had a hand in it.

    Args:
        path: Where; parents that are not there are made so too.
        mode: What others may do in it at most.
        owner: User and group that it is given to; None keeps it ours. Only an empty one is given.

    Raises:
        errors.SettingsError: If it is a link or a file, another's, or open to everybody.
    """
    if not path.parent.exists():
        private_folder(path.parent, mode=mode)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as exc:
        raise _refused(path, f"cannot be made ({exc.strerror})") from exc
    try:
        folder = os.open(path, _DIRECTORY)
    except OSError as exc:
        raise _refused(path, "is a link, or no directory that can be read") from exc
    try:
        found = os.fstat(folder)
        if owner is not None and found.st_uid == os.geteuid() != owner[0]:
            if os.listdir(folder):  # noqa: PTH208 - by its descriptor
                raise _refused(path, "was made by another program: it is not empty")
            os.fchown(folder, *owner)
        elif found.st_uid != (os.geteuid() if owner is None else owner[0]):
            raise _refused(path, "belongs to somebody else")
        if found.st_mode & stat.S_IWOTH:
            raise _refused(path, "may be written by everybody")
        os.fchmod(folder, mode)
    finally:
        os.close(folder)


def private_file(path: Path, *, owner: tuple[int, int] | None = None) -> int:
    """Open a file for reading and writing, made of mode 0600 if need be; return its descriptor.

    Args:
        path: A file in a directory of ours.
        owner: User and group that it is given to; None keeps it ours.

    Raises:
        errors.SettingsError: If it is a link or no file, or another's.
    """
    try:
        file = os.open(path, _FILE, 0o600)
    except OSError as exc:
        raise _refused(path, f"cannot be opened as a file ({exc.strerror})") from exc
    found = os.fstat(file)
    wanted = {os.geteuid(), *(owner or ())[:1]}
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in wanted or found.st_nlink != 1:
        os.close(file)
        raise _refused(path, "is no file of its own, or belongs to somebody else")
    os.fchmod(file, 0o600)
    if owner is not None:
        os.fchown(file, *owner)
    return file


def _refused(path: Path, what: str) -> errors.SettingsError:
    return errors.SettingsError(
        what, where=str(path), fix=f"look what it is, and remove {path}, or set another state_dir"
    )
