"""The supervisor's side of the loader: one document a call, in a child that may die of it.

Who is to blame is decided by what was seen: a loader that does not start is an installation's
fault and raised; one that started and then died, hung or ran out of memory did so over the
document it was given, which is then left out.
"""

import re
import signal
import threading
from collections.abc import Iterable
from pathlib import Path

from insights import errors
from insights.documents.messages import Limits, Loaded, LoaderInit, LoadReply, LoadRequest
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

    @property
    def limits(self) -> Limits:
        """What one document may cost."""
        return self._init.limits

    @property
    def pid(self) -> int | None:
        """The living child's process id."""
        return self._worker.pid if self._worker is not None else None

    def load(self, asked: str | LoadRequest) -> Loaded:
        """Return one document: by its path below the folder, or sent.

        Raises:
            errors.KnowledgeError: If it cannot be used, whatever the reason.
            errors.InsightsError: If the loader cannot be started: no document's fault.
        """
        with self._lock:
            self._stop_waiting()
            try:
                request = LoadRequest(uri=asked) if isinstance(asked, str) else asked
                return self._load(request)
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

    def _load(self, request: LoadRequest) -> Loaded:
        reply, first = self._ask(request)
        if reply.loaded is None and reply.spent and not first:
            reply, _ = self._ask(request)  # the memory was that of the documents before it
        if reply.loaded is None:
            raise errors.KnowledgeError(reply.what, fix=reply.fix)
        return reply.loaded

    def _ask(self, request: LoadRequest) -> tuple[LoadReply, bool]:
        """Return the reply, and whether the document was its child's first."""
        worker = self._started()
        self._served += 1
        first = self._served == 1
        try:
            reply = worker.call("load", request, LoadReply, deadline_s=self.limits.wall_s)
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
