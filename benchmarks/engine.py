"""The inference engine against what people write, llama.cpp's server, and its own bound.

`python -m benchmarks.engine [--json] [--rows 200] [--shape 0.4b] [--parallel N]`

One GGUF of a real shape with random weights, quantized to Q4_K_M on the spot and kept under the
cache folder; the same prompts and the same compact output grammar for everybody; greedy. The others
are timed on a part of the rows, since they take minutes.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.report import Goal, report
from insights.model import GenerateRequest, Generation, Json, Message, Sampling, Segment

_CACHE = Path.home() / ".cache" / "legacy-insights"
_PASSAGES, _CITED = 20, 3
_Q4_K_M = 15  # llama.h: LLAMA_FTYPE_MOSTLY_Q4_K_M
_LOOP_ROWS, _SERVER_ROWS, _CHECK_ROWS = 10, 40, 16
_TAG = ("network", "printer", "account", "billing", "phone", "mail", "storage", "other")

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "category": {"enum": list(_TAG)},
        "priority": {"enum": ["low", "normal", "high", "urgent"]},
        "sentiment": {"enum": ["calm", "annoyed", "angry"]},
        "affected_component": {"enum": ["hardware", "software", "permissions", "configuration"]},
        "customer_summary": {"type": "string", "minLength": 60, "maxLength": 90},
        "recommended_step": {"enum": ["restart", "reset password", "replace", "call vendor"]},
    },
    "required": [
        "category",
        "priority",
        "sentiment",
        "affected_component",
        "customer_summary",
        "recommended_step",
    ],
    "additionalProperties": False,
}
_WORDS = (  # noqa: SIM905 - prose
    "the printer in room shows an error after update and user cannot connect to network drive "
    "please restart service check cable reset password open ticket with vendor contract number "
    "when screen stays black call support invoice was sent twice account locked since morning "
    "router blinks red light before login page loads mail client asks again for certificate"
).split()


def text(seed: str, words: int) -> str:
    """Return as many words, the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    return " ".join(draw.choice(_WORDS) for _ in range(words)) + "."


def prompts(rows: int) -> list[list[Segment]]:
    """Return the rows' prompts: instruction and schema, three of twenty passages, the row.

    Passages are drawn by a skewed distribution (weight 1/rank) and ordered by rank, as the
    retriever's canonical order does.
    """
    draw = random.Random(7)  # noqa: S311 - no secret
    weights = [1 / (rank + 1) for rank in range(_PASSAGES)]
    head = "Read the ticket and answer in JSON. " + text("instruction", 56) + json.dumps(SCHEMA)
    made = []
    for row in range(rows):
        chosen: set[int] = set()
        while len(chosen) < _CITED:
            chosen.add(draw.choices(range(_PASSAGES), weights)[0])
        segments = [Segment(text=head + "\n", is_template=True)]
        segments += [
            Segment(text=f"Passage {n}: {text(f'passage {n}', 74)}\n", is_template=False)
            for n in sorted(chosen)
        ]
        segments.append(Segment(text=f"Ticket: {text(f'row {row}', 76)}", is_template=False))
        made.append(segments)
    return made


def requests(rows: int) -> list[GenerateRequest]:
    """Return the engine's requests."""
    return [
        GenerateRequest(
            messages=(Message(role="user", segments=tuple(segments)),),
            output_schema=SCHEMA,
            sampling=Sampling(max_tokens=256),
            deadline_s=3_600,
        )
        for segments in prompts(rows)
    ]


def _vocabulary() -> Path | None:
    """Return GPT-2's vocabulary where the real data is at hand."""
    found = Path(os.environ.get("INSIGHTS_EVAL_DATA", "/nowhere")) / "gguf/ggml-vocab-gpt-2.gguf"
    return found if found.is_file() else None


def model(shape: str, vocabulary: Path | None) -> Path:
    """Return a quantized model of a real shape with random weights, made once."""
    from demo.standin import SHAPES, build
    from insights.inference import llama

    target = _CACHE / f"standin-{shape}-{'given' if vocabulary else 'own'}-Q4_K_M.gguf"
    if not target.exists():
        plain = build(target.with_suffix(".f16"), SHAPES[shape], vocabulary=vocabulary)
        llama.quantize(plain, target, _Q4_K_M)
        plain.unlink()
    return target


# --- the engine


def run_engine(path: Path, rows: int, settings: Json) -> Json:
    """Generate all rows and return figures; in a process of its own for its peak memory."""
    from insights.inference.engine import Engine
    from insights.inference.messages import EngineSettings, GeneratorInit

    chosen = _record_margins()
    engine = Engine(GeneratorInit(path=str(path), engine=EngineSettings(**settings)))
    done: dict[int, Generation] = {}

    def keep(number: int) -> Callable[[Any], None]:
        def answer(outcome: Any) -> None:  # noqa: ANN401 - a generation or an error
            if isinstance(outcome, Exception):
                raise outcome
            done[number] = outcome

        return answer

    begun = time.perf_counter()
    for number, request in enumerate(requests(rows)):
        engine.submit(request, keep(number))
    while engine.busy:
        engine.step()
    took = time.perf_counter() - begun
    counters = msgspec.to_builtins(engine.counters())
    return {
        **counters,
        "took_s": took,
        "ttft_ms": sorted(g.prompt_ms for g in done.values())[len(done) // 2],
        "texts": [done[number].text for number in range(rows)],
        "chosen": [chosen[number] for number in range(rows)],
        "parallel": engine.plan.parallel,
        "context": engine.plan.context,
        "unique_tokens": _unique(engine, rows),
    }


def _record_margins() -> dict[int, list[tuple[int, float]]]:
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
        allowed = np.flatnonzero(np.unpackbits(mask, count=logits.size, bitorder="little"))
        best = np.sort(logits[allowed])[-2:]
        lead = float(best[-1] - best[0]) if len(best) > 1 else float("inf")
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


def _unique(engine: Any, rows: int) -> int:  # noqa: ANN401 - looks inside
    """Return the prompt tokens to evaluate if every shared prefix is evaluated once."""
    from insights.inference.prefixes import key, shared
    from insights.inference.preparing import prepare

    keys = sorted(
        key(prepare(r, engine._template, engine._model, engine.plan.context).tokens)  # noqa: SLF001
        for r in requests(rows)
    )
    total = len(keys[0]) // 4
    for before, after in pairwise(keys):
        total += len(after) // 4 - shared(before, after)
    return total


def speeds(path: Path, parallel: int) -> Json:
    """Return tokens/s of plain prompts and of `parallel` rows writing, by llama_decode alone."""
    from insights.inference.messages import EngineSettings, Trial
    from insights.inference.tuner import Trials

    trials = Trials(path, EngineSettings())
    found: Json = msgspec.to_builtins(trials.measure(Trial(threads=None, parallel=parallel)))
    return found


# --- the others


def run_loop(path: Path, rows: Sequence[int], total: int, context: int) -> Json:
    """What people write: create_chat_completion with the schema, one after another."""
    import llama_cpp

    grammar = llama_cpp.LlamaGrammar.from_string(_compact(), verbose=False)
    loop = llama_cpp.Llama(
        str(path), n_ctx=context, n_gpu_layers=-1, n_threads=2, n_threads_batch=2, verbose=False
    )
    made = prompts(total)
    tokens = 0
    begun = time.perf_counter()
    for row in rows:
        content = "".join(segment.text for segment in made[row])
        answer: Any = loop.create_chat_completion(
            messages=[{"role": "user", "content": content}],
            grammar=grammar,
            temperature=0.0,
            max_tokens=256,
        )
        tokens += answer["usage"]["completion_tokens"]
    took = time.perf_counter() - begun
    return {"took_s": took, "rows": len(rows), "written_tokens": tokens}


def _compact() -> str:
    """Return llama.cpp's grammar for the schema, without the whitespace it allows by default."""
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    lines = json_schema_to_gbnf(json.dumps(SCHEMA)).splitlines()
    return "\n".join('space ::= ""' if line.startswith("space ::=") else line for line in lines)


def run_server(path: Path, rows: int, parallel: int, context: int) -> Json:
    """llama.cpp's own server, as the xllamacpp package carries it, with as many slots."""
    import xllamacpp as xlc

    params = xlc.CommonParams()
    params.model.path = str(path)
    params.n_parallel = parallel
    params.n_ctx = context * parallel
    params.kv_unified = False  # the faster of the two, as in the engine
    params.n_batch = 512
    params.cpuparams.n_threads = 2
    params.cpuparams_batch.n_threads = 2
    params.warmup = False
    server = xlc.Server(params)
    made, grammar = prompts(rows), _compact()

    def ask(segments: list[Segment]) -> int:
        answer = server.handle_chat_completions(
            {
                "messages": [{"role": "user", "content": "".join(s.text for s in segments)}],
                "grammar": grammar,
                "temperature": 0.0,
                "max_tokens": 256,
                "cache_prompt": True,
            }
        )
        return int(answer["usage"]["completion_tokens"])

    begun = time.perf_counter()
    with ThreadPoolExecutor(parallel) as pool:
        tokens = sum(pool.map(ask, made))
    took = time.perf_counter() - begun
    return {"took_s": took, "rows": rows, "written_tokens": tokens}


# --- all of it, each part in a process of its own

_PARTS: dict[str, Callable[..., Json]] = {
    "engine": run_engine,
    "loop": run_loop,
    "server": run_server,
    "speeds": speeds,
}


def part(name: str, *arguments: object) -> Json:
    """Run one part in a fresh process and return its figures and peak memory."""
    raw = [str(a) if isinstance(a, Path) else a for a in arguments]
    command = [sys.executable, "-m", "benchmarks.engine", "--part", name, json.dumps(raw)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"benchmarks.engine --part {name} failed:\n{done.stderr[-2_000:]}")
    found: Json = json.loads(done.stdout.splitlines()[-1])
    return found


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
    parser.add_argument("--only", choices=("engine",), help="skip the others")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, raw = options.part
        path, *rest = json.loads(raw)
        found = _PARTS[name](Path(path), *rest)
        found["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(found))
        return
    path = model(options.shape, options.vocabulary)
    settings: Json = {"context": 1_536}
    if options.parallel:
        settings["parallel"] = options.parallel
    engine = part("engine", path, options.rows, settings)
    if options.only:
        for long in ("texts", "chosen"):
            engine.pop(long)
        engine["rows_per_s"] = options.rows / engine["took_s"]
        print(json.dumps(engine, indent=1))
        return
    _judge(path, options, settings, engine)


def _judge(path: Path, options: argparse.Namespace, settings: Json, engine: Json) -> None:
    rows, parallel = options.rows, engine["parallel"]
    earlier = part("speeds", path, parallel)
    sample = sorted(random.Random(3).sample(range(rows), min(_LOOP_ROWS, rows)))  # noqa: S311
    loop = part("loop", path, sample, rows, 1_536)
    server = part("server", path, min(_SERVER_ROWS, rows), parallel, 1_536)
    single = part("engine", path, min(_CHECK_ROWS, rows), {**settings, "parallel": 1})
    later = part("speeds", path, parallel)
    # The better of two: a busy moment while measuring would flatter the engine.
    measured = {name: max(earlier[name], later[name]) for name in ("prompt", "decode")}
    rate = rows / engine["took_s"]
    bound = rows / (
        engine["unique_tokens"] / measured["prompt"] + engine["sampled_tokens"] / measured["decode"]
    )
    outside = 1 - engine["decode_s"] / engine["busy_s"]
    loop_rate, server_rate = loop["rows"] / loop["took_s"], server["rows"] / server["took_s"]
    leads = _leads(single, engine)
    goals = [
        Goal("rows/s against create_chat_completion, one by one", rate / loop_rate, 3.0, "x"),
        Goal("rows/s against llama.cpp's server", rate / server_rate, 1.3, "x"),
        Goal("of the token bound", rate / bound, 0.9),
        Goal("time outside llama_decode", outside, 0.05, at_least=False),
        Goal("whole daemon, poll to publish, of the engine alone", None, 0.95),
    ]
    figures = [
        ("figure", "engine", "one by one", "server"),
        ("rows/s", f"{rate:.2f}", f"{loop_rate:.2f}", f"{server_rate:.2f}"),
        (
            "tokens written a row",
            f"{(engine['sampled_tokens'] + engine['forced_tokens']) / rows:.0f}",
            f"{loop['written_tokens'] / loop['rows']:.0f}",
            f"{server['written_tokens'] / server['rows']:.0f}",
        ),
        ("of them sampled", f"{engine['sampled_tokens'] / rows:.0f}", "all", "all"),
        ("prompt tokens a row", f"{engine['prompt_tokens'] / rows:.0f}", "", ""),
        ("evaluated", f"{engine['evaluated_prompt_tokens'] / rows:.0f}", "", ""),
        ("unique", f"{engine['unique_tokens'] / rows:.0f}", "", ""),
        ("TTFT from admission, ms", f"{engine['ttft_ms']:.0f}", "", ""),
        ("prompt tokens/s alone", f"{measured['prompt']:.0f}", "", ""),
        (f"decode tokens/s, {parallel} rows", f"{measured['decode']:.0f}", "", ""),
        ("drafted, accepted", f"{engine['drafted_tokens']}, {engine['accepted_tokens']}", "", ""),
        (
            "peak memory, MB",
            f"{engine['memory_mb']:.0f}",
            f"{loop['memory_mb']:.0f}",
            f"{server['memory_mb']:.0f}",
        ),
    ]
    notes = [
        f"{rows} rows, {parallel} at once; one by one timed on {loop['rows']} of them",
        f"server timed on {server['rows']} of them",
        f"outputs that part from one-by-one greedy: {len(leads)} of {len(single['texts'])}",
        f"where they part the best token led by {max(leads, default=0.0):.3f} logits at most",
    ]
    report(f"engine, {path.stem}", goals, notes, options.json, figures)


if __name__ == "__main__":
    main()
