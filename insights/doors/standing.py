"""How a watched folder stands, as it is seen from here: for `status` and `doctor`."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from insights.doors.folder import REPORT, Place

_LITTLE_BYTES = 64 * 1024 * 1024


class Standing(msgspec.Struct, frozen=True):
    """Files of one door: how many wait, since when the oldest does, what was made of others.

    `oldest_s` is None where none waits. `troubles` say what keeps this system user from working.
    """

    name: str
    folder: str
    waiting: int
    oldest_s: float | None
    outcomes: int
    failed: int
    troubles: tuple[str, ...]


def standing(place: Place) -> Standing:
    """Look at a door's folders; raises nothing."""
    ages = [time.time() - at for name, at in _files(place.folder) if place.takes(name)]
    return Standing(
        name=place.name,
        folder=str(place.folder),
        waiting=len(ages),
        oldest_s=max(0.0, *ages) if ages else None,
        outcomes=sum(not name.startswith(".") for name, _ in _files(place.out)),
        failed=sum(name.endswith(REPORT) for name, _ in _files(place.failed)),
        troubles=tuple(_troubles(place)),
    )


def _files(folder: Path) -> list[tuple[str, float]]:
    """Return the names and times of what is to be seen in a folder, none if it cannot be seen."""
    try:
        with os.scandir(folder) as found:
            seen = [one for one in found if one.is_file(follow_symlinks=False)]
            return [(one.name, one.stat().st_mtime) for one in seen]
    except OSError:
        return []


def _troubles(place: Place) -> Iterator[str]:
    if not place.folder.is_dir():
        yield f"there is no folder {place.folder}"
        return
    device = place.folder.stat().st_dev
    for folder in dict.fromkeys((place.folder, place.out, place.done, place.failed)):
        near = folder if folder.exists() else folder.parent  # the daemon makes the folder itself
        if not os.access(near, os.R_OK | os.W_OK | os.X_OK):
            yield f"{near} cannot be read and written"
        elif folder in (place.done, place.failed) and near.stat().st_dev != device:
            yield f"{folder} is on another file system than {place.folder}"
        elif _free(near) < _LITTLE_BYTES:
            yield f"{near} has {_free(near) // 1024 // 1024} MiB left"


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
