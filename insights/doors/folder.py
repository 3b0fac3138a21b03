"""A watched folder: complete files into the inbox, outcomes into `out`, the file to `done`.

What is known of a file is known from the folder and the store alone. A file stays where it is until
its outcomes are written; whoever is killed before finds it again, sends it under the same digest,
and gets the same requests. So nothing is kept here that a kill could lose, and no raw text either.
"""

import errno
import fcntl
import fnmatch
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog

from insights import errors
from insights.doors import results
from insights.doors.layouts import Layout, Record, Refused, Unreadable
from insights.doors.records import MOST_BYTES, read
from insights.doors.sending import Sending
from insights.ground import beats, failpoints, metrics

log = structlog.get_logger(__name__)

REPORT = ".report.csv"
_SETTLING_S = 0.2
_FIX = "make room, or give the daemon's user the right to write there; nothing is lost meanwhile"


class Place(msgspec.Struct, frozen=True):
    """Where files come from and go to, and how to know that one is complete.

    Attributes:
        name: Of the door.
        folder: Where files appear.
        pattern: Names that are taken, as a shell writes them.
        complete: `still`, `renamed` or `marker`.
        still_s: Seconds without a change, for `still`.
        marker: What a marker's name ends with, for `marker`.
        every_s: Seconds between two looks.
        out: Where outcomes go.
        done: Where files go whose records were all accepted.
        failed: Where the others go, with a report.
    """

    name: str
    folder: Path
    pattern: str
    complete: str
    still_s: float
    marker: str
    every_s: float
    out: Path
    done: Path
    failed: Path

    def takes(self, name: str) -> bool:
        """Whether a file of this name is one to send, complete or not."""
        return not name.startswith(".") and fnmatch.fnmatchcase(name, self.pattern)


class Shape(msgspec.Struct, frozen=True):
    """How files are written: their layout, the key's fields, a record's, and the output's."""

    layout: Layout
    key: tuple[str, ...]
    wanted: tuple[str, ...]
    output: tuple[str, ...]


class _Look(msgspec.Struct, frozen=True):
    """What a file was when it was looked at: another look that differs is another file."""

    inode: int
    size: int
    mtime_ns: int


class _Hand(msgspec.Struct, frozen=True):
    """A file whose records were sent."""

    look: _Look
    layout: Layout
    sending: Sending


class FolderDoor:
    """A job of the daemon: one round looks at each file once.

    Args:
        place: The folder.
        shape: How its files are written.
        sending: Makes what sends one file, of what the file is known by.
        once: A round waits for files that do not stand still yet.
        clock: Monotonic seconds; replaceable for tests.
    """

    def __init__(
        self,
        place: Place,
        shape: Shape,
        sending: Callable[[Sequence[bytes]], Sending],
        *,
        once: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"door {place.name}"
        self.every_s = place.every_s
        self._place = place
        self._shape = shape
        self._sending = sending
        self._once = once
        self._clock = clock
        self._seen: dict[str, tuple[_Look, float]] = {}
        self._hands: dict[str, _Hand] = {}

    def run_once(self) -> bool:
        """Look at every file; True while one has to stand still yet, in a single pass.

        Raises:
            errors.InsightsError: Why a file cannot go on; the others have.
        """
        trouble: errors.InsightsError | None = None
        names: list[str] = []
        with self._alone() as alone:
            if alone:
                names = self._complete()
            for name in names:
                beats.beat()
                try:
                    self._file(name)
                except FileNotFoundError as exc:
                    if (self._place.folder / name).exists():
                        trouble = trouble or self._unavailable(exc, name)
                except OSError as exc:
                    trouble = trouble or self._unavailable(exc, name)
                except errors.InsightsError as exc:
                    trouble = trouble or exc
        self._hands = {name: hand for name, hand in self._hands.items() if name in self._seen}
        if trouble is not None:
            raise trouble
        settles = self._once and self._place.complete == "still"
        settling = settles and any(name not in names for name in self._seen)
        if settling:
            time.sleep(_SETTLING_S)
        return settling

    @property
    def waiting(self) -> tuple[int, float]:
        """How many files the last look saw, and the seconds since the oldest was written."""
        written = [look.mtime_ns / 1e9 for look, _ in list(self._seen.values())]
        return len(written), max(0.0, time.time() - min(written)) if written else 0.0

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Hold the folder against other daemons of this host; where that cannot be, go on."""
        try:
            for folder in (self._place.out, self._place.done, self._place.failed):
                folder.mkdir(exist_ok=True)
            fd = os.open(self._place.folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as exc:
            raise self._unavailable(exc) from None
        try:
            yield _locked(fd)
        finally:
            os.close(fd)

    def _complete(self) -> list[str]:
        """Return the names of complete files, the oldest first; forget those that are gone."""
        place, now = self._place, self._clock()
        with os.scandir(place.folder) as found:
            entries = {one.name: one for one in found if one.is_file(follow_symlinks=False)}
        seen: dict[str, tuple[_Look, float]] = {}
        for name, entry in entries.items():
            if place.complete == "marker" and name.endswith(place.marker):
                self._tidy(name)
            elif place.takes(name):
                try:
                    look = _look(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue
                known = self._seen.get(name)
                seen[name] = known if known is not None and known[0] == look else (look, now)
        self._seen = seen
        if place.complete == "still":
            names = [name for name, (_, at) in seen.items() if now - at >= place.still_s]
        elif place.complete == "marker":
            names = [name for name in seen if f"{name}{place.marker}" in entries]
        else:
            names = list(seen)
        return sorted(names, key=lambda name: (seen[name][0].mtime_ns, name))

    def _tidy(self, marker: str) -> None:
        """Take away a marker whose file is gone: the next of its name is not complete yet."""
        file = self._place.folder / marker.removesuffix(self._place.marker)
        if not file.exists():
            (self._place.folder / marker).unlink(missing_ok=True)

    def _file(self, name: str) -> None:
        look = self._seen[name][0]
        hand = self._hands.get(name)
        if hand is None or hand.look != look:
            hand = self._sent(name, look)
            if hand is None:
                return
            self._hands[name] = hand
        try:
            if not hand.sending.look():
                return
        except errors.Overloaded:
            del self._hands[name]  # the store was restored: sent again in the next round
            raise
        self._finish(name, hand)

    def _sent(self, name: str, look: _Look) -> _Hand | None:
        """Send a file's records; None if it changes under our hands: it is looked at again."""
        data = self._read(name, look)
        if data is None:
            return None
        sending = self._sending((os.fsencode(name), b"%d" % look.mtime_ns, data))
        layout = self._shape.layout
        records: Iterator[Record | Refused]
        try:
            layout, records = read(data, layout, self._shape.wanted)
        except Unreadable as exc:
            records = iter(exc.refused)
        sending.send(records)
        failpoints.reach("file-accepted")
        counts = {"accepted": len(sending.accepted), "refused": len(sending.refused)}
        log.info("a file was taken", door=self._place.name, **counts)
        for result, count in counts.items():
            metrics.RECORDS.labels(self._place.name, result).inc(count)
        return _Hand(look, layout, sending)

    def _read(self, name: str, look: _Look) -> bytes | None:
        fd = os.open(self._place.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            data = file.read(MOST_BYTES + 1)
            return data if _look(os.fstat(fd)) == look else None

    def _finish(self, name: str, hand: _Hand) -> None:
        """Write outcomes and report, then move the file; each step again does the same."""
        place, sending = self._place, hand.sending
        if sending.accepted or not sending.refused:
            made = results.outcomes(sending, hand.layout, self._shape.key, self._shape.output)
            _put(place.out, name, made, sending.tag)
        failpoints.reach("file-result-written")
        if sending.refused:
            _put(place.failed, f"{name}{REPORT}", results.report(sending.refused), sending.tag)
        sending.delivered()
        path = place.folder / name
        if _look(path.stat(follow_symlinks=False)) != hand.look:
            return  # another file of its name by now
        to = place.failed if sending.refused else place.done
        path.rename(_free(to, name, sending.tag))
        metrics.FILES.labels(place.name, "failed" if sending.refused else "done").inc()
        failpoints.reach("file-moved")
        results.settle(to)
        results.settle(place.folder)
        if place.complete == "marker":
            (place.folder / f"{name}{place.marker}").unlink(missing_ok=True)
        del self._hands[name], self._seen[name]

    def _unavailable(self, exc: OSError, name: str = "") -> errors.FolderUnavailable:
        what = exc.strerror or type(exc).__name__
        if exc.errno == errno.EXDEV:
            what = "done and failed must be on the file system of the folder"
        told = f"{name}: {what}" if name else what
        where = str(exc.filename or self._place.folder)
        return errors.FolderUnavailable(told, where=f"{self.name}: {where}", fix=_FIX)


def _locked(fd: int) -> bool:
    """Lock a folder; False if another has it. On a share without locks, two do it once as well."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _look(found: os.stat_result) -> _Look:
    return _Look(found.st_ino, found.st_size, found.st_mtime_ns)


def _put(folder: Path, name: str, data: bytes, tag: str) -> None:
    """Write a file, and never over another's that nobody has taken yet."""
    path = folder / name
    if not path.exists():
        results.write(path, data)
    elif path.read_bytes() != data:
        results.write(_tagged(folder, name, tag), data)


def _free(folder: Path, name: str, tag: str) -> Path:
    path = folder / name
    return _tagged(folder, name, tag) if path.exists() else path


def _tagged(folder: Path, name: str, tag: str) -> Path:
    path = Path(name)
    return folder / f"{path.stem}.{tag}{path.suffix}"
