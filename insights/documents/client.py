"""The supervisor's side of the loader: one document a call, in a child that may die of it.

Who is to blame is decided by what was seen: a loader that does not start is an installation's
fault and raised; one that started and then died, hung or ran out of memory did so over the
document it was given, which is then left out.
"""

import re
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

import msgspec

from insights import errors
from insights.documents.messages import (
    Limits,
    Loaded,
    LoaderInit,
    LoadReply,
    LoadRequest,
    PageRequest,
    scan_mark,
)
from insights.model import Redaction
from insights.workers.confinement import Held
from insights.workers.process import Worker

_START_S = 60.0
_IDLE_S = 30.0  # without a document the child goes: nobody keeps its memory between two rounds
_DOCUMENTS = 500  # a child's working life: what libraries leak ends with it
_LEAVE_OUT = "open it and save it again, or leave it out"
_SIGNAL = re.compile(r"died of signal (?P<number>\d+)")


class LoaderClient:
    """Reads the documents of one folder in a child process that starts at the first of them.

    Args:
        root: The folder; None for documents that are sent.
        limits: What one document may cost.
        redaction: What is replaced in titles and texts before they leave the child; None: nothing.
        properties: What leaves it of what files say of themselves.
    """

    def __init__(
        self,
        root: Path | None,
        limits: Limits | None = None,
        *,
        redaction: Redaction | None = None,
        properties: Iterable[str] = (),
    ) -> None:
        self._init = LoaderInit(
            root=None if root is None else str(root),
            limits=limits or Limits(),
            redaction=redaction,
            properties=tuple(properties),
        )
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._served = 0
        self._idle: threading.Timer | None = None
        self._pages: dict[bytes, dict[int, Loaded]] = {}
        if self.limits.ocr_pages and find_spec("rapidocr") is None:
            raise errors.SettingsError(
                "recognising letters needs a package that is not installed",
                where="ocr_pages",
                fix="pip install 'legacy-insights[ocr]', or take ocr_pages out",
            )

    @property
    def limits(self) -> Limits:
        """What one document may cost."""
        return self._init.limits

    @property
    def pid(self) -> int | None:
        """The living child's process id."""
        return self._worker.pid if self._worker is not None else None

    def load(self, asked: str | LoadRequest, alive: Callable[[], None] = lambda: None) -> Loaded:
        """Return one document: by its path below the folder, or sent.

        `alive` is called before each page whose letters are recognised. What was recognised is
        kept until the document is complete: whatever comes between, the next call goes on there.

        Raises:
            errors.KnowledgeError: If it cannot be used, whatever the reason.
            errors.InsightsError: If the loader cannot be started: no document's fault.
        """
        with self._lock:
            self._stop_waiting()
            try:
                request = LoadRequest(uri=asked) if isinstance(asked, str) else asked
                loaded = self._load(request)
                return self._recognised(request, loaded, alive) if loaded.scans else loaded
            finally:
                self._wait()

    def held(self) -> Held:
        """Let the child try what it must not be able to do.

        Raises:
            errors.InsightsError: If the loader cannot be started.
        """
        with self._lock:
            self._stop_waiting()
            try:
                return self._started().held()
            finally:
                self._wait()

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._stop_waiting()
            self._retire()

    def _recognised(
        self, request: LoadRequest, loaded: Loaded, alive: Callable[[], None]
    ) -> Loaded:
        """Return a document with the text of its scanned pages, one page a call."""
        done = self._pages.setdefault(loaded.digest, {})
        text, counts, doubts = loaded.text, dict(loaded.redactions), list(loaded.doubts)
        for page in loaded.scans:
            alive()
            if page not in done:
                taken = _sum(request.taken, counts)
                asked = msgspec.structs.replace(request, taken=taken)
                done[page] = self._page(PageRequest(asked, page, loaded.digest))
            found = done[page]
            doubts += found.doubts
            counts = _sum(counts, found.redactions)
            text = text.replace(scan_mark(page), found.text)
        del self._pages[loaded.digest]
        if not text.strip():
            raise errors.KnowledgeError("holds no text that could be recognised")
        read = sum(not one.doubts for one in done.values())
        doubts.append(f"{read} of its pages were read by character recognition")
        return msgspec.structs.replace(
            loaded, text=text, redactions=counts, doubts=tuple(doubts), scans=()
        )

    def _page(self, request: PageRequest) -> Loaded:
        """Return one page; one that cannot be read is a doubt of its document."""
        try:
            return self._load(request)
        except errors.KnowledgeError as exc:
            return Loaded(text="", doubts=(f"page {request.page + 1} was left out: {exc.what}",))

    def _load(self, request: LoadRequest | PageRequest) -> Loaded:
        reply, first = self._ask(request)
        if reply.loaded is None and reply.spent and not first:
            reply, _ = self._ask(request)  # the memory was that of the documents before it
        if reply.loaded is None:
            raise errors.KnowledgeError(reply.what, fix=reply.fix)
        return reply.loaded

    def _ask(self, request: LoadRequest | PageRequest) -> tuple[LoadReply, bool]:
        """Return the reply, and whether the document was its child's first."""
        worker = self._started()
        self._served += 1
        first = self._served == 1
        try:
            method = "load" if isinstance(request, LoadRequest) else "page"
            reply = worker.call(method, request, LoadReply, deadline_s=self.limits.wall_s)
        except errors.WorkerDied as exc:
            reply = LoadReply(what=self._death(exc), fix=_LEAVE_OUT, spent=True)
            # A second minute would end as the first did; a crash may be the documents' before it.
            first = first or not _crashed(exc)
        except errors.InsightsError as exc:  # not even its refusal could be told
            reply = LoadReply(what=f"cannot be read ({exc.what})", fix=_LEAVE_OUT, spent=True)
        if reply.spent or self._served >= _DOCUMENTS:
            self._retire()
        return reply, first

    def _started(self) -> Worker:
        if self._worker is None:
            # A new one each time: the pauses of a Worker that died are for faults of its own.
            worker = Worker(
                module="insights.documents.loader",
                init=self._init,
                name="document loader",
                start_deadline_s=_START_S,
            )
            try:
                worker.start()
            except BaseException:
                worker.close()
                raise
            self._worker, self._served = worker, 0
        return self._worker

    def _death(self, exc: errors.WorkerDied) -> str:
        match = _SIGNAL.search(exc.what)
        if match is None:
            return f"took longer than {self.limits.wall_s:.0f} seconds to read"
        if int(match["number"]) == signal.SIGXCPU:
            return f"took more than {self.limits.cpu_s} seconds of processor time to read"
        name = signal.Signals(int(match["number"])).name
        return f"made its reader crash ({name}), perhaps for want of memory"

    def _wait(self) -> None:
        if self._worker is not None:
            self._idle = threading.Timer(_IDLE_S, self.close)
            self._idle.daemon = True
            self._idle.start()

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _retire(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()


def _crashed(exc: errors.WorkerDied) -> bool:
    match = _SIGNAL.search(exc.what)
    return match is not None and int(match["number"]) != signal.SIGXCPU


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {kind: one.get(kind, 0) + other.get(kind, 0) for kind in {**one, **other}}
