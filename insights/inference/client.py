"""The local generator as the flow sees it: the `Generator` port over the child process."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec
import structlog

from insights import errors
from insights.inference.messages import (
    Checked,
    CheckRequest,
    Counters,
    EngineSettings,
    GeneratorInit,
)
from insights.model import GenerateRequest, Generation, Json, ModelInfo
from insights.workers.process import Worker

log = structlog.get_logger(__name__)

_LOAD_S = 600.0  # a 70 B model from a slow disk
_GRACE_S = 30.0  # the child refuses late work itself; past this it must be hung
_ASK_S = 60.0  # for answers between two batches
_DEATHS = 2  # of children, with nothing generated between: the plan may be too large
_SMALLEST = 4  # halvings after which memory is not the reason


class LocalGenerator:
    """One GGUF model in a child process of its own; implements `ports.Generator`.

    Args:
        path: The GGUF file.
        sha256: Its hash; "" takes any file, which only stand-ins and tests should.
        engine: How to run it; what is None is chosen by the child.
        chat_template: Replaces the file's own.
        tuned: Where `insights tune` keeps what it measured.
        name: What logs call the child.
    """

    def __init__(
        self,
        path: Path | str,
        sha256: str = "",
        *,
        engine: EngineSettings | None = None,
        chat_template: str = "",
        tuned: Path | None = None,
        name: str = "generator",
    ) -> None:
        self._init = GeneratorInit(
            path=str(path),
            sha256=sha256,
            engine=engine or EngineSettings(),
            chat_template=chat_template,
            tuned=str(tuned or ""),
        )
        self._name = name
        self._lock = threading.Lock()
        self._dead: set[int | None] = set()  # children that died since one generated
        self._info: ModelInfo | None = None
        self._worker = self._spawn()

    def info(self) -> ModelInfo:
        """Return the loaded model's identity and limits; loads it at the first call."""
        if self._info is None:
            self._info = self._worker.call("info", None, ModelInfo, deadline_s=_ASK_S)
        return self._info

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        """Start one generation; many may be in flight, and are batched."""
        future = self._worker.submit(
            "generate", request, Generation, deadline_s=request.deadline_s + _GRACE_S
        )
        child = self._worker.pid
        future.add_done_callback(lambda done: self._note(child, done))
        return future

    def check(self, schema: Json, abstain: Sequence[str] = (), *, where: str) -> tuple[str, ...]:
        """Refuse an output schema that cannot be generated under constraint.

        Raises:
            errors.SettingsError: Naming the place in the schema.
        """
        request = CheckRequest(output_schema=schema, abstain=tuple(abstain), where=where)
        return self._worker.call("check", request, Checked, deadline_s=_ASK_S).notes

    def counters(self) -> Counters:
        """Return what the engine has done since the child started."""
        return self._worker.call("counters", None, Counters, deadline_s=_ASK_S)

    @property
    def pid(self) -> int | None:
        """The child's process id, while it lives."""
        return self._worker.pid

    def close(self, drain_s: float = 5.0) -> None:
        """End the child."""
        self._worker.close(drain_s)

    def _spawn(self) -> Worker:
        return Worker(
            "insights.inference.generator", self._init, name=self._name, start_deadline_s=_LOAD_S
        )

    def _note(self, child: int | None, done: Future[Generation]) -> None:
        """Answer repeated deaths with a smaller plan: the kernel may kill it for its memory."""
        with self._lock:
            if done.cancelled():
                return
            if not isinstance(done.exception(), errors.WorkerDied):
                self._dead.clear()
                return
            self._dead.add(child)
            if len(self._dead) < _DEATHS or self._init.shrink >= _SMALLEST:
                return
            self._init = msgspec.structs.replace(self._init, shrink=self._init.shrink + 1)
            old, self._worker = self._worker, self._spawn()
            self._dead.clear()
            self._info = None
        log.warning("generator gets a smaller plan", child=self._name, halvings=self._init.shrink)
        old.close(0.0)
