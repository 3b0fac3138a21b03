"""The loader: a child process that reads documents, and the only one with their libraries.

A document is a stranger's program for the library that reads it. So this process has little memory
and time, is confined to its folder and libraries (`workers/confinement`), and takes whatever one
document does to it as that document's fault.
Personal data is replaced here: what leaves is redacted.
"""

import gc
import hashlib
import os
import resource
import warnings
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from insights import errors
from insights.documents import registry
from insights.documents.messages import (
    Limits,
    Loaded,
    LoaderInit,
    LoadReply,
    LoadRequest,
    PageRequest,
)
from insights.documents.tree import Tree
from insights.governance import redact
from insights.model import Document
from insights.workers import serve

_GRACE_S = 5  # processor seconds after SIGXCPU
_PIECE = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Loading:
    """Reads documents of one folder, each within the limits."""

    def __init__(self, init: LoaderInit) -> None:
        self._tree = None if init.root is None else Tree(Path(init.root))
        self._folder = None if init.root is None else _identity(init.root)
        self._limits = init.limits
        self._redaction = init.redaction
        self._properties = frozenset(init.properties)
        confine(init.limits)

    def load(self, request: LoadRequest) -> LoadReply:
        """Return the document, or why it cannot be used; nothing it does is raised."""
        return self._answer(request, self._whole)

    def page(self, request: PageRequest) -> LoadReply:
        """Return one page of a document by its picture, or why it cannot be used."""

        def one(uri: str, data: bytes) -> Loaded:
            if hashlib.sha256(data).digest() != request.digest:
                raise errors.KnowledgeError("was changed while it was read", fix="sync it again")
            return Loaded(text=registry.recognised(uri, data, request.page), is_markdown=False)

        return self._answer(request.file, one)

    def _whole(self, uri: str, data: bytes) -> Loaded:
        return registry.read(uri, data, self._limits)

    def _answer(self, request: LoadRequest, read: Callable[[str, bytes], Loaded]) -> LoadReply:
        self._grant_time()
        reply = self._read(request, read)
        return reply if reply.loaded is None or not self._bloated() else _spent(reply)

    def _read(  # noqa: PLR0911 - an answer a kind of end
        self, request: LoadRequest, read: Callable[[str, bytes], Loaded]
    ) -> LoadReply:
        tree = self._tree
        if tree is not None and _identity(tree.root) != self._folder:
            # Another folder may be read by another process.
            return LoadReply(what="its folder was exchanged", fix="sync it again", spent=True)
        try:
            uri, data = request.uri, request.data
            if data is not None:
                uri = registry.named(uri, data)
            else:
                assert tree is not None  # noqa: S101 - nobody asks for a file of no folder
                with tree.open(uri) as descriptor:
                    data = _content(descriptor, self._limits.file_bytes)
            return LoadReply(loaded=self._leaving(request, read(uri, data)))
        except (errors.KnowledgeError, errors.RowError) as exc:  # a RowError: a site's own pattern
            return LoadReply(what=exc.what, fix=exc.fix)
        except OSError as exc:
            if exc.strerror is not None:
                return LoadReply(what=f"cannot be read: {exc.strerror}", fix="check its rights")
            return _damaged(exc)
        except MemoryError:
            gc.collect()
            return LoadReply(
                what=f"needs more than {self._limits.memory_bytes // 1024**2} MiB of memory",
                fix="split it, or leave it out",
                spent=True,
            )
        except RecursionError:
            return LoadReply(what="is nested too deeply", fix="open it and save it again")
        except BaseException as exc:  # noqa: BLE001 - Rust panics are no Exceptions
            return _damaged(exc)

    def _leaving(self, request: LoadRequest, read: Loaded) -> Loaded:
        """Return what may leave this process of a document."""
        uri, text = request.uri, read.text
        title = read.title or PurePosixPath(uri).stem.replace("_", " ")
        counts: dict[str, int] = {}
        if self._redaction is not None:
            self._grant_time()
            whole = Document(uri=uri, title=title, text=text)
            made, counts = redact.document(whole, self._redaction, request.private, request.taken)
            title, text = made.title, made.text
        declared = {
            name: read.properties[name] for name in self._properties & read.properties.keys()
        }
        return Loaded(
            text=text,
            title=title,
            is_markdown=read.is_markdown,
            properties=declared,
            doubts=read.doubts,
            redactions=counts,
            scans=read.scans,
            digest=read.digest,
        )

    def _grant_time(self) -> None:
        """Give the next step its seconds; at their end the kernel ends this process."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        until = int(usage.ru_utime + usage.ru_stime) + 1 + self._limits.cpu_s
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))

    def _bloated(self) -> bool:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a descriptor less
            used = int(statm.read().split()[0]) * _PAGE
        return used > self._limits.memory_bytes // 2


def confine(limits: Limits) -> None:
    """Bound what this process can take.

    Raises:
        errors.SettingsError: If the kernel or a filter refuses: without them nothing is read.
    """
    bounds = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
    }
    try:
        for kind, bound in bounds.items():
            resource.setrlimit(kind, (bound, bound))
    except (OSError, ValueError) as exc:
        raise errors.SettingsError(
            f"the document loader cannot be given its limits: {exc}",
            where="loader",
            fix="allow the system call prlimit64 to the daemon, and hard limits above its own",
        ) from exc


def _identity(folder: str | Path) -> tuple[int, int] | None:
    """Return which directory a path leads to now; None if to none."""
    try:
        found = Path(folder).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _content(descriptor: int, most: int) -> bytes:
    """Read a file, at most one byte more than it may have."""
    pieces, left = [], most + 1
    while left > 0 and (piece := os.read(descriptor, min(_PIECE, left))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _damaged(exc: BaseException) -> LoadReply:
    """Damaged files raise anything; the message is left out, for it may quote the document."""
    return LoadReply(
        what=f"cannot be read, it seems to be damaged ({type(exc).__name__})",
        fix="open it and save it again",
    )


def _spent(reply: LoadReply) -> LoadReply:
    return LoadReply(loaded=reply.loaded, spent=True)


def _readable(init: LoaderInit) -> list[str]:
    return [] if init.root is None else [init.root]


def main() -> None:
    """Serve until the supervisor is gone."""
    warnings.simplefilter("ignore")  # libraries report every oddity of every file
    with serve.connect() as server:
        loading = Loading(server.init(LoaderInit, reads=_readable))
        server.run({"load": (LoadRequest, loading.load), "page": (PageRequest, loading.page)})


if __name__ == "__main__":
    main()
