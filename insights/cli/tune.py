"""`insights tune`: measure threads and rows at once for a model on this machine."""

from typing import Annotated

import typer

from insights import errors
from insights.cli.output import Json, console, emit_json, emit_table, stdout
from insights.configuration import load
from insights.inference.messages import EngineSettings, GeneratorInit, Speeds, Trial
from insights.settings import Settings
from insights.workers.process import Worker

_LOAD_S, _TRIAL_S = 600.0, 900.0
_ROWS = (1, 4, 8, 16, 32, 64)
_WORTH = 1.05  # twice the rows at once must be this much faster to be worth their memory
# What a row costs, in tokens: measured on prompts of three passages, most of them shared.
_PROMPT_TOKENS, _WRITTEN_TOKENS = 160, 80


def tune(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Which [model.<name>]")] = None,
    as_json: Json = False,
) -> None:
    """Measure a local model with different threads and rows at once; print what to set.

    Takes minutes and all cores: run it while nothing else does.
    """
    settings = load(ctx.obj)
    name, init = _init(settings, model)
    worker = Worker("insights.inference.tuner", init, name="tuner", start_deadline_s=_LOAD_S)
    try:
        tried = _try_all(worker)
    finally:
        worker.close()
    best = _best(tried)
    if as_json:
        emit_json({"model": name, "tried": tried, "best": best})
        return
    rows = [
        {
            "threads": speeds.threads,
            "rows at once": speeds.parallel,
            "prompt tokens/s": f"{speeds.prompt:,.0f}",
            "written tokens/s": f"{speeds.decode:,.0f}",
            "rows/s, about": f"{_rows_per_second(speeds):.2f}",
        }
        for speeds in tried
    ]
    emit_table(f"model.{name}", rows, "")
    stdout.print(
        f"[model.{name}]\nthreads = {best.threads}\nparallel = {best.parallel}", markup=False
    )


def _init(settings: Settings, name: str | None) -> tuple[str, GeneratorInit]:
    local = {key: made for key, made in settings.model.items() if made.path is not None}
    chosen = name or (next(iter(local)) if len(local) == 1 else "")
    found = local.get(chosen)
    if found is None or found.path is None:
        raise errors.SettingsError(
            f"which model? {', '.join(local) or 'there is no local one'}",
            where="tune",
            fix="name a [model.<name>] that has a path",
        )
    init = GeneratorInit(
        path=str(settings.resolve(found.path)),
        sha256=found.sha256 or "",
        engine=EngineSettings(gpu_layers=found.gpu_layers),
    )
    return chosen, init


def _try_all(worker: Worker) -> list[Speeds]:
    """Measure threads with one amount of rows first, then rows with the best threads."""

    def measure(threads: int | None, parallel: int) -> Speeds:
        console.print(f"measuring {parallel} rows at once, {threads or 'all'} threads …")
        trial = Trial(threads=threads, parallel=parallel)
        return worker.call("measure", trial, Speeds, deadline_s=_TRIAL_S)

    everything = measure(None, 8)
    cores = everything.threads
    tried = [everything]
    tried += [measure(n, 8) for n in sorted({1, cores // 2, cores - 1} - {0, cores})]
    threads = max(tried, key=_rows_per_second).threads
    for parallel in _ROWS:
        if parallel == 8:  # noqa: PLR2004 - measured above
            continue
        try:
            tried.append(measure(threads, parallel))
        except errors.ModelError:  # more rows do not fit
            break
    return tried


def _best(tried: list[Speeds]) -> Speeds:
    """Return the fewest rows at once from which more are not clearly faster."""
    ordered = sorted(tried, key=lambda speeds: speeds.parallel)
    best = ordered[0]
    for speeds in ordered[1:]:
        gain = _rows_per_second(speeds) / _rows_per_second(best)
        if gain >= (1.0 if speeds.parallel == best.parallel else _WORTH):
            best = speeds
    return best


def _rows_per_second(speeds: Speeds) -> float:
    return 1 / (_PROMPT_TOKENS / speeds.prompt + _WRITTEN_TOKENS / speeds.decode)
