"""Who is to blame, line by line of the table in `insights.enriching.blame`."""

import msgspec
import pytest
from structlog.testing import capture_logs

from insights import errors
from insights.enriching.blame import (
    RETRY_S,
    STRANGERS,
    TURN_S,
    Evidence,
    Ruling,
    Step,
    decide,
)
from insights.enriching.breakers import Breaker, Breakers

STEPS: tuple[Step, ...] = ("read", "retrieve", "render", "generate", "validate", "write")
NOBODY = Ruling()
ATTEMPT = Ruling(charge=True)
DEAD = Ruling(charge=True, bury=True)
EACH = Ruling(narrow=True)
DAMAGED = Ruling(opens="model", at_once=True, lasting=True)
DIED = errors.WorkerDied("died of signal 6")
BAD_ROW = errors.RowError("a value cannot be read")


def _evidence(
    *, alone: bool = False, worked: bool = True, strangers: int = 1, times: int = 1
) -> Evidence:
    return Evidence(alone=alone, worked=worked, strangers=strangers, times=times)


TOGETHER, ALONE = _evidence(), _evidence(alone=True)
ALONE_TWICE = _evidence(alone=True, times=2)
NEVER_WORKED = _evidence(worked=False)
ALONE_NEVER_WORKED = _evidence(alone=True, worked=False)
THIRD_STRANGER = _evidence(alone=True, strangers=STRANGERS, times=2)
THIRD_NEVER_WORKED = _evidence(alone=True, worked=False, strangers=STRANGERS)
LATER = TURN_S * STRANGERS


@pytest.mark.parametrize("step", STEPS)
def test_a_store_that_does_not_answer_is_nobodys_fault(step: Step) -> None:
    assert decide(step, errors.StoreUnavailable("down"), ALONE_TWICE) == NOBODY


@pytest.mark.parametrize("step", [step for step in STEPS if step != "retrieve"])
def test_a_right_that_is_missing_stops_the_store_and_charges_nobody(step: Step) -> None:
    refused = errors.StoreError("permission denied")
    assert decide(step, refused, ALONE_TWICE) == Ruling(opens="store", lasting=True)


@pytest.mark.parametrize("evidence", [TOGETHER, ALONE_TWICE, NEVER_WORKED])
@pytest.mark.parametrize(
    ("step", "exc", "ruling"),
    [
        ("read", DIED, Ruling(opens="source")),
        ("read", errors.SourceUnavailable("down"), Ruling(opens="source")),
        ("read", errors.SettingsError("login refused"), Ruling(opens="source", lasting=True)),
        ("read", errors.StreamError("no such column"), Ruling(opens="recipe", lasting=True)),
        ("retrieve", DIED, Ruling(opens="retrieval")),
        ("retrieve", errors.StoreError("no right"), Ruling(opens="retrieval", lasting=True)),
        ("retrieve", errors.KnowledgeError("no vectors"), Ruling(opens="retrieval", lasting=True)),
        ("retrieve", errors.SettingsError("no filter"), Ruling(opens="retrieval", lasting=True)),
        ("generate", errors.ProviderUnavailable("slow"), Ruling(opens="model")),
        ("generate", errors.ModelError("damaged"), DAMAGED),
        ("generate", errors.AdapterError("cut"), Ruling(opens="recipe", lasting=True)),
        ("generate", errors.SettingsError("sensitive"), Ruling(opens="recipe", lasting=True)),
    ],
)
def test_what_rows_share_fails_at_nobodys_cost(
    step: Step, exc: errors.InsightsError, ruling: Ruling, evidence: Evidence
) -> None:
    assert decide(step, exc, evidence) == ruling


@pytest.mark.parametrize("step", ["read", "retrieve", "write"])
def test_a_rows_data_is_looked_for_among_several_and_then_charged(step: Step) -> None:
    assert decide(step, BAD_ROW, TOGETHER) == EACH
    for evidence in (ALONE, ALONE_NEVER_WORKED, THIRD_STRANGER, THIRD_NEVER_WORKED):
        assert decide(step, BAD_ROW, evidence) == DEAD  # a bulk of bad rows is that


@pytest.mark.parametrize(
    ("step", "exc", "part"),
    [
        ("render", BAD_ROW, "template"),
        ("render", TypeError("None has no length"), "template"),
        ("render", errors.SettingsError("nothing of that name"), "template"),
        ("generate", BAD_ROW, "model"),
    ],
)
def test_what_is_known_to_be_of_this_row_is_its_own(step: Step, exc: Exception, part: str) -> None:
    assert decide(step, exc, TOGETHER) == DEAD
    assert decide(step, exc, NEVER_WORKED) == (DEAD if exc is BAD_ROW else ATTEMPT)
    ruling = decide(step, exc, THIRD_NEVER_WORKED)
    assert (ruling.charge, ruling.bury, ruling.opens) == (False, False, part)
    assert ruling.delay_s == LATER  # the next to try is another row


def test_a_death_is_nobodys_where_the_generator_has_finished_nothing() -> None:
    assert decide("generate", DIED, NEVER_WORKED) == Ruling(opens="model", lasting=True)
    assert decide("generate", DIED, ALONE_NEVER_WORKED) == Ruling(opens="model", lasting=True)


def test_a_row_over_which_the_recognizer_dies_is_looked_for_and_an_outage_is_nobodys() -> None:
    died = errors.RecognizerDied("late")
    assert decide("read", died, TOGETHER) == decide("read", died, NEVER_WORKED) == EACH
    charged = Ruling(charge=True, delay_s=TURN_S)
    assert decide("read", died, ALONE) == charged
    assert decide("read", died, ALONE_TWICE) == _with(charged, bury=True)
    assert decide("read", died, ALONE_NEVER_WORKED) == Ruling(opens="names")
    assert decide("read", died, THIRD_STRANGER) == Ruling(opens="names", delay_s=LATER)
    assert decide("read", errors.LoaderUnavailable("no memory"), ALONE) == Ruling(opens="files")
    lasting = Ruling(opens="names", at_once=True, lasting=True)
    assert decide("read", errors.ModelError("damaged"), TOGETHER) == lasting


def test_a_death_isolates_and_alone_the_second_one_is_the_rows() -> None:
    assert decide("generate", DIED, TOGETHER) == Ruling(isolate=True)
    charged = Ruling(charge=True, isolate=True, delay_s=TURN_S)
    assert decide("generate", DIED, ALONE) == charged
    assert decide("generate", DIED, ALONE_TWICE) == _with(charged, bury=True)


def test_a_row_that_was_the_only_one_is_dead_when_it_has_failed_four_times() -> None:
    for exc in (DIED, ValueError("?")):
        buried = [
            decide("generate", exc, Evidence(alone=True, worked=True, times=n, again=n > 1)).bury
            for n in range(1, 5)
        ]
        assert buried == [False, False, False, True]


def test_three_rows_that_die_alone_one_after_the_other_accuse_the_generator() -> None:
    ruling = decide("generate", DIED, THIRD_STRANGER)
    assert ruling == Ruling(opens="model", at_once=True, lasting=True, delay_s=LATER)


def test_a_deadline_is_the_rows_only_where_it_was_alone() -> None:
    late = errors.Overloaded("the generation's deadline passed")
    assert decide("generate", late, TOGETHER) == Ruling(ease=True)
    assert decide("generate", late, ALONE) == ATTEMPT
    assert decide("generate", late, ALONE_TWICE) == DEAD


@pytest.mark.parametrize("exc", [ValueError("?"), errors.InsightsError("internal error: KeyError")])
def test_the_unforeseen_charges_no_batch(exc: Exception) -> None:
    unforeseen = Ruling(unforeseen=True)
    of_each: tuple[Step, ...] = ("generate", "validate")
    in_one_call: tuple[Step, ...] = ("read", "retrieve", "write")
    for step in in_one_call:
        assert decide(step, exc, TOGETHER) == _with(unforeseen, narrow=True)
    assert decide("generate", exc, TOGETHER) == _with(unforeseen, isolate=True)
    for step in (*in_one_call, *of_each):
        charged = Ruling(unforeseen=True, charge=True, delay_s=TURN_S)
        assert decide(step, exc, ALONE) == charged
        assert decide(step, exc, ALONE_TWICE) == _with(charged, bury=True)
        for evidence in (ALONE_NEVER_WORKED, THIRD_STRANGER):
            ruling = decide(step, exc, evidence)
            assert (ruling.charge, ruling.bury) == (False, False)
            assert ruling.opens is not None


def _with(ruling: Ruling, **changes: bool) -> Ruling:
    return msgspec.structs.replace(ruling, **changes)


# --- breakers -------------------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_breaker_opens_tries_one_and_closes_with_one_line_each() -> None:
    clock = Clock()
    breaker = Breaker("source", "legacy", clock)
    assert breaker.admits() == "all"
    with capture_logs() as logs:
        for _ in range(32):  # rows of one batch: one failure
            breaker.failed(errors.SourceUnavailable("down"), since=99.0, rows=1, lasting=False)
        assert breaker.admits() == "none"
        for _ in range(20):
            clock.now += 61.0
            assert breaker.admits() == "one"
            breaker.trying()
            assert breaker.admits() == "none"
            breaker.failed(errors.SourceUnavailable("down"), since=clock.now, rows=1, lasting=False)
        assert breaker.reason == "down"
        breaker.passed()
    assert breaker.admits() == "all"
    assert [line["event"] for line in logs] == ["stopped", "works again"]
    assert (logs[1]["failures"], logs[1]["rows"]) == (21, 52)


def test_a_model_is_stopped_by_the_third_death_in_a_row_and_not_by_rows_of_one() -> None:
    clock = Clock()
    breaker = Breaker("model", "big", clock)
    for deaths in range(1, 4):
        sent, clock.now = clock.now, clock.now + 1.0
        for _ in range(32):
            breaker.failed(DIED, since=sent, rows=1, lasting=True)
        assert breaker.is_open == (deaths == 3)
        clock.now += 1.0
    breaker.passed()
    assert not breaker.is_open


def test_rows_wait_for_whatever_they_need() -> None:
    breakers = Breakers(Clock())
    down = errors.SourceUnavailable("down")
    breakers.of(("source", "a")).failed(down, since=100.0, rows=1, lasting=False)
    assert breakers.admit([("source", "a"), ("model", "m")]) == "none"
    assert breakers.admit([("source", "b"), ("model", "m")]) == "all"
    assert [one.name for one in breakers.open([("source", "a"), ("source", "b")])] == ["a"]


def test_a_row_waits_its_turn_the_longer_the_more_others_failed() -> None:
    assert _evidence(strangers=1).turn_s == RETRY_S
    assert _evidence(strangers=4).turn_s == 4 * TURN_S
    assert _evidence(strangers=99).turn_s == 600.0
