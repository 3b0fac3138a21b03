"""Routing by facts, the breaker, and what a remote model may never see."""

from concurrent.futures import Future
from itertools import product

import msgspec
import pytest

from insights import errors
from insights.enriching.recipe import request_for
from insights.inference.breaker import Breaker
from insights.inference.messages import RemoteInit
from insights.inference.remote_client import RemoteGenerator
from insights.inference.router import Facts, RoutedGenerator, route
from insights.model import GenerateRequest, Generation, Message, ModelInfo, Row, Segment
from tests.desk import Desk


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.recipe(1)
    return made


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


def request(*, sensitive: bool = False, personal: bool = False, text: str = "") -> GenerateRequest:
    message = Message(role="user", segments=(Segment(text=text, is_template=False),))
    return GenerateRequest(
        messages=(message,), output_schema={}, sensitive=sensitive, personal=personal
    )


@pytest.mark.parametrize("why", ["sensitive", "personal"])
def test_rows_that_are_to_stay_here_do_whatever_else_is_set(why: str) -> None:
    for prefers, local, remote, large, barred in product(
        ("local", "remote"), (True, False), (True, False), (True, False), ("local", "remote", None)
    ):
        facts = Facts(
            sensitive=why == "sensitive",
            personal=why == "personal",
            large=large,
            prefers=prefers,  # type: ignore[arg-type]
            local_works=local,
            remote_works=remote,
            barred=barred,  # type: ignore[arg-type]
        )
        assert route(facts).place == "local"


def test_a_row_with_personal_data_waits_for_the_local_model_and_says_why() -> None:
    local, remote = Fake("local"), Fake("remote:big")
    routed = RoutedGenerator(local, remote, prefers="remote", remote_from=1)
    assert routed.submit(request(personal=True)).result().route == "local (personal data)"
    local.fails = errors.WorkerDied("generator died")
    for _ in range(3):
        with pytest.raises(errors.InsightsError):
            routed.submit(request(personal=True, text="x" * 9)).result()
    assert remote.seen == 0


def test_a_long_prompt_is_the_servers_while_it_works() -> None:
    local, remote = Fake("local"), Fake("remote:big")
    routed = RoutedGenerator(local, remote, remote_from=100)
    assert routed.submit(request(text="x" * 99)).result().route == "local (preferred)"
    assert routed.submit(request(text="x" * 100)).result().route == "remote:big (large)"
    remote.fails = errors.ProviderUnavailable("down")
    with pytest.raises(errors.ProviderUnavailable):
        routed.submit(request(text="x" * 100)).result()
    assert routed.submit(request(text="x" * 100)).result().route == "local (preferred)"


def test_a_model_whose_budget_is_used_up_is_never_asked_and_the_insight_says_why() -> None:
    for prefers, local, remote, large, barred in product(
        ("local", "remote"), (True, False), (True, False), (True, False), ("local", "remote")
    ):
        facts = Facts(
            sensitive=False,
            large=large,
            prefers=prefers,  # type: ignore[arg-type]
            local_works=local,
            remote_works=remote,
            barred=barred,  # type: ignore[arg-type]
        )
        assert route(facts).place != barred
    routed = RoutedGenerator(
        Fake("local"),
        Fake("remote:big"),
        models={"near": "local", "big": "remote"},
        prefers="remote",
        remote_from=100,
    )

    def said(barred: str | None, text: str = "") -> str:
        asked = msgspec.structs.replace(request(text=text), barred=barred)
        return routed.submit(asked).result().route

    assert said(None) == said("near") == "remote:big (preferred)"
    assert said("big") == said("big", "x" * 100) == "local (budget)"
    assert said("near", "x" * 100) == "remote:big (large)"


def test_what_is_found_in_a_row_keeps_it_here(desk: Desk) -> None:
    for wanted, found, kept in (
        ({"iban"}, {"iban": 1, "phone": 2}, True),
        ({"iban"}, {"phone": 2}, False),
        ({"any"}, {"phone": 1}, True),
        ({"any"}, {}, False),
        (set(), {"iban": 1}, False),
    ):
        recipe = msgspec.structs.replace(desk.recipes[1], local_with=frozenset(wanted))
        row = Row("1", b"h", None, {"body": "It is dark."}, redactions=found)
        assert request_for(recipe, row, ()).personal is kept


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
    with pytest.raises(errors.SettingsError, match="local_with never leave this machine"):
        generator.submit(request(personal=True)).result()
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
