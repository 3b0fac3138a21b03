"""A model server as the flow sees it: the `Generator` port over the remote child."""

import hashlib
from concurrent.futures import Future

from insights import errors
from insights.inference.breaker import Breaker
from insights.inference.messages import RemoteInit
from insights.model import GenerateRequest, Generation, ModelInfo
from insights.workers.process import Standing, Worker

_GRACE_S = 30.0  # the child answers by the request's deadline itself; past this it must be hung
_FAILURES = 5  # in a row before the breaker opens


class RemoteGenerator:
    """A model on an OpenAI-compatible server; implements `ports.Generator`.

    Args:
        init: The server, its model and key; the key goes to the child's first frame only.
        breaker: Replaceable for tests.
    """

    def __init__(self, init: RemoteInit, *, breaker: Breaker | None = None) -> None:
        self._init = init
        self.breaker = breaker or Breaker(_FAILURES)
        self._worker = Worker("insights.inference.remote", init, name=f"remote {init.name}")

    def info(self) -> ModelInfo:
        """Return what is known of a remote model: its name and place stand for its identity."""
        identity = f"{self._init.url} {self._init.model}".encode()
        return ModelInfo(
            name=self._init.model,
            sha256=hashlib.sha256(identity).hexdigest(),
            chat_template_sha256="",
            context=self._init.context,
            parallel=self._init.parallel,
            device="remote",
            description=self._init.url,
        )

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        """Start one generation; a row that is to stay here is refused, whatever else is set."""
        try:
            if request.sensitive or request.personal:
                whose = "a sensitive stream's rows" if request.sensitive else "rows of local_with"
                raise errors.SettingsError(
                    f"{whose} never leave this machine",
                    where=self._init.url,
                    fix="give its pipeline a local model",
                )
            if not self.breaker.admit():
                raise errors.ProviderUnavailable(
                    "did not answer; it is asked again after a pause", where=self._init.url
                )
        except errors.InsightsError as exc:
            refused: Future[Generation] = Future()
            refused.set_exception(exc)
            return refused
        answer: Future[Generation] = Future()
        asked = self._worker.submit(
            "generate", request, Generation, deadline_s=request.deadline_s + _GRACE_S
        )
        answer.add_done_callback(lambda given: asked.cancel() if given.cancelled() else None)
        asked.add_done_callback(lambda done: self._done(done, answer))
        return answer

    @property
    def pid(self) -> int | None:
        """The child's process id, while it lives."""
        return self._worker.pid

    @property
    def standing(self) -> Standing:
        """What the calls so far tell of the server; asks nothing."""
        return self._worker.standing

    def close(self, drain_s: float = 5.0) -> None:
        """End the child."""
        self._worker.close(drain_s)

    def _done(self, asked: Future[Generation], answer: Future[Generation]) -> None:
        """Pass an answer on. The child only waits for a server: its end is an outage, no death."""
        if asked.cancelled():
            self.breaker.withdraw()
            return
        exc = asked.exception()
        if isinstance(exc, errors.WorkerDied):
            exc = errors.ProviderUnavailable(str(exc), where=self._init.url)
        self.breaker.record(answered=not isinstance(exc, errors.ProviderUnavailable))
        if not answer.set_running_or_notify_cancel():
            return
        if exc is not None:
            answer.set_exception(exc)
        else:
            answer.set_result(asked.result())
