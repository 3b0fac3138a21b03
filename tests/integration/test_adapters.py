"""LoRA adapters of one model: each changes its own rows, and a damaged one stops no other."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from insights import errors
from insights.inference.client import LocalGenerator
from insights.inference.engine import Engine
from insights.inference.messages import AdapterFile, EngineSettings, GeneratorInit
from insights.model import AdaptedRequest, Adapter, GenerateRequest, Generation
from tests import adapting
from tests.asking import BODIES, SCHEMA, request
from tests.site import Site

SETTINGS = EngineSettings(parallel=4, context=1_024, kv_type="f32", threads=1, flash=True)


def under(asked: GenerateRequest, sha256: str, scale: float = 1.0) -> AdaptedRequest:
    given = {name: getattr(asked, name) for name in asked.__struct_fields__}
    return AdaptedRequest(**{**given, "adapter": Adapter(sha256=sha256, scale=scale)})


def texts(generator: LocalGenerator, asked: list[GenerateRequest]) -> list[str]:
    return [made.text for made in generations(generator, asked)]


def generations(generator: LocalGenerator, asked: list[GenerateRequest]) -> list[Generation]:
    return [future.result(120) for future in [generator.submit(one) for one in asked]]


@pytest.fixture(scope="module")
def files(stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> list[AdapterFile]:
    folder = tmp_path_factory.mktemp("adapters")
    found = []
    for seed in (1, 2):
        path = folder / f"adapter-{seed}.gguf"
        pairs = adapting.random_pairs(stand_in, seed=seed)
        found.append(AdapterFile(path=str(path), sha256=adapting.write(path, pairs, alpha=4.0)))
    return found


@pytest.fixture(scope="module")
def generator(stand_in: Path, files: list[AdapterFile]) -> Iterator[LocalGenerator]:
    with closing(LocalGenerator(stand_in, engine=SETTINGS, adapters=files)) as made:
        yield made


def test_each_row_is_made_under_its_own_adapter_whoever_is_in_flight(
    stand_in: Path, files: list[AdapterFile]
) -> None:
    # Of two rows in flight under two adapters each step has one, so that a row's numbers are to the
    # last bit those it has alone: with more of an adapter in a pass llama.cpp rounds otherwise.
    two = msgspec.structs.replace(SETTINGS, parallel=2, drafting=False)
    rows: list[GenerateRequest] = [request(body) for body in BODIES]
    first, second = ([under(row, one.sha256) for row in rows] for one in files)
    with closing(LocalGenerator(stand_in, engine=two)) as bare:
        plain = [text for row in rows for text in texts(bare, [row])]
    alone = []
    for adapted in (first, second):
        with closing(LocalGenerator(stand_in, engine=two, adapters=files)) as made:
            alone.append([text for row in adapted for text in texts(made, [row])])
    assert len({tuple(plain), *map(tuple, alone)}) == 3
    for others, theirs in ((rows, plain), (second, alone[1])):
        with closing(LocalGenerator(stand_in, engine=two, adapters=files)) as made:
            pairs = [texts(made, list(pair)) for pair in zip(first, others, strict=True)]
            assert [pair[0] for pair in pairs] == alone[0]
            assert [pair[1] for pair in pairs] == theirs
            assert made.counters().adapter_switches > len(rows)


def test_rows_of_many_adapters_at_once_are_all_answered(
    files: list[AdapterFile], generator: LocalGenerator
) -> None:
    rows: list[GenerateRequest] = [request(body) for body in BODIES]
    made = generations(generator, [*rows, *(under(r, one.sha256) for r in rows for one in files)])
    for one in made:
        assert set(json.loads(one.text)) == set(SCHEMA["properties"])
    assert len({one.model for one in made}) == 3


def test_an_insight_says_under_which_adapter_it_was_made(
    files: list[AdapterFile], generator: LocalGenerator
) -> None:
    row = request(BODIES[0])
    plain, made = generations(generator, [row, under(row, files[0].sha256)])
    assert made.model == f"{plain.model} + adapter-1 {files[0].sha256[:12]}"
    assert generator.info().name == plain.model


def test_the_same_question_under_another_adapter_or_scale_is_another(
    files: list[AdapterFile], generator: LocalGenerator
) -> None:
    row = request(BODIES[1])
    first, second = (one.sha256 for one in files)
    asked = [row, row, under(row, first), under(row, first, 0.25), under(row, second)]
    made = generations(generator, asked)
    assert [one.shared for one in made] == [False, True, False, False, False]
    assert len({one.text for one in made}) > 2


@pytest.fixture(scope="module")
def bad(stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, AdapterFile]:
    """Adapters of which each has one thing wrong, by what that is."""
    folder = tmp_path_factory.mktemp("bad")
    right = adapting.random_pairs(stand_in, seed=3)
    name = "blk.0.attn_q.weight"
    a, b = right[name]
    found: dict[str, AdapterFile] = {}

    def add(what: str, change: Callable[[Path], Any], sha256: str = "") -> None:
        path = folder / f"{what}.gguf"
        found[what] = AdapterFile(
            path=str(path), sha256=change(path) or sha256, where=f"{what}.toml: adapter.path"
        )

    def pairs(changed: dict[str, adapting.Pair], **keys: str) -> Callable[[Path], str]:
        given = {key.replace("_", "."): value for key, value in keys.items()}
        return lambda path: adapting.write(path, changed, alpha=8.0, keys=given)

    def cut(path: Path) -> str:
        adapting.write(path, right, alpha=8.0)
        path.write_bytes(path.read_bytes()[:-100])
        return "c" * 64

    add("missing", lambda _: None, "d" * 64)
    add("swapped", lambda path: (pairs(right)(path), "e" * 64)[1])
    add("cut", cut)
    add("a model", lambda path: (shutil.copy(stand_in, path), "f" * 64)[1])
    add("no lora", pairs(right, adapter_type="control_vector"))
    add("other", pairs(right, general_architecture="qwen2"))
    add("shape", pairs({name: (a[:, :32], b)}))
    add("ranks", pairs({name: (a[:3], b)}))
    add("unknown", pairs({"blk.9.attn_q.weight": (a, b)}))
    add("empty", pairs({}))
    add("overflow", pairs({name: (a * np.float32(1e30), b * np.float32(1e30))}))
    return found


SAID = {
    "missing": "cannot be read",
    "swapped": "is not the adapter that the settings name",
    "cut": "truncated",
    "a model": "is not the adapter|general.type is",
    "no lora": "adapter.type control_vector",
    "other": "architecture qwen2, and the model is llama",
    "shape": "is 32 x 64 in it, and 64 x 64 in the model",
    "ranks": "the ranks 3 and 4",
    "unknown": "no tensor blk.9.attn_q.weight",
    "empty": "it has no tensor",
    "overflow": "overflow",
}


def test_a_bad_adapter_is_refused_by_place_and_fix_and_stops_no_other_row(
    stand_in: Path, files: list[AdapterFile], bad: dict[str, AdapterFile]
) -> None:
    assert SAID.keys() == bad.keys()
    good, row = files[0], request(BODIES[2])
    given = [*bad.values(), good]
    with closing(LocalGenerator(stand_in, engine=SETTINGS, adapters=given)) as made:
        for what, one in bad.items():
            with pytest.raises(errors.AdapterError, match=SAID[what]) as refused:
                made.check(SCHEMA, where="schema", adapter=one.sha256)
            assert refused.value.where == f"{what}.toml: adapter.path"
            assert refused.value.fix
            with pytest.raises(errors.AdapterError, match=SAID[what]):
                made.submit(under(row, one.sha256)).result(60)
        made.check(SCHEMA, where="schema", adapter=good.sha256)
        for found in texts(made, [row, under(row, good.sha256)]):
            assert set(json.loads(found)) == set(SCHEMA["properties"])
        with pytest.raises(errors.AdapterError, match="is not loaded"):
            made.submit(under(row, "0" * 64)).result(60)


def test_adapters_count_in_the_plan_of_memory(stand_in: Path, files: list[AdapterFile]) -> None:
    plans = []
    for adapters in ((), tuple(files)):
        engine = Engine(GeneratorInit(path=str(stand_in), engine=SETTINGS, adapters=adapters))
        plans.append(engine.plan)
        engine.close()
    more = plans[1].memory_bytes - plans[0].memory_bytes
    assert more == sum(Path(one.path).stat().st_size for one in files)
    assert msgspec.structs.replace(plans[1], memory_bytes=0) == msgspec.structs.replace(
        plans[0], memory_bytes=0
    )


def test_a_daemon_makes_the_rows_of_each_pipeline_and_stops_the_one_with_a_bad_adapter(
    site: Site, stand_in: Path
) -> None:
    path = site.folder / "triage.gguf"
    sha256 = adapting.write(path, adapting.random_pairs(stand_in, seed=5), alpha=4.0)
    site.sink = False
    site.write()
    plain = (site.folder / "pipelines" / "triage.toml").read_text()
    adapter = f'\n[adapter]\npath = "../triage.gguf"\nsha256 = "{sha256}"\n'
    (site.folder / "pipelines" / "triage.toml").write_text(plain + adapter)
    (site.folder / "pipelines" / "plain.toml").write_text(plain)
    swapped = adapter.replace(sha256, "9" * 64)
    (site.folder / "pipelines" / "swapped.toml").write_text(plain + swapped)
    site.insights("migrate")
    found = json.loads(site.insights("doctor", "--json", code=50).stdout)
    (error,) = [one for one in found if one["level"] == "error"]
    assert "swapped.toml: adapter.path" in error["what"]
    assert "is not the adapter that the settings name" in error["what"]
    site.insights("run", "--once", "--json", code=50)
    made = site.query(
        "SELECT p.name, i.model, count(*) FROM store.insight i JOIN store.pipeline_version v "
        "USING (pipeline_version_id) JOIN store.pipeline p USING (pipeline_id) GROUP BY 1, 2"
    )
    name = "stand-in with random weights"
    assert set(made) == {("plain", name, 40), ("triage", f"{name} + triage {sha256[:12]}", 40)}
