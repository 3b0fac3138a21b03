"""The files below a folder, found and opened without following a single link.

A link in a knowledge folder could name any file that the daemon may read, its credentials first.
So every directory and file is opened relative to its parent's descriptor with `O_NOFOLLOW`, which
also holds while somebody swaps a directory for a link (`openat(2)`; openat2's `RESOLVE_BENEATH` has
no door in Python). The folder itself may be reached through links: the operator named it.
"""

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Literal

from insights import errors
from insights.model import Value

_DEEPEST = 64  # folders in folders: more is a loop of mounts, or an attack
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not blocking: opening a named pipe would wait for its writer, for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Kind = Literal["file", "link", "other"]


class Entry(Value, frozen=True):
    """Something below the folder that is no directory; `uri` is its path, `/`-separated."""

    uri: str
    kind: Kind


class Tree:
    """What lies below a folder.

    Args:
        root: The folder.
        pattern: Which files, as a glob below the folder; `**` stands for any folders.
    """

    def __init__(self, root: Path, pattern: str = "**/*") -> None:
        self.root = root
        self._pattern = PurePosixPath(pattern).parts

    def entries(self) -> Iterator[Entry]:
        """Yield what the pattern names, by path; hidden files and folders are left out.

        Raises:
            errors.KnowledgeError: If the folder or one below it cannot be read, so that nothing is
                taken for deleted because a share is not mounted or a right is missing.
        """
        found: list[Entry] = []
        waiting: list[PurePosixPath] = [PurePosixPath()]
        while waiting:
            folder = waiting.pop()
            for name, kind in self._children(folder):
                if name.startswith((".", "~$")):
                    continue
                path = folder / name
                if kind == "directory":
                    if len(path.parts) > _DEEPEST:
                        raise errors.KnowledgeError(
                            f"folders are nested more than {_DEEPEST} deep",
                            where=str(self.root / path),
                            fix="move what is below it, or name a narrower collection.folder",
                        )
                    waiting.append(path)
                elif _matches(path.parts, self._pattern):
                    found.append(Entry(uri=path.as_posix(), kind=kind))
        yield from sorted(found, key=lambda entry: entry.uri)

    @contextmanager
    def open(self, uri: str) -> Iterator[int]:
        """Open a regular file for reading and close it again.

        Raises:
            errors.KnowledgeError: If it is no regular file below the folder.
            OSError: If it cannot be opened.
        """
        *folders, name = _parts(uri)
        descriptor = os.open(self.root, _DIRECTORY)
        try:
            for part in folders:
                descriptor = _replace(descriptor, _step(descriptor, part, uri))
            try:
                descriptor = _replace(descriptor, os.open(name, _FILE, dir_fd=descriptor))
            except OSError:
                if _is_link(descriptor, name):
                    raise _linked() from None
                raise
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise errors.KnowledgeError("is no regular file", fix="store a copy of its content")
            yield descriptor
        finally:
            os.close(descriptor)

    def _children(self, folder: PurePosixPath) -> list[tuple[str, Kind | Literal["directory"]]]:
        try:
            descriptor = os.open(self.root, _DIRECTORY)
            try:
                for part in folder.parts:
                    step = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                    descriptor = _replace(descriptor, step)
                with os.scandir(descriptor) as entries:
                    return [(entry.name, _kind(entry)) for entry in entries]
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            if folder.parts:  # deleted while we looked
                return []
            raise errors.KnowledgeError(
                "there is no such folder", where=str(self.root), fix="correct collection.folder"
            ) from None
        except OSError as exc:
            raise errors.KnowledgeError(
                f"the folder cannot be read: {exc.strerror}",
                where=str(self.root / folder),
                fix="let the daemon's user read it, or correct collection.folder",
            ) from exc


def _kind(entry: os.DirEntry[str]) -> Kind | Literal["directory"]:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "directory"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


def _parts(uri: str) -> tuple[str, ...]:
    path = PurePosixPath(uri)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise errors.KnowledgeError("is no path below the folder")
    return path.parts


def _step(descriptor: int, part: str, uri: str) -> int:
    try:
        return os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
    except OSError:
        if _is_link(descriptor, part):
            raise _linked(f"{part} in {uri} ") from None
        raise


def _is_link(descriptor: int, name: str) -> bool:
    try:
        mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
    except OSError:
        return False
    return stat.S_ISLNK(mode)


def _linked(what: str = "") -> errors.KnowledgeError:
    return errors.KnowledgeError(
        f"{what}is a link, and links in a knowledge folder are not followed",
        fix="store a copy, or make what it names a collection of its own",
    )


def _replace(old: int, new: int) -> int:
    os.close(old)
    return new


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a path fits a glob, part by part: `*` never crosses a `/`."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(parts)
        return any(_matches(parts[start:], pattern[1:]) for start in range(len(parts)))
    return (
        bool(parts)
        and fnmatch.fnmatchcase(parts[0], pattern[0])
        and _matches(parts[1:], pattern[1:])
    )
