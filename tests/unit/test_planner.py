"""The plan fits, settings win, and what cannot fit says what would."""

from typing import Any

import msgspec
import pytest

from insights import errors
from insights.inference.messages import EngineSettings, Speeds
from insights.inference.planner import Machine, memory, plan, probes
from insights.inference.weights import Weights

GB = 1 << 30
SEVEN_B = Weights(
    path="7b.gguf",
    architecture="llama",
    name="7b",
    layers=32,
    embedding=4096,
    heads=32,
    kv_heads=8,
    head_size=128,
    context=32_768,
    vocabulary=32_000,
    file_bytes=4_400_000_000,
)


def machine(gb: float, **changes: Any) -> Machine:  # noqa: ANN401
    return Machine(cores=8, memory_bytes=int(gb * GB), **changes)


def test_a_roomy_machine_gets_what_is_wanted() -> None:
    made = plan(SEVEN_B, machine(64), EngineSettings())
    assert made.threads == 8
    assert made.memory_bytes == memory(SEVEN_B, made) < 64 * GB
    assert made.gpu_layers == 0


def test_less_memory_means_fewer_rows_at_once_and_it_fits() -> None:
    roomy = plan(SEVEN_B, machine(64), EngineSettings())
    tight = plan(SEVEN_B, machine(6), EngineSettings())
    assert tight.parallel < roomy.parallel
    assert memory(SEVEN_B, tight) <= 6 * GB


def test_a_plan_that_cannot_fit_says_what_would() -> None:
    with pytest.raises(errors.ModelError, match=r"give it \d+ MB"):
        plan(SEVEN_B, machine(3), EngineSettings())


def test_settings_are_not_overruled() -> None:
    wanted = EngineSettings(parallel=12, context=2_000, threads=3, kv_type="q8_0")
    made = plan(SEVEN_B, machine(64), wanted)
    assert (made.parallel, made.context, made.threads, made.kv_type) == (12, 2_048, 3, "q8_0")
    with pytest.raises(errors.ModelError):
        plan(SEVEN_B, machine(4.5), wanted)


def test_memory_that_ran_out_means_a_smaller_plan() -> None:
    plans = [plan(SEVEN_B, machine(64), EngineSettings(), shrink=n) for n in range(4)]
    sizes = [made.memory_bytes for made in plans]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)


def test_a_small_model_runs_on_one_thread() -> None:
    small = msgspec.structs.replace(SEVEN_B, file_bytes=9_000_000, layers=4, embedding=256)
    assert plan(small, machine(64), EngineSettings()).threads == 1


def test_a_gpu_takes_all_layers_unless_told_otherwise() -> None:
    here = machine(64, gpu=True)
    assert plan(SEVEN_B, here, EngineSettings()).gpu_layers >= SEVEN_B.layers
    assert plan(SEVEN_B, here, EngineSettings(gpu_layers=0)).gpu_layers == 0
    assert plan(SEVEN_B, here, EngineSettings(gpu_layers=20)).gpu_layers == 20


def test_a_model_on_the_card_is_planned_by_the_cards_memory() -> None:
    small_host = machine(3, gpu=True, gpu_memory_bytes=20 * GB)
    made = plan(SEVEN_B, small_host, EngineSettings())
    assert made.unified
    assert 16 <= made.parallel < 64
    assert made.memory_bytes <= 20 * GB
    with pytest.raises(errors.ModelError):  # half of it stays on the host
        plan(SEVEN_B, small_host, EngineSettings(gpu_layers=16))
    assert not plan(SEVEN_B, machine(64, gpu_memory_bytes=20 * GB), EngineSettings()).unified


def test_what_was_measured_beats_the_rules_settings_beat_both_and_memory_all() -> None:
    best = Speeds(threads=5, parallel=32, micro_batch=256, kv_type="q8_0")
    made = plan(SEVEN_B, machine(64), EngineSettings(), tuned=best)
    assert (made.threads, made.parallel, made.micro_batch, made.kv_type) == (5, 32, 256, "q8_0")
    told = EngineSettings(threads=2, parallel=4, kv_type="f16")
    made = plan(SEVEN_B, machine(64), told, tuned=best)
    assert (made.threads, made.parallel, made.micro_batch, made.kv_type) == (2, 4, 256, "f16")
    assert plan(SEVEN_B, machine(6), EngineSettings(), tuned=best).parallel < 32


def test_flash_attention_is_as_the_settings_say_else_as_tuned_else_as_probed() -> None:
    best = Speeds(threads=5, parallel=8, micro_batch=256, kv_type="f16", flash=False, run=9)

    def chosen(settings: EngineSettings, tuned: Speeds | None) -> bool | None:
        return plan(SEVEN_B, machine(64), settings, tuned=tuned, flash=True).flash

    assert chosen(EngineSettings(flash=True), best) is True
    assert chosen(EngineSettings(), best) is False
    assert chosen(EngineSettings(), None) is True
    assert plan(SEVEN_B, machine(64), EngineSettings()).flash is None
    assert plan(SEVEN_B, machine(64), EngineSettings(), tuned=best).run == 9


def test_attention_is_tried_where_it_can_be_chosen_and_nothing_says() -> None:
    before = Speeds(threads=5, parallel=8, micro_batch=256, kv_type="f16")  # by an earlier release
    assert probes(SEVEN_B, machine(64), EngineSettings(), None)
    assert probes(SEVEN_B, machine(64), EngineSettings(), before)
    told = msgspec.structs.replace(before, flash=True)
    assert not probes(SEVEN_B, machine(64), EngineSettings(), told)
    assert not probes(SEVEN_B, machine(64), EngineSettings(flash=False), None)
    assert not probes(SEVEN_B, machine(64), EngineSettings(kv_type="q8_0"), None)
    assert not probes(SEVEN_B, machine(64, gpu=True), EngineSettings(), None)
    assert probes(SEVEN_B, machine(64, gpu=True), EngineSettings(gpu_layers=0), None)
    small = msgspec.structs.replace(SEVEN_B, file_bytes=9_000_000)
    assert not probes(small, machine(64), EngineSettings(), None)
