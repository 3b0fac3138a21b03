"""The table of `benchmarks.engine`: what each way of running the model has shown."""

import statistics

from benchmarks._parts import clocks, rate, short
from insights.model import Json

_WRITTEN = ("sampled_tokens", "forced_tokens", "written_tokens")


def speeds(run: Json) -> dict[str, float]:
    """Return the plain speeds that an engine measured meanwhile, tokens/s: medians."""
    return {
        name: statistics.median(found[name] for found in run["speeds"])
        for name in ("prompt", "decode")
    }


def table(
    engine: Json,
    loop: Json | None,
    server: Json | None,
    bound: float,
    whole: tuple[float | None, float | None],
    plain: dict[str, float],
) -> list[tuple[str, ...]]:
    """Return a row a figure, after the header.

    Args:
        engine: The engine's run.
        loop: That of one request after the other; None where it did not end.
        server: That of llama.cpp's server.
        bound: Rows/s at the token bound.
        whole: Rows/s of the whole daemon, and of the engine alone on its requests.
        plain: Tokens/s of prompts and of writing.
    """
    return [
        ("figure", "engine", "one by one", "server"),
        ("rows/s", short(rate(engine)), short(rate(loop)), short(rate(server))),
        ("clock, processor time", *(clocks(run) if run else "" for run in (engine, loop, server))),
        ("rows/s at the token bound", f"{bound:.2f}", "", ""),
        (
            "rows/s of the whole daemon, and the engine alone on its requests",
            f"{short(whole[0])}, {short(whole[1])}",
            "",
            "",
        ),
        (
            "tokens written a row",
            _a_row(engine, "sampled_tokens", "forced_tokens"),
            _a_row(loop, "written_tokens"),
            _a_row(server, "written_tokens"),
        ),
        ("of them sampled", _a_row(engine, "sampled_tokens"), "all", "all"),
        ("of them forced", _a_row(engine, "forced_tokens"), "0", "0"),
        ("prompt tokens a row", _a_row(engine, "prompt_tokens"), "", ""),
        ("of them reused", _a_row(engine, "reused_tokens"), "", ""),
        ("of them evaluated", _a_row(engine, "evaluated_prompt_tokens"), "", ""),
        ("distinct", _a_row(engine, "unique_tokens"), "", ""),
        (
            "prompt tokens/s, reused ones too",
            f"{engine['prompt_tokens'] / engine['took_s']:.0f}",
            "",
            "",
        ),
        (
            "written tokens/s",
            *(
                f"{sum(run.get(n, 0) for n in _WRITTEN) / run['took_s']:.0f}" if run else ""
                for run in (engine, loop, server)
            ),
        ),
        ("TTFT from admission, median, ms", f"{engine['ttft_ms']:.0f}", "", ""),
        ("plain prompt tokens/s", f"{plain['prompt']:.0f}", "", ""),
        (f"plain decode tokens/s, {engine['parallel']} rows", f"{plain['decode']:.0f}", "", ""),
        ("drafted, accepted", f"{engine['drafted_tokens']}, {engine['accepted_tokens']}", "", ""),
        (
            "peak memory, MB",
            *(f"{run['memory_mb']:.0f}" if run else "" for run in (engine, loop, server)),
        ),
    ]


def beside(figures: list[tuple[str, ...]], real: Json | None) -> list[tuple[str, ...]]:
    """Return the figures with a column more: the small real model's, run by the engine alone."""
    if real is None:
        return figures
    speed = speeds(real)
    column = {
        "figure": "engine, SmolLM2-135M",
        "rows/s": f"{real['rows'] / real['took_s']:.2f}",
        "tokens written a row": _a_row(real, "sampled_tokens", "forced_tokens"),
        "of them sampled": _a_row(real, "sampled_tokens"),
        "of them forced": _a_row(real, "forced_tokens"),
        "prompt tokens a row": _a_row(real, "prompt_tokens"),
        "of them reused": _a_row(real, "reused_tokens"),
        "TTFT from admission, median, ms": f"{real['ttft_ms']:.0f}",
        "plain prompt tokens/s": f"{speed['prompt']:.0f}",
        f"plain decode tokens/s, {real['parallel']} rows": f"{speed['decode']:.0f}",
        "drafted, accepted": f"{real['drafted_tokens']}, {real['accepted_tokens']}",
        "peak memory, MB": f"{real['memory_mb']:.0f}",
    }
    return [(*row, column.get(row[0], "")) for row in figures]


def _a_row(run: Json | None, *counted: str) -> str:
    if run is None:
        return ""
    return f"{sum(run[name] for name in counted) / run['rows']:.0f}"
