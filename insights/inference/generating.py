"""What the generator child does once it is confined: its main thread alone touches the context."""

import os
from typing import NoReturn

from insights import errors
from insights.inference.broken import OUT_OF_MEMORY
from insights.inference.constraint import check_schema
from insights.inference.engine import Engine
from insights.inference.messages import Checked, CheckRequest, GeneratorInit
from insights.model import AdaptedRequest, Generation
from insights.workers import serve


def run(server: serve.Server, init: GeneratorInit) -> NoReturn:
    """Load the model, make one generation to see that it works, then serve."""
    try:
        engine = Engine(init)
        engine.prove()
        while True:
            for call in server.poll(0 if engine.busy else None):
                _take(engine, call)
            if engine.busy:
                engine.step()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # the supervisor answers with a smaller plan


def _take(engine: Engine, call: serve.Call) -> None:
    if call.cancels:
        engine.cancel(_Answer(call))
        return
    try:
        match call.method:
            case "generate":
                engine.submit(call.decode(AdaptedRequest), _Answer(call))
            case "info":
                call.reply(engine.info())
            case "counters":
                call.reply(engine.counters())
            case "check":
                request = call.decode(CheckRequest)
                engine.check(request.roles, request.adapter)
                notes = check_schema(request.output_schema, request.abstain, where=request.where)
                call.reply(Checked(notes=tuple(notes)))
            case _:
                call.fail(errors.RowError(f"the generator has no method {call.method}"))
    except MemoryError:
        raise
    except Exception as exc:  # noqa: BLE001 - one bad request must not end the others'
        call.fail(exc)


class _Answer:
    """Sends the outcome of one call; equal to any other of the same call."""

    def __init__(self, call: serve.Call) -> None:
        self._call = call

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Answer) and other._call.id == self._call.id

    def __hash__(self) -> int:
        return hash(self._call.id)

    def __call__(self, outcome: Generation | errors.InsightsError) -> None:
        if isinstance(outcome, Generation):
            self._call.reply(outcome)
        else:
            self._call.fail(outcome)
