"""Failures on the way of a row: the one to blame pays, and nothing else waits for it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from insights import errors
from tests.desk import Desk, Model, Retriever, Source

HUNG = errors.WorkerDied("did not answer fetch in time and was killed")


def _events(logs: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [line["event"] for line in logs if line["log_level"] != "debug"]


# --- rendering ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{{ row.body | truncate(5) }}",
        "{{ row.body | length }}",
        "{{ row.body[:5] }}",
        "{{ row.body.strip() }}",
    ],
)
def test_a_null_that_a_template_cannot_take_is_that_rows_dead_letter(template: str) -> None:
    desk = Desk()
    model = desk.recipe(1, template=template)
    other = desk.recipe(2)
    ids = desk.queue.add(1, "a", None, "c", "d", "e", "f")
    desk.queue.add(2, "a", "b")
    for _ in range(4):
        desk.round(model, other)
    assert desk.queue.states() == {"done": 7, "dead": 1}
    assert desk.queue.todo[ids[1]].state == "dead"
    assert "line 1" in desk.queue.todo[ids[1]].reason
    assert desk.pipeline.held == 0


def test_a_template_that_renders_no_row_stops_its_recipe_alone() -> None:
    desk = Desk(batch=8)
    model = desk.recipe(1, template="{{ row.body.strip().nothing.of.that.name }}")
    other = desk.recipe(2)
    desk.queue.add(1, *"abcdefgh")
    desk.queue.add(2, *"abcdefgh")
    for _ in range(12):
        desk.round(model, other, pause_s=3.0)
    assert desk.queue.states(2) == {"done": 8}
    assert (desk.queue.states(1), desk.queue.charged()) == ({"pending": 8}, {})
    assert list(desk.pipeline.stopped) == ["p1"]
    assert isinstance(desk.pipeline.failure, errors.SettingsError)


# --- reading and retrieving -----------------------------------------------------------------------


def _always(exc: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise exc

    return fail


@pytest.mark.parametrize("exc", [HUNG, errors.SourceUnavailable("down")])
def test_a_reader_that_dies_five_times_charges_nobody_and_holds_no_other_source(
    exc: Exception,
) -> None:
    desk = Desk()
    source = Source(desk.queue, breaks=_always(exc))
    model, other = desk.recipe(1, source=source), desk.recipe(2)
    desk.queue.add(1, "a", "b")
    desk.queue.add(2, *"abcdefgh")
    with capture_logs() as logs:
        for _ in range(5):
            desk.round(model, other)
    assert desk.queue.states(1) == {"pending": 2}
    assert desk.queue.states(2) == {"done": 8}
    assert desk.queue.charged() == {}
    assert _events(logs) == ["stopped"]
    assert "p2" not in desk.pipeline.stopped
    source.breaks = lambda _: None
    for _ in range(3):
        desk.round(model, other)
    assert desk.queue.states() == {"done": 10}
    assert desk.pipeline.stopped == {}


def test_an_embedder_that_hangs_five_times_holds_only_recipes_that_retrieve() -> None:
    desk = Desk()
    retriever = Retriever(breaks=_always(HUNG))
    model, other = desk.recipe(1, retriever=retriever), desk.recipe(2)
    desk.queue.add(1, "a", "b")
    desk.queue.add(2, *"abcdefgh")
    for _ in range(5):
        desk.round(model, other)
    assert desk.queue.states(2) == {"done": 8}
    assert (desk.queue.states(1), desk.queue.charged()) == ({"pending": 2}, {})
    retriever.breaks = lambda: None
    for _ in range(3):
        desk.round(model, other)
    assert desk.queue.states() == {"done": 10}


@pytest.mark.parametrize(
    "exc", [errors.InsightsError("internal error: KeyError"), errors.RowError("no such value")]
)
def test_an_error_inside_a_reader_is_of_the_row_that_fails_alone(exc: Exception) -> None:
    desk = Desk()

    def fail(bodies: list[str | None]) -> None:
        if "bad" in bodies:
            raise exc

    model = desk.recipe(1, source=Source(desk.queue, breaks=fail))
    ids = desk.queue.add(1, "a", "bad", "c", "d", "e")
    for _ in range(6):
        desk.round(model)
    assert desk.queue.states() == {"done": 4, "dead": 1}
    assert desk.queue.todo[ids[1]].state == "dead"


def test_an_exception_nobody_foresaw_is_logged_once_with_its_traceback_and_no_row_text() -> None:
    desk, said = Desk(), "secret text of a row"

    def fail(bodies: list[str | None]) -> None:
        if "bad" in bodies:
            raise ValueError(said)

    model = desk.recipe(1, source=Source(desk.queue, breaks=fail))
    desk.queue.add(1, "a", "bad", "c")
    with capture_logs() as logs:
        for _ in range(3):
            desk.round(model, pause_s=6.0)
    (unforeseen,) = [line for line in logs if line["event"] == "unforeseen"]
    assert "in fail" in unforeseen["traceback"]
    assert said not in str(logs)
    assert desk.queue.states()["done"] == 2


# --- generating -----------------------------------------------------------------------------------


def test_a_generator_that_can_do_no_row_is_stopped_and_charges_nobody() -> None:
    desk = Desk()
    model, other = desk.recipe(1, model=Model(dies_of=("*",))), desk.recipe(2)
    desk.queue.add(1, *"abcdefgh")
    desk.queue.add(2, *"abcdefgh")
    with capture_logs() as logs:
        for _ in range(40):
            desk.round(model, other, pause_s=61.0)
    assert desk.queue.states(1) == {"pending": 8}
    assert desk.queue.states(2) == {"done": 8}
    assert desk.queue.charged() == {}
    assert "died of signal 4" in desk.pipeline.stopped["p1"]
    assert isinstance(desk.pipeline.failure, errors.WorkerDied)  # `run --once` ends with it
    assert len(model.together) > 10  # it is tried again, by one row each
    assert all(len(rows) == 1 for rows in model.together[4:])
    assert _events(logs) == ["stopped"]
    model.dies_of = ()
    for _ in range(5):
        desk.round(model, other)
    assert desk.queue.states() == {"done": 16}
    assert desk.pipeline.stopped == {}


def test_a_generator_that_breaks_after_it_had_worked_makes_no_dead_letters() -> None:
    desk = Desk()
    model = desk.recipe(1)
    desk.queue.add(1, *"abcd")
    desk.round(model)
    model.dies_of = ("*",)
    desk.queue.add(1, *"efghijklmnop")
    for _ in range(200):
        desk.round(model, pause_s=6.0)
    assert desk.queue.states() == {"done": 4, "pending": 12}
    assert len(desk.queue.charged()) < 3  # until the third in a row accuses the generator
    assert "died of signal 4" in desk.pipeline.stopped["p1"]
    model.dies_of = ()
    for _ in range(40):
        desk.round(model)
    assert desk.queue.states() == {"done": 16}


def test_a_damaged_model_stops_its_recipes_at_once_and_no_other() -> None:
    desk = Desk()
    damaged = errors.ModelError("is not the file that the settings name")
    model, other = desk.recipe(1, model=Model(breaks=_always(damaged))), desk.recipe(2)
    desk.queue.add(1, *"abcdefgh")
    desk.queue.add(2, *"abcdefgh")
    desk.round(model, other)
    assert "is not the file" in desk.pipeline.stopped["p1"]
    assert desk.pipeline.failure is None  # the other has rows to do
    while desk.queue.states(2)["done"] < 8:
        desk.round(other, pause_s=0.0)
    desk.round(other, pause_s=0.0)
    assert desk.pipeline.failure is not None  # `run --once` ends with it
    assert desk.pipeline.failure.exit_code == damaged.exit_code
    assert (desk.queue.states(1), desk.queue.charged()) == ({"pending": 8}, {})


def test_a_row_that_kills_alone_twice_is_a_dead_letter_and_no_neighbour_is_charged() -> None:
    desk = Desk()
    model = desk.recipe(1)
    desk.queue.add(1, *"abcd")
    desk.round(model)  # it works
    model.dies_of = ("bad",)
    (bad,) = desk.queue.add(1, "bad")
    desk.queue.add(1, *"efghij")
    for _ in range(40):
        desk.round(model, pause_s=6.0)
    assert desk.queue.states() == {"done": 10, "dead": 1}
    assert (desk.queue.todo[bad].state, desk.queue.todo[bad].attempts) == ("dead", 2)
    assert {one.attempts for one in desk.queue.todo.values() if one.state == "done"} == {1}


def test_suspects_run_strictly_alone_for_their_model_and_stop_no_other() -> None:
    desk = Desk()
    model = desk.recipe(1)
    desk.recipe(2, model=model)  # of another stream, with the same generator
    other = desk.recipe(3)
    desk.queue.add(1, *"abcd")
    desk.round(model)
    model.dies_of = ("bad",)
    desk.queue.add(1, "bad", "x")
    desk.queue.add(2, "y")
    desk.round(model, other)  # all three die together and are suspects
    desk.queue.add(1, *"efgh")
    desk.queue.add(2, *"efgh")
    desk.queue.add(3, *"efghijklmnop")
    model.together.clear()
    done = []
    for _ in range(12):
        desk.round(model, other, pause_s=6.0)
        done.append(desk.queue.states(3)["done"])
    for rows in model.together:
        assert rows == ["bad"] or "bad" not in rows
        assert len(rows) == 1 or not {"x", "y", "bad"} & set(rows)
    assert done[3] == 12  # four at once, in the first three rounds, whatever the others do
    assert desk.queue.states() == {"done": 4 + 2 + 8 + 12, "dead": 1}


def test_a_suspect_waits_for_its_model_to_be_empty_and_the_others_for_it() -> None:
    desk = Desk()
    model, other = desk.recipe(1), desk.recipe(3)
    desk.recipe(2, model=model)
    desk.queue.add(1, *"abcd")
    desk.round(model)
    model.dies_of = ("x",)
    desk.queue.add(1, "x")
    desk.round(model)  # it is a suspect now
    desk.queue.add(2, "slow")
    desk.clock.now += 1.0
    desk.pipeline.advance()
    desk.queue.add(1, *"efgh")
    desk.queue.add(2, *"efgh")
    desk.queue.add(3, *"efgh")
    desk.clock.now += 10.0  # the suspect is due
    for _ in range(3):
        desk.pipeline.advance()
    assert [body for body, _ in model.flight] == ["slow"]
    assert len(other.flight) == 3  # its fair share beside the one that is slow
    model.work()
    desk.pipeline.settle(0.0)
    for _ in range(3):
        desk.pipeline.advance()
    assert [body for body, _ in model.flight] == ["x"]
    model.work()
    desk.pipeline.settle(0.0)
    for _ in range(3):
        desk.pipeline.advance()
    assert len(model.flight) > 2  # until it is due again
    model.work()
    desk.pipeline.settle(0.0)
    desk.clock.now += 61.0
    desk.pipeline.advance()
    assert [body for body, _ in model.flight] == ["x"]


def test_an_error_of_the_generator_for_all_in_flight_is_of_the_row_that_fails_alone() -> None:
    desk = Desk()

    def fail(bodies: list[str]) -> None:
        if "bad" in bodies:
            raise errors.InsightsError("internal error: IndexError")

    model = desk.recipe(1, model=Model(breaks=fail))
    desk.queue.add(1, *"abcd", "bad", *"efgh")
    for _ in range(25):
        desk.round(model)
    assert desk.queue.states() == {"done": 8, "dead": 1}


def test_rows_whose_deadline_passes_are_fewer_at_once_until_one_is_too_slow_alone() -> None:
    desk = Desk()

    def fail(bodies: list[str]) -> None:
        if len(bodies) > 2 or "slow" in bodies:
            raise errors.Overloaded("the generation's deadline passed before it was done")

    model = desk.recipe(1, model=Model(breaks=fail))
    desk.queue.add(1, *"abcdef", "slow")
    for _ in range(40):
        desk.round(model)
    assert desk.queue.states() == {"done": 6, "dead": 1}


def test_a_model_server_that_is_down_charges_nobody() -> None:
    desk = Desk()
    model = desk.recipe(1, model=Model(breaks=_always(errors.ProviderUnavailable("no answer"))))
    desk.queue.add(1, *"abcdef")
    for _ in range(30):
        desk.round(model)
    assert (desk.queue.states(), desk.queue.charged()) == ({"pending": 6}, {})
    assert desk.pipeline.failure is None  # it passes by itself
    model.breaks = lambda _: None
    for _ in range(5):
        desk.round(model)
    assert desk.queue.states() == {"done": 6}


# --- writing --------------------------------------------------------------------------------------


def test_a_right_that_is_revoked_keeps_what_is_finished_until_the_grant() -> None:
    desk = Desk()
    model = desk.recipe(1)
    desk.queue.add(1, *"abcdefghijklmnop")
    desk.queue.refuses = errors.StoreError("permission denied for table insight", fix="GRANT")
    with capture_logs() as logs:
        for _ in range(20):
            desk.round(model)
            desk.pipeline.extend()
    assert desk.queue.states() == {"claimed": 4, "pending": 12}  # bounded, and nothing is lost
    assert _events(logs) == ["stopped"]
    assert "permission denied for table insight" in desk.pipeline.stopped["p1"]
    assert isinstance(desk.pipeline.failure, errors.StoreError)
    desk.queue.refuses = None
    for _ in range(6):
        desk.round(model)
    assert desk.queue.states() == {"done": 16}
    assert {one.attempts for one in desk.queue.todo.values()} == {1}
    assert len(model.together) == 4  # nothing was generated twice


def _extended_while(desk: Desk, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prolong leases right after a call of the queue has committed, before it has returned."""
    real = getattr(desk.queue, method)

    def committed(*args: object, **options: object) -> object:
        found = real(*args, **options)
        desk.pipeline.extend()
        return found

    monkeypatch.setattr(desk.queue, method, committed)


@pytest.mark.parametrize("method", ["write", "release", "missing"])
def test_a_lease_that_is_given_up_is_not_lost(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that prolongs leases sees them gone before the one that gave them up goes on."""
    desk = Desk()
    model = desk.recipe(1)
    desk.queue.add(1, *"abcd")
    _extended_while(desk, method, monkeypatch)
    if method == "missing":
        monkeypatch.setattr(desk.recipes[1].source, "fetch", lambda *_: [])
    with capture_logs() as logs:
        desk.pipeline.advance()
        if method == "release":
            desk.pipeline.give_back_all()
        model.work()
        desk.pipeline.settle(0.0)
    assert "leases lost" not in _events(logs)
    assert desk.pipeline.held == 0


def test_a_store_that_refuses_is_asked_again_after_a_pause_and_not_before() -> None:
    desk = Desk()
    model = desk.recipe(1)
    desk.queue.add(1, *"abcd")
    desk.queue.refuses = errors.StoreError("permission denied for table insight")
    for _ in range(50):
        desk.round(model, pause_s=0.0)
    assert desk.queue.tries == 1
    for _ in range(3):
        desk.round(model, pause_s=6.0)
    assert desk.queue.tries == 4


def test_what_the_store_cannot_hold_is_its_rows_own() -> None:
    desk = Desk()
    model = desk.recipe(1)
    desk.queue.add(1, "a", "unwritable", "c", "d")
    for _ in range(3):
        desk.round(model)
    assert desk.queue.states() == {"done": 3, "dead": 1}


def test_rows_that_cannot_be_given_back_hold_up_no_other() -> None:
    desk = Desk()

    def fail(bodies: list[str]) -> None:
        if "bad" in bodies:
            raise errors.ModelError("damaged")

    model = desk.recipe(1, model=Model(breaks=fail))
    desk.queue.add(1, "bad", "b", "c", "d")
    desk.queue.refuses_release = errors.StoreError("permission denied for table work")
    desk.pipeline.advance()
    model.work(most=1)
    model.work()
    desk.pipeline.settle(0.0)
    assert desk.queue.states() == {"done": 3, "claimed": 1}
    assert desk.pipeline.held == 0  # its lease ends by itself


def test_two_inputs_of_one_row_are_never_written_in_one_statement() -> None:
    desk = Desk()
    model = desk.recipe(1)
    desk.queue.add(1, "before", "after", "another")
    desk.queue.todo[2].row_id = 1
    desk.queue.todo[2].input_hash = b"i"
    desk.round(model)
    assert desk.queue.writes == [[1, 3], [2]]
