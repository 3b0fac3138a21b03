"""A model server as the flow sees it: the `Generator` port over the remote child."""

import hashlib
from concurrent.futures import Future

from insights import errors
from insights.inference.breaker import Breaker
from insights.inference.messages import RemoteInit
from insights.model import GenerateRequest, Generation, ModelInfo
from insights.workers.process import Worker

_GRACE_S = 30.0
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
        """Start one generation; a sensitive row is refused, whatever else is set."""
        try:
            if request.sensitive:
                raise errors.SettingsError(
                    "a sensitive stream's rows never leave this machine",
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
        future = self._worker.submit(
            "generate", request, Generation, deadline_s=request.deadline_s + _GRACE_S
        )
        future.add_done_callback(self._note)
        return future

    def close(self, drain_s: float = 5.0) -> None:
        """End the child."""
        self._worker.close(drain_s)

    def _note(self, done: Future[Generation]) -> None:
        if done.cancelled():
            self.breaker.withdraw()
            return
        outage = (errors.ProviderUnavailable, errors.WorkerDied)
        self.breaker.record(answered=not isinstance(done.exception(), outage))
