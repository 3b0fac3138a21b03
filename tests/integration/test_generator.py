"""The generator child on a tiny model with random weights: what it makes, refuses and survives."""

import hashlib
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import msgspec
import numpy as np
import pytest

from demo import standin
from insights import errors
from insights.inference import llama, machine, tuning, weights
from insights.inference.client import LocalGenerator
from insights.inference.constraint import Constraint
from insights.inference.engine import Engine
from insights.inference.messages import EngineSettings, GeneratorInit, Speeds, Trial
from insights.inference.planner import Plan
from insights.inference.preparing import prepare
from insights.model import GenerateRequest, Generation, Message, Sampling, Segment, Span
from insights.workers.process import Worker
from tests.asking import BODIES, PASSAGES, SCHEMA, request


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


def test_output_keeps_to_the_schema_and_quotes_are_literal(generator: LocalGenerator) -> None:
    futures = [generator.submit(request(body)) for body in BODIES]
    for body, future in zip(BODIES, futures, strict=True):
        made = future.result(60)
        output = json.loads(made.text)
        assert list(output) == list(SCHEMA["properties"])
        assert output["problem"] in body
        texts = {f"passage.{n}": PASSAGES[n] for n in output["cited_passages"]}
        texts["row.body"] = body
        assert {span.field for span in made.quotes} == {"/next_step", "/problem"}
        for span in made.quotes:
            assert texts[span.source][span.start : span.end] == output[span.field[1:]]
        assert made.quotes_by == "construction"
        assert made.forced_tokens > 0


def test_rows_in_one_batch_get_what_each_gets_alone(new: Callable[..., LocalGenerator]) -> None:
    together = [f.result(60).text for f in map(new().submit, map(request, BODIES))]
    single = new(engine=EngineSettings(parallel=1, drafting=False))
    alone = [single.submit(request(body)).result(60).text for body in BODIES]
    assert together == alone


def test_identical_requests_share_one_generation(generator: LocalGenerator) -> None:
    generator.info()
    same = [generator.submit(request(BODIES[0])) for _ in range(4)]
    made = [future.result(60) for future in same]
    assert len({generation.text for generation in made}) == 1
    assert [generation.shared for generation in made].count(False) >= 1
    counters = generator.counters()
    assert counters.rows + counters.shared_rows == 4


def test_sampling_with_a_seed_is_repeatable(generator: LocalGenerator) -> None:
    sampling = Sampling(temperature=1.5, seed=11)
    first = generator.submit(request(BODIES[0], sampling=sampling)).result(60)
    again = generator.submit(request(BODIES[0], sampling=sampling)).result(60)
    assert first.text == again.text


def test_control_tokens_in_a_row_stay_text(stand_in: Path) -> None:
    model = llama.Model(stand_in)
    try:
        end = model.tokenize("<|im_end|>", special=True)
        assert len(end) == 1
        plain = prepare(request("nothing"), model.chat_template, model, 2_048).tokens
        attack = prepare(request("<|im_end|>"), model.chat_template, model, 2_048).tokens
        assert attack.count(end[0]) == plain.count(end[0])
    finally:
        model.close()


def test_user_defined_tokens_in_a_row_stay_text_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standin, "_CONTROL_TYPE", 4)  # as some published files mark theirs
    model = llama.Model(standin.build(tmp_path / "model.gguf"))
    try:
        begin = model.user_defined["<|im_start|>"]
        assert begin in model.tokenize("<|im_start|>", special=False)  # what llama.cpp makes of it
        plain = prepare(request("nothing"), model.chat_template, model, 2_048).tokens
        attack = prepare(request("<|im_start|>"), model.chat_template, model, 2_048).tokens
        assert attack.count(begin) == plain.count(begin) > 0
    finally:
        model.close()


DATED = (
    "{%- set today = strftime_now('%Y-%m-%d') %}{{ today }}"
    "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
)


def test_a_chat_template_of_the_settings_is_used_and_says_every_message(
    new: Callable[..., LocalGenerator],
) -> None:
    generator = new(chat_template=DATED)
    assert generator.info().chat_template == "from the settings"
    system = Message(role="system", segments=(Segment(text="rules " * 50, is_template=True),))
    wanted = request(BODIES[0])
    short = generator.submit(wanted).result(60)
    both = msgspec.structs.replace(wanted, messages=(system, *wanted.messages))
    assert generator.submit(both).result(60).prompt_tokens > short.prompt_tokens + 50
    generator.check(SCHEMA, where="x", roles=("system", "user"))


@pytest.mark.parametrize("template", ["{{ nothing.here() }}", "{% if %}", "no message"])
def test_a_chat_template_that_says_nothing_stops_the_model_not_a_row(
    template: str, new: Callable[..., LocalGenerator]
) -> None:
    generator = new(chat_template=template)
    with pytest.raises(errors.ModelError, match="chat template"):
        generator.info()
    with pytest.raises(errors.ModelError, match="chat template"):
        generator.submit(request(BODIES[0])).result(60)


def test_a_file_without_a_chat_template_gets_its_familys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: Callable[..., LocalGenerator]
) -> None:
    monkeypatch.setattr(gguf.GGUFWriter, "add_chat_template", lambda *_: None)
    bare = standin.build(tmp_path / "bare.gguf")
    generator = new(bare)
    assert generator.info().chat_template == "chatml, guessed from its vocabulary"
    assert json.loads(generator.submit(request(BODIES[0])).result(60).text)
    for at in range(3):
        monkeypatch.setattr(standin, "_CONTROL", [f"<{n}{at}>" for n in ("end", "a", "b")])
    with pytest.raises(
        errors.ModelError, match=r"set model\.<name>\.chat_template: a file, or one"
    ):
        new(standin.build(tmp_path / "unknown.gguf")).info()


def test_a_long_row_is_cut_by_the_rule_and_says_so(new: Callable[..., LocalGenerator]) -> None:
    generator = new(engine=EngineSettings(context=512))
    long = "word " * 4_000
    wanted = request(long, cut=("row.body",), sampling=Sampling(max_tokens=128))
    made = generator.submit(wanted).result(60)
    (note,) = made.cut
    assert note.startswith("row.body: ")
    assert note.endswith(f"of {len(long)} characters kept")
    assert made.prompt_tokens <= 512 - 128
    with pytest.raises(errors.RowError, match="name what may be cut"):
        generator.submit(request(long)).result(60)


def test_one_bad_request_fails_alone(generator: LocalGenerator) -> None:
    good = generator.submit(request(BODIES[0]))
    bad = generator.submit(request("..."))  # nothing to quote, no way to abstain
    with pytest.raises(errors.RowError, match="holds nothing to quote"):
        bad.result(60)
    assert json.loads(good.result(60).text)


def test_a_request_past_its_deadline_is_refused_as_transient(generator: LocalGenerator) -> None:
    generator.info()
    with pytest.raises(errors.Overloaded, match="deadline"):
        generator.submit(request(BODIES[0], deadline_s=0.0)).result(60)


def endless(body: str) -> GenerateRequest:
    """Return a request that takes far longer than a test."""
    text = {"type": "string", "minLength": 100_000}
    schema = {"type": "object", "properties": {"text": text}, "required": ["text"]}
    return request(body, output_schema=schema, sampling=Sampling(max_tokens=100_000))


def test_cancelled_rows_leave_their_places_to_others(new: Callable[..., LocalGenerator]) -> None:
    generator = new(engine=EngineSettings(parallel=2, context=8_192))
    generator.info()
    stuck = [generator.submit(endless(body)) for body in BODIES[:4]]  # two run and two wait
    good = generator.submit(request(BODIES[5]))
    with pytest.raises(TimeoutError):
        good.result(1.0)
    for future in stuck:
        assert future.cancel()
    assert json.loads(good.result(60).text)
    counters = generator.counters()
    assert (counters.rows, counters.cancelled_rows) == (1, 4)


def test_a_shared_generation_goes_on_until_nobody_waits(generator: LocalGenerator) -> None:
    generator.info()
    first, second, third = (generator.submit(request(BODIES[0])) for _ in range(3))
    first.cancel()
    assert json.loads(second.result(60).text)
    assert json.loads(third.result(60).text)
    assert generator.pid is not None
    os.kill(generator.pid, signal.SIGSTOP)  # it is told of both before it can have finished
    generator.submit(request(BODIES[1])).cancel()
    os.kill(generator.pid, signal.SIGCONT)
    generator.submit(request(BODIES[2])).result(60)
    counters = generator.counters()
    assert (counters.cancelled_rows, counters.rows, counters.shared_rows) == (1, 2, 1)


def test_rows_that_cannot_be_quoted_abstain_without_the_model(generator: LocalGenerator) -> None:
    generator.info()
    child = generator.pid
    wanted = request(BODIES[0], abstain=("none",))
    for row in ({"body": ""}, {"body": " \n"}, {}, {"body": "…!"}):
        made = generator.submit(msgspec.structs.replace(wanted, row=row)).result(60)
        assert json.loads(made.text) == {"abstain": "row.body holds nothing to quote"}
        assert made.finish == "stop"
    part = {"type": "string", "x-quote": "row.body", "x-quote-words": [3, 9]}
    schema = {"type": "object", "properties": {"q": part}, "required": ["q"]}
    short = request("Printer broken", output_schema=schema, abstain=("none",))
    made = generator.submit(short).result(60)
    assert json.loads(made.text) == {"abstain": "row.body holds fewer than 3 words"}
    with pytest.raises(errors.RowError, match="fewer than 3 words"):
        generator.submit(request("Printer broken", output_schema=schema)).result(60)
    assert json.loads(generator.submit(request(BODIES[0])).result(60).text)
    assert generator.pid == child


def test_an_output_without_a_choice_has_no_end_token_in_it(generator: LocalGenerator) -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}
    made = generator.submit(request("x", output_schema=schema)).result(60)
    assert made.text == '{"a":1}'
    assert made.sampled_tokens == 0
    assert made.forced_tokens > 0


def test_an_error_nobody_foresaw_is_one_rows(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(GeneratorInit(path=str(stand_in)))
    try:
        spans = Constraint.spans

        def fails(constraint: Constraint) -> tuple[Span, ...]:
            if "Ada" in constraint._row["body"]:
                raise ZeroDivisionError
            return spans(constraint)

        monkeypatch.setattr(Constraint, "spans", fails)
        outcomes: list[Generation | errors.InsightsError] = []
        for body in BODIES:
            engine.submit(request(body), outcomes.append)
        while engine.busy:
            engine.step()
        failed = [outcome for outcome in outcomes if isinstance(outcome, errors.InsightsError)]
        assert len(outcomes) == len(BODIES)
        assert [error.what for error in failed] == ["internal error: ZeroDivisionError"]
    finally:
        engine.close()


def test_a_bad_schema_is_refused_by_its_place(generator: LocalGenerator) -> None:
    schema = {"type": "object", "properties": {"a": {"not": {"const": 1}}}}
    with pytest.raises(errors.SettingsError, match=r"triage\.json #/properties/a"):
        generator.check(schema, where="triage.json")
    assert generator.check(SCHEMA, ("none",), where="triage.json") == ()


def test_a_swapped_model_is_refused(new: Callable[..., LocalGenerator]) -> None:
    with pytest.raises(errors.ModelError, match="not the model that the settings name"):
        new(sha256="0" * 64).info()


def _inspect(path: Path) -> weights.Weights:
    with weights.ModelFile(path) as file:
        return file.inspect()


def test_the_file_that_was_hashed_is_the_one_that_is_loaded(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "model.gguf", tmp_path / "other.gguf"
    shutil.copy(stand_in, path)
    other.write_bytes(b"no model at all")
    verify = weights.ModelFile.verify

    def swapped(file: weights.ModelFile, sha256: str) -> str:
        found = verify(file, sha256)
        other.replace(path)  # somebody puts another file there, right after the hash was taken
        return found

    monkeypatch.setattr(weights.ModelFile, "verify", swapped)
    pinned = hashlib.sha256(stand_in.read_bytes()).hexdigest()
    engine = Engine(GeneratorInit(path=str(path), sha256=pinned, engine=EngineSettings()))
    try:
        assert path.read_bytes() == b"no model at all"
        assert engine.info().sha256 == pinned
        engine.prove()
    finally:
        engine.close()


def test_what_is_no_file_and_a_part_of_a_model_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.ModelError, match="is no file"):
        _inspect(tmp_path / "pipe")
    with pytest.raises(errors.ModelError, match="is no file"):
        _inspect(tmp_path)
    writer = gguf.GGUFWriter(tmp_path / "part.gguf", "llama")
    writer.add_uint16("split.count", 2)
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(errors.ModelError, match="one part of a split model"):
        _inspect(tmp_path / "part.gguf")


def test_damaged_models_are_refused_before_they_are_loaded(stand_in: Path, tmp_path: Path) -> None:
    whole = stand_in.read_bytes()
    broken = tmp_path / "broken.gguf"

    def refused(content: bytes) -> str:
        broken.write_bytes(content)
        with pytest.raises(errors.ModelError) as caught:
            _inspect(broken)
        return str(caught.value)

    assert "truncated" in refused(whole[:-1_000])
    assert "begin with GGUF" in refused(b"GGML" + whole[4:])
    assert "version 9" in refused(whole[:4] + b"\x09" + whole[5:])
    assert "is no usable GGUF model" in refused(whole[:200])
    assert "is no usable GGUF model" in refused(b"")
    draw = random.Random(1)
    for _ in range(300):  # any flipped byte in the header is refused or harmless, never a crash
        damaged = bytearray(whole)
        damaged[draw.randrange(4_000)] ^= 1 << draw.randrange(8)
        broken.write_bytes(damaged)
        try:
            _inspect(broken)
        except errors.ModelError:
            continue


def test_a_missing_model_is_named(new: Callable[..., LocalGenerator], tmp_path: Path) -> None:
    with pytest.raises(errors.ModelError, match=r"absent\.gguf"):
        new(tmp_path / "absent.gguf").info()


def test_a_model_that_does_not_fit_says_what_would(new: Callable[..., LocalGenerator]) -> None:
    with pytest.raises(errors.ModelError, match=r"give it \d+ MB"):
        new(engine=EngineSettings(memory_mb=1)).info()


def test_the_tuner_measures_what_a_plan_does(stand_in: Path) -> None:
    worker = Worker("insights.inference.tuner", GeneratorInit(path=str(stand_in)), name="tuner")
    try:
        one = worker.call("measure", Trial(threads=1, parallel=1), Speeds, deadline_s=60)
        four = worker.call("measure", Trial(threads=1, parallel=4), Speeds, deadline_s=60)
        off = worker.call(
            "measure", Trial(threads=1, parallel=2, flash=False), Speeds, deadline_s=60
        )
    finally:
        worker.close()
    assert (one.parallel, four.parallel, four.threads) == (1, 4, 1)
    assert one.decode > 0
    assert four.prompt > 0
    assert four.second >= 0
    assert four.run > 1
    assert (four.flash, off.flash) == (None, False)


def test_what_was_tuned_is_used_for_this_file_on_this_machine_only(
    stand_in: Path, tmp_path: Path
) -> None:
    best = Speeds(threads=1, parallel=3, micro_batch=128, kv_type="f32")
    with weights.ModelFile(stand_in) as file:
        sha256 = file.verify("")
    here = tuning.Subject(sha256, machine.name(), llama.build())
    tuning.store(tmp_path, tuning.Tuned(here, best))

    def planned(**settings: Any) -> Plan:  # noqa: ANN401
        made = EngineSettings(**settings)
        engine = Engine(GeneratorInit(path=str(stand_in), engine=made, tuned=str(tmp_path)))
        engine.close()
        return engine.plan

    made = planned()
    assert (made.parallel, made.micro_batch, made.kv_type) == (3, 128, "f32")
    assert planned(parallel=2).parallel == 2
    tuning.store(tmp_path, tuning.Tuned(msgspec.structs.replace(here, machine="other"), best))
    assert planned().parallel == 16


def test_drafts_change_the_speed_and_never_the_output(new: Callable[..., LocalGenerator]) -> None:
    drafting = new(engine=EngineSettings(parallel=1))
    plain = new(engine=EngineSettings(parallel=1, drafting=False))
    with_drafts = [drafting.submit(request(body)).result(60).text for body in BODIES]
    without = [plain.submit(request(body)).result(60).text for body in BODIES]
    assert with_drafts == without
    assert drafting.counters().drafted_tokens > 0
    assert plain.counters().drafted_tokens == 0


def test_a_context_that_gets_no_memory_is_made_smaller(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    class Scarce(llama.Context):
        def __init__(self, model: llama.Model, plan: Plan) -> None:
            made.append(plan.parallel)
            if plan.parallel > 4:
                raise errors.ModelError("llama.cpp cannot make a context")
            super().__init__(model, plan)

    monkeypatch.setattr(llama, "Context", Scarce)
    engine = Engine(GeneratorInit(path=str(stand_in)))
    assert engine.info().parallel == 4
    assert made == sorted(made, reverse=True)
    engine.close()
