"""What `benchmarks.engine` compares with: the loop that people write, and llama.cpp's server."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks._tickets import SCHEMA, prompts
from insights.model import Json, Segment


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
