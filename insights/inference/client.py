"""The local generator as the flow sees it: the `Generator` port over the child process."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from insights import errors
from insights.inference import broken
from insights.inference.messages import (
    AdapterFile,
    Checked,
    CheckRequest,
    Counters,
    EngineSettings,
    GeneratorInit,
)
from insights.model import GenerateRequest, Generation, Json, ModelInfo
from insights.workers.confinement import Held
from insights.workers.process import Worker

log = structlog.get_logger(__name__)

T = TypeVar("T")

_LOAD_S = 600.0  # a 70 B model from a slow disk
_GRACE_S = 30.0  # the child refuses late work itself; past this it must be hung
_ASK_S = 60.0  # for the answer of one that generates nothing
_BUSY_S = 86_400.0  # of one that does: it answers between two steps, and rows have deadlines
_DEATHS = 2  # of children for memory, with nothing generated between: the plan may be too large
_SMALLEST = 4  # halvings after which memory is not the reason
_GROW_S, _LONGEST_GROW_S = 3_600.0, 86_400.0  # with a smaller plan before a larger one is tried
_EMPTY_S = 60.0  # at most, for what is in flight to end before a larger plan is tried
_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 300.0  # between two starts of a generator that is broken


class LocalGenerator:
    """One GGUF model in a child process of its own; implements `ports.Generator`.

    Args:
        path: The GGUF file.
        sha256: Its hash; "" takes any file, which only stand-ins and tests should.
        engine: How to run it; what is None is chosen by the child.
        chat_template: Replaces the file's own.
        tuned: Where `insights tune` keeps what it measured.
        confined: Whether the child is left nothing but its model and libraries.
        adapters: LoRA adapters that requests may name.
        name: What logs call the child.
        clock: Monotonic seconds; replaceable for tests.
    """

    def __init__(  # noqa: PLR0913 - what a generator is made of
        self,
        path: Path | str,
        sha256: str = "",
        *,
        engine: EngineSettings | None = None,
        chat_template: str = "",
        tuned: Path | None = None,
        confined: bool = True,
        adapters: Sequence[AdapterFile] = (),
        name: str = "generator",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._init = GeneratorInit(
            path=str(path),
            sha256=sha256,
            engine=engine or EngineSettings(),
            chat_template=chat_template,
            tuned=str(tuned or ""),
            confined=confined,
            adapters=tuple(adapters),
        )
        self._name = name
        self._clock = clock
        self._lock = threading.Condition(threading.RLock())
        self._dead: set[int] = set()  # children killed for memory since one generated
        self._child: int | None = None
        self._finished = 0
        self._in_flight = 0
        self._closed = False
        self._grow_at, self._grow_s = 0.0, _GROW_S
        self._broken: errors.GeneratorBroken | None = None
        self._ask_again, self._pause_s = 0.0, _PAUSE_S
        self._info: ModelInfo | None = None
        self._looking = False
        self.engine = Counters()
        """What the engine had done when it was looked at last."""
        self._worker = self._spawn()

    # --- the port ------------------------------------------------------------------------------

    def info(self) -> ModelInfo:
        """Return the loaded model's identity and limits; loads it at the first call.

        Raises:
            errors.ModelError: If the file is not the one named, is damaged, or does not fit.
            errors.GeneratorBroken: If llama.cpp cannot work on this machine.
        """
        if self._info is None:
            self._info = self._call("info", None, ModelInfo)
        return self._info

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        """Start one generation; many may be in flight, and are batched.

        An `AdaptedRequest` is made under its adapter. The future raises `errors.GeneratorBroken`
        where llama.cpp cannot work on this machine: that is no row's fault.
        """
        answer: Future[Generation] = Future()
        with self._lock:
            self._grow()
            refused = self._refusal()
            self._in_flight += refused is None
        if refused is not None:
            answer.set_exception(refused)
            return answer
        future = self._worker.submit(
            "generate", request, Generation, deadline_s=2 * request.deadline_s + _GRACE_S
        )
        child = self._meet()
        answer.add_done_callback(lambda given: future.cancel() if given.cancelled() else None)
        future.add_done_callback(lambda done: self._done(child, done, answer))
        return answer

    def check(
        self,
        schema: Json,
        abstain: Sequence[str] = (),
        *,
        where: str,
        roles: Sequence[str] = (),
        adapter: str = "",
    ) -> tuple[str, ...]:
        """Refuse an output schema that cannot be generated under constraint.

        Args:
            schema: The pipeline's output schema.
            abstain: Reasons that may be given instead.
            where: The file, for errors.
            roles: Of the prompt's messages: the chat template must be able to say them.
            adapter: The SHA-256 of the one that rows are made under; "" is none.

        Raises:
            errors.SettingsError: Naming the place in the schema.
            errors.ModelError: If the chat template cannot be rendered, or drops a message; if the
                adapter is damaged, or another model's.
            errors.GeneratorBroken: If llama.cpp cannot work on this machine.
        """
        request = CheckRequest(
            output_schema=schema,
            abstain=tuple(abstain),
            where=where,
            roles=tuple(roles),
            adapter=adapter,
        )
        return self._call("check", request, Checked).notes

    def counters(self) -> Counters:
        """Return what the engine has done since the child started."""
        return self._call("counters", None, Counters)

    def look(self) -> None:
        """Have `engine` and `in_flight` brought up to date by and by; waits for nobody.

        A child that is not there is started for it: a model that died while nothing was to do is
        there again when the next row comes.
        """
        with self._lock:
            if self._looking or self._closed or self._refusal() is not None:
                return
            self._looking = True
        future = self._worker.submit("counters", None, Counters, deadline_s=self._patience_s)
        future.add_done_callback(self._looked)

    def _looked(self, done: Future[Counters]) -> None:
        self._looking = False
        exc = None if done.cancelled() else done.exception()
        if isinstance(exc, errors.WorkerDied):
            self._told(exc)
        elif exc is None and not done.cancelled():
            self._meet()
            self.engine = done.result()

    @property
    def in_flight(self) -> int:
        """How many generations are asked of it now."""
        return self._in_flight

    def held(self) -> Held:
        """Let the child try what it must not be able to do."""
        return self._worker.held()

    # --- for whoever decides who is to blame ---------------------------------------------------

    @property
    def finished_since_start(self) -> int:
        """How many generations the child that runs, or ran last, has finished.

        The one that proves it at its start counts: 0 means that no child got that far, and then
        nothing that happens is any row's fault.
        """
        return self._finished

    @property
    def proved(self) -> bool:
        """Whether the child that runs, or ran last, has finished a generation."""
        return self._finished > 0

    def tokens(self) -> int | None:
        """Return how many tokens the child has worked on, as last heard; asks for the next time.

        None while it loads, and before it has answered. Waits for nothing.
        """
        if self._worker.pid is not None:
            self.look()
        return self.engine.worked_tokens or None  # its proof at the start counts

    @property
    def trouble(self) -> errors.InsightsError | None:
        """Why it does not work at present; asks nothing."""
        return self._broken or self._worker.standing.trouble

    @property
    def pid(self) -> int | None:
        """The child's process id, while it lives."""
        return self._worker.pid

    def close(self, drain_s: float = 5.0) -> None:
        """End the child."""
        self._closed = True
        self._worker.close(drain_s)

    # --- the child -----------------------------------------------------------------------------

    def _spawn(self) -> Worker:
        return Worker(
            "insights.inference.generator", self._init, name=self._name, start_deadline_s=_LOAD_S
        )

    def _call(self, method: str, request: msgspec.Struct | None, reply: type[T]) -> T:
        with self._lock:
            refused = self._refusal()
        if refused is not None:
            raise refused
        try:
            answer = self._worker.call(method, request, reply, deadline_s=self._patience_s)
        except errors.WorkerDied as exc:
            raise self._told(exc) from exc
        self._meet()
        with self._lock:
            self._broken, self._pause_s = None, _PAUSE_S
        return answer

    @property
    def _patience_s(self) -> float:
        """How long an answer about itself may take before the child is ended as hung."""
        return _BUSY_S if self._in_flight else _ASK_S

    def _refusal(self) -> errors.GeneratorBroken | None:
        """Return why nothing is asked now: a broken generator is started anew after a pause."""
        return self._broken if self._clock() < self._ask_again else None

    def _meet(self) -> int | None:
        """Note a child that has started: it has proved itself with one generation."""
        with self._lock:
            child = self._worker.pid
            if child is not None and child != self._child:
                self._child, self._finished = child, 1
            return child

    def _done(
        self, child: int | None, done: Future[Generation], answer: Future[Generation]
    ) -> None:
        exc = None if done.cancelled() else done.exception()
        if isinstance(exc, errors.WorkerDied):
            exc = self._told(exc)
        with self._lock:
            self._in_flight -= 1
            self._lock.notify_all()
            if not done.cancelled() and exc is None:
                self._dead.clear()
                self._finished += child == self._child
                self._broken, self._pause_s = None, _PAUSE_S
        if done.cancelled() or not answer.set_running_or_notify_cancel():
            return
        if exc is not None:
            answer.set_exception(exc)
        else:
            answer.set_result(done.result())

    def _told(self, exc: errors.WorkerDied) -> errors.InsightsError:
        """Return what a death means: a plan too large, a build that does not work, or a death."""
        with self._lock:
            end = self._worker.last_end
            if end is None or self._closed:  # it was ended by us
                return exc
            if broken.for_memory(end):
                self._dead.add(end.pid)
                if self._shrink() or end.ready:
                    return exc
            new = self._child != end.pid or self._finished <= 1
            if end.ready and not (new and broken.illegal(end)):
                return exc
            if not end.ready:
                self._child, self._finished = None, 0
            if self._clock() < self._ask_again and self._broken is not None:
                return self._broken  # of the same start
            self._broken = broken.explained(self._name, self._init.path, end, str(exc))
            self._ask_again = self._clock() + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            return self._broken

    def _shrink(self) -> bool:
        """Answer repeated kills for memory with a smaller plan; return whether there is one."""
        if len(self._dead) < _DEATHS:
            return self._init.shrink < _SMALLEST
        self._dead.clear()
        if self._init.shrink >= _SMALLEST:
            return False
        self._grow_at = self._clock() + self._grow_s
        self._grow_s = min(2 * self._grow_s, _LONGEST_GROW_S)
        self._replan(self._init.shrink + 1, "generator gets a smaller plan")
        return True

    def _grow(self) -> None:
        """Try the next larger plan when the smaller one has held for long, with nothing in it."""
        if not self._init.shrink or self._clock() < self._grow_at:
            return
        if not self._lock.wait_for(lambda: not self._in_flight, _EMPTY_S):
            return
        if self._init.shrink and self._clock() >= self._grow_at:  # nobody else did meanwhile
            self._grow_at = self._clock() + self._grow_s
            self._replan(self._init.shrink - 1, "generator gets its larger plan back")

    def _replan(self, shrink: int, said: str) -> None:
        self._init = msgspec.structs.replace(self._init, shrink=shrink)
        old, self._worker = self._worker, self._spawn()
        self._info = None
        log.warning(said, child=self._name, halvings=shrink)
        threading.Thread(target=old.close, args=(0.0,), daemon=True).start()
