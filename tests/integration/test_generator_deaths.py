"""How a generator dies, what that means, and what follows."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from insights import errors
from insights.inference import llama
from insights.inference.client import LocalGenerator
from tests.asking import BODIES, request


@pytest.fixture
def generator(stand_in: Path) -> Iterator[LocalGenerator]:
    made = LocalGenerator(stand_in)
    yield made
    made.close()


@pytest.fixture
def new(stand_in: Path) -> Iterator[Callable[..., LocalGenerator]]:
    made: list[LocalGenerator] = []

    def start(path: Path = stand_in, sha256: str = "", **options: Any) -> LocalGenerator:  # noqa: ANN401
        made.append(LocalGenerator(path, sha256, **options))
        return made[-1]

    yield start
    for generator in made:
        generator.close()


def test_a_killed_generator_fails_what_was_in_flight_and_comes_back(
    generator: LocalGenerator,
) -> None:
    generator.info()
    assert generator.pid is not None
    os.kill(generator.pid, signal.SIGSTOP)
    futures = [generator.submit(request(body)) for body in BODIES]
    os.kill(generator.pid, signal.SIGKILL)
    for future in futures:
        with pytest.raises(errors.WorkerDied):
            future.result(60)
    assert json.loads(generator.submit(request(BODIES[0])).result(60).text)


def kill(generator: LocalGenerator, number: int) -> None:
    """Let the child die of a signal with a row in flight."""
    generator.counters()  # a child is there
    assert generator.pid is not None
    os.kill(generator.pid, signal.SIGSTOP)
    doomed = generator.submit(request(BODIES[0]))
    os.kill(generator.pid, number)
    if number != signal.SIGKILL:
        os.kill(generator.pid, signal.SIGCONT)
    with pytest.raises(errors.InsightsError):
        doomed.result(60)


def test_kills_for_memory_lead_to_a_smaller_plan_that_grows_back(
    new: Callable[..., LocalGenerator],
) -> None:
    now = [0.0]
    generator = new(clock=lambda: now[0])
    before = generator.info().parallel
    for _ in range(2):
        kill(generator, signal.SIGKILL)
    assert generator.info().parallel < before
    assert json.loads(generator.submit(request(BODIES[0])).result(60).text)
    assert generator.info().parallel < before
    now[0] += 3_601
    in_flight = [generator.submit(request(body)) for body in BODIES]
    assert all(json.loads(future.result(60).text) for future in in_flight)
    assert generator.info().parallel == before


def test_a_crash_is_no_want_of_memory(generator: LocalGenerator) -> None:
    before = generator.info().parallel
    for _ in range(3):
        kill(generator, signal.SIGSEGV)
    assert generator.info().parallel == before


def test_a_generator_is_proved_before_it_is_ready(generator: LocalGenerator) -> None:
    assert not generator.proved
    generator.info()
    assert generator.proved
    assert generator.finished_since_start == 1
    generator.submit(request(BODIES[0])).result(60)
    assert generator.finished_since_start == 2
    assert generator.counters().rows == 1  # what it proves itself with is no row


DIES_OF = """
import os, sys
from insights.inference import generator, llama
llama.Context.decode = lambda *_: os.kill(os.getpid(), {number})
sys.argv = ["", {descriptor!r}]
generator.main()
"""


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Generators that die of a signal where they would compute; the list counts their starts."""
    started: list[int] = []
    real = subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:  # noqa: ANN401
        if "insights.inference.generator" in command:
            started.append(1)
            code = DIES_OF.format(number=int(signal.SIGILL), descriptor=command[-1])
            command = [command[0], "-c", code]
        return real(command, **options)

    monkeypatch.setattr("insights.workers.process.subprocess.Popen", start)
    return started


def test_a_generator_that_cannot_compute_here_is_one_clear_error(
    dying: list[int], generator: LocalGenerator
) -> None:
    with pytest.raises(errors.GeneratorBroken) as caught:
        generator.info()
    said = str(caught.value)
    assert "SIGILL (illegal instruction)" in said
    assert "no row is to blame" in said
    assert "was compiled for" in said
    assert "this CPU has" in said
    assert "pip install" in said
    assert f"llama-cpp-python=={llama.version()}" in said
    assert not generator.proved
    assert generator.finished_since_start == 0
    refused = generator.submit(request(BODIES[0]))  # told again, without another start
    with pytest.raises(errors.GeneratorBroken):
        refused.result(1)
    assert len(dying) == 1


def test_a_broken_generator_is_tried_again_after_a_pause(
    dying: list[int], new: Callable[..., LocalGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    generator = new(clock=lambda: now[0])
    with pytest.raises(errors.GeneratorBroken):
        generator.submit(request(BODIES[0])).result(60)
    monkeypatch.undo()  # somebody has built llama.cpp anew
    now[0] += 301
    assert json.loads(generator.submit(request(BODIES[0])).result(60).text)
    assert generator.proved
    assert len(dying) == 1
