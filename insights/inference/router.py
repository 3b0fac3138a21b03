"""Where a row is generated: one function from facts to route, and a generator that follows it."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Literal

import msgspec

from insights import errors
from insights.inference.breaker import Breaker
from insights.model import GenerateRequest, Generation, ModelInfo, Value
from insights.ports import Generator

Place = Literal["local", "remote"]
_OUTAGE = (errors.WorkerDied, errors.ModelError, errors.ProviderUnavailable)


class Facts(Value, frozen=True):
    """What routing may depend on. `prefers` is the pipeline's own choice.

    `personal`: in the row something was found that keeps it here. `large`: its prompt is one for
    the server. `barred`: whose model's budget is used up, and has nothing reserved for the row.
    """

    sensitive: bool
    personal: bool = False
    large: bool = False
    prefers: Place = "local"
    local_works: bool = True
    remote_works: bool = True
    barred: Place | None = None


class Route(Value, frozen=True):
    """A decision and its reason, which stands on the insight."""

    place: Place
    reason: str


def route(facts: Facts) -> Route:
    """Decide. What may not leave stays on this machine, whatever else is set."""
    if facts.sensitive:
        return Route(place="local", reason="sensitive")
    if facts.personal:
        return Route(place="local", reason="personal data")
    wanted = _wanted(facts)
    if wanted.place == facts.barred:
        return Route(place="remote" if facts.barred == "local" else "local", reason="budget")
    return wanted


def _wanted(facts: Facts) -> Route:
    """Decide about a row that may go anywhere and costs nothing."""
    if facts.large and facts.remote_works:
        return Route(place="remote", reason="large")
    if facts.prefers == "local" and not facts.local_works and facts.remote_works:
        return Route(place="remote", reason="local outage")
    if facts.prefers == "remote" and not facts.remote_works and facts.local_works:
        return Route(place="local", reason="remote outage")
    return Route(place=facts.prefers, reason="preferred")


class RoutedGenerator:
    """A local and a remote generator behind one port; the decision is recorded on the generation.

    Args:
        local: On this machine.
        remote: On a server; its rows are never sensitive.
        models: How the settings call the two.
        prefers: Where rows go while both work.
        remote_from: Characters of a prompt from which it is the remote one's; None: none is.
    """

    def __init__(
        self,
        local: Generator,
        remote: Generator,
        *,
        models: Mapping[str, Place] | None = None,
        prefers: Place = "local",
        remote_from: int | None = None,
    ) -> None:
        self._models = models or {}
        self._remote_from = remote_from
        self._places: dict[Place, Generator] = {"local": local, "remote": remote}
        self._prefers: Place = prefers
        self._breakers: dict[Place, Breaker] = {"local": Breaker(1), "remote": Breaker(1)}

    def info(self) -> ModelInfo:
        """Return the preferred model's identity."""
        return self._places[self._prefers].info()

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        """Start one generation where the facts send it.

        A row that meets an outage is not moved: it comes back as unblamed work and is routed anew.
        """
        decision = route(
            Facts(
                sensitive=request.sensitive,
                personal=request.personal,
                large=self._remote_from is not None and request.characters >= self._remote_from,
                prefers=self._prefers,
                local_works=self._breakers["local"].works,
                remote_works=self._breakers["remote"].works,
                barred=self._models.get(request.barred or ""),
            )
        )
        breaker = self._breakers[decision.place]
        breaker.admit()
        answer: Future[Generation] = Future()

        def done(future: Future[Generation]) -> None:
            if future.cancelled():
                breaker.withdraw()
                return
            if not answer.set_running_or_notify_cancel():  # given up while the answer came
                breaker.record(answered=True)
                return
            exc = future.exception()
            breaker.record(answered=not isinstance(exc, _OUTAGE))
            if exc is not None:
                answer.set_exception(exc)
                return
            made = future.result()
            said = f"{made.route} ({decision.reason})"
            answer.set_result(msgspec.structs.replace(made, route=said))

        asked = self._places[decision.place].submit(request)
        answer.add_done_callback(lambda given: asked.cancel() if given.cancelled() else None)
        asked.add_done_callback(done)
        return answer
