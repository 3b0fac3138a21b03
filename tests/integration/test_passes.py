"""One KV cache for all rows against a stream each: the same outputs, and llama.cpp's own passes."""

import ctypes
import random
from pathlib import Path
from typing import Any

import llama_cpp as ll
import pytest
from llama_cpp import _ggml as ggml

from insights.inference import llama
from insights.inference.client import LocalGenerator
from insights.inference.messages import EngineSettings
from insights.inference.planner import Plan
from tests.asking import BODIES, request
from tests.splitting import passes


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count llama.cpp's passes: each computes one tensor of this name."""
    seen: list[int] = []
    name = ggml.libggml.ggml_get_name
    name.argtypes, name.restype = [ctypes.c_void_p], ctypes.c_char_p

    def look(tensor: int, _ask: bool, _data: int) -> bool:  # noqa: FBT001 - C's signature
        if name(tensor) == b"result_output":
            seen.append(tensor)
        return False

    kind = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)
    called = kind(look)
    defaults = ll.llama_context_default_params

    def watched() -> Any:  # noqa: ANN401 - a ctypes structure
        params = defaults()
        params.cb_eval = ctypes.cast(called, type(params.cb_eval))
        return params

    monkeypatch.setattr(ll, "llama_context_default_params", watched)
    return seen


@pytest.mark.parametrize("unified", [False, True])
def test_passes_are_what_llama_cpp_makes_of_a_batch(
    stand_in: Path,
    counted: list[int],
    unified: bool,  # noqa: FBT001 - by name
) -> None:
    model = llama.Model(stand_in)
    made = Plan(8, 256, 512, 64, 1, "f32", 0, unified=unified)
    draw = random.Random(3)
    with llama.Context(model, made) as context:
        assert context.sequence_tokens == 256  # llama.cpp would give one row the cache of all
        held = [0] * made.parallel
        for _ in range(12):
            takes = [draw.choice([0, 1, 1, 1, 3, 3, 20]) for _ in held]
            takes[draw.randrange(8)] += 1
            sequences = [n for n, take in enumerate(takes) for _ in range(take)]
            positions = [held[n] + at for n, take in enumerate(takes) for at in range(take)]
            count = len(sequences)
            before = len(counted)
            context.decode([5] * count, positions, sequences, [True] * count)
            held = [was + take for was, take in zip(held, takes, strict=True)]
            assert len(counted) - before == passes(sequences, 64, unified=unified)
    model.close()


def test_one_cache_for_all_rows_makes_the_same_outputs(stand_in: Path) -> None:
    asked = [request(f"{body} Case {n}.") for n, body in enumerate(BODIES * 4)]
    texts = []
    for unified in (False, True):
        settings = EngineSettings(parallel=6, kv_type="f32", unified=unified)
        generator = LocalGenerator(stand_in, engine=settings)
        made = [future.result(60) for future in [generator.submit(one) for one in asked]]
        assert generator.counters().reused_tokens > 0
        generator.close()
        texts.append([(one.text, one.sampled_tokens + one.forced_tokens) for one in made])
    assert texts[0] == texts[1]


def test_free_memory_is_what_the_device_says() -> None:
    words = Path("/proc/meminfo").read_text("ascii").split()
    assert 0 < llama.free_memory(llama.CPU) <= int(words[1]) * 1024
    assert (llama.free_memory() > 0) == llama.gpu()
