"""Routing by facts, the breaker, and what a remote model may never see."""

from concurrent.futures import Future
from itertools import product

import pytest

from insights import errors
from insights.inference.breaker import Breaker
from insights.inference.messages import RemoteInit
from insights.inference.remote_client import RemoteGenerator
from insights.inference.router import Facts, RoutedGenerator, route
from insights.model import GenerateRequest, Generation, ModelInfo


class Fake:
    """A generator that answers, or fails, at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fails: errors.InsightsError | None = None
        self.seen = 0

    def info(self) -> ModelInfo:
        return ModelInfo(
            name=self.name,
            sha256="",
            chat_template_sha256="",
            context=1,
            parallel=1,
            device="",
        )

    def submit(self, _request: GenerateRequest) -> Future[Generation]:
        self.seen += 1
        future: Future[Generation] = Future()
        if self.fails:
            future.set_exception(self.fails)
        else:
            future.set_result(
                Generation(text="{}", finish="stop", model=self.name, route=self.name)
            )
        return future


def request(*, sensitive: bool = False) -> GenerateRequest:
    return GenerateRequest(messages=(), output_schema={}, sensitive=sensitive)


def test_sensitive_rows_stay_here_whatever_else_is_set() -> None:
    for prefers, local, remote in product(("local", "remote"), (True, False), (True, False)):
        facts = Facts(
            sensitive=True,
            prefers=prefers,  # type: ignore[arg-type]
            local_works=local,
            remote_works=remote,
        )
        assert route(facts).place == "local"


def test_an_outage_sends_rows_to_the_other_place_and_the_insight_says_why() -> None:
    local, remote = Fake("local"), Fake("remote:big")
    routed = RoutedGenerator(local, remote)
    assert routed.submit(request()).result().route == "local (preferred)"
    local.fails = errors.WorkerDied("generator died")
    with pytest.raises(errors.WorkerDied):
        routed.submit(request()).result()
    assert routed.submit(request()).result().route == "remote:big (local outage)"
    with pytest.raises(errors.WorkerDied):
        routed.submit(request(sensitive=True)).result()
    assert remote.seen == 1


def test_a_row_that_is_wrong_is_no_outage() -> None:
    local, remote = Fake("local"), Fake("remote:big")
    local.fails = errors.RowError("nothing to quote")
    routed = RoutedGenerator(local, remote)
    for _ in range(3):
        with pytest.raises(errors.RowError):
            routed.submit(request()).result()
    assert remote.seen == 0


def test_the_breaker_opens_pauses_and_lets_one_request_try() -> None:
    now = [0.0]
    breaker = Breaker(3, clock=lambda: now[0])
    for _ in range(3):
        assert breaker.admit()
        breaker.record(answered=False)
    assert not breaker.admit()
    now[0] = 1.0
    assert breaker.admit()
    assert not breaker.admit(), "one at a time"
    breaker.record(answered=False)
    now[0] = 1.9
    assert not breaker.admit(), "the pause has grown"
    now[0] = 4.0
    assert breaker.admit()
    breaker.record(answered=True)
    assert breaker.admit()
    assert breaker.admit()


def test_a_sensitive_row_is_refused_before_anything_starts() -> None:
    init = RemoteInit(name="big", url="http://127.0.0.1:9/v1", model="m")
    generator = RemoteGenerator(init)
    with pytest.raises(errors.SettingsError, match="never leave this machine"):
        generator.submit(request(sensitive=True)).result()
    generator.close()


def test_giving_a_row_up_gives_it_up_where_it_was_sent_and_tries_again() -> None:
    asked: list[Future[Generation]] = []

    class Slow(Fake):
        def submit(self, _request: GenerateRequest) -> Future[Generation]:
            asked.append(Future())
            return asked[-1]

    routed = RoutedGenerator(Slow("local"), Fake("remote"))
    given = routed.submit(request())
    assert given.cancel()
    assert asked[0].cancelled()
    assert not routed.submit(request()).done()  # no outage: it still goes where it is preferred
    assert len(asked) == 2


def test_a_probe_that_is_given_up_lets_another_try() -> None:
    now = [0.0]
    breaker = Breaker(1, clock=lambda: now[0])
    breaker.record(answered=False)
    now[0] = 5.0
    assert breaker.admit()
    assert not breaker.admit()
    breaker.withdraw()
    assert breaker.admit()
