"""`insights tune`: measure how a model runs best on this machine, and keep it."""

from collections.abc import Callable
from typing import Annotated

import msgspec
import typer

from insights import errors
from insights.cli.output import Json, console, emit_json, emit_table, stdout
from insights.inference.messages import EngineSettings, GeneratorInit, KvType, Speeds, Trial
from insights.inference.planner import PROMPT_TOKENS, WRITTEN_TOKENS
from insights.inference.tuning import Subject, Tuned, store
from insights.site.files import load
from insights.site.settings import Settings
from insights.wiring.adapters import tuned_folder
from insights.wiring.commands import tuner

_LOAD_S, _TRIAL_S = 600.0, 900.0
_ROWS = (1, 4, 16, 32, 64)  # 8 are measured first
_OTHERS: tuple[tuple[int | None, KvType | None], ...] = ((128, None), (256, None), (None, "q8_0"))
_WORTH = 1.05  # twice the rows at once, or another cache, must be this much faster to be worth it


def tune(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Which [model.<name>]")] = None,
    as_json: Json = False,
) -> None:
    """Measure a local model on this machine, and keep the best way to run it for the daemon.

    Takes minutes and all cores: run it while nothing else does, as the daemon's user. What the
    settings say still wins; another file, machine or llama.cpp needs a measurement of its own.
    """
    settings = load(ctx.obj)
    name, init = _init(settings, model)
    with tuner(init, start_s=_LOAD_S) as worker:
        subject = worker.call("subject", None, Subject, deadline_s=_LOAD_S)
        tried, best = _try_all(
            lambda trial: worker.call("measure", trial, Speeds, deadline_s=_TRIAL_S)
        )
    kept = store(tuned_folder(settings), Tuned(subject=subject, best=best))
    if as_json:
        emit_json({"model": name, "tried": tried, "best": best, "kept": str(kept)})
        return
    rows = [
        {
            "threads": speeds.threads,
            "rows at once": speeds.parallel,
            "micro-batch": speeds.micro_batch,
            "cache": speeds.kv_type,
            "flash attention": "as llama.cpp" if speeds.flash is None else _said(speeds.flash),
            "a second token": f"+{speeds.second:.0%}",
            "prompt tokens/s": f"{speeds.prompt:,.0f}",
            "written tokens/s": f"{speeds.decode:,.0f}",
            "rows/s, about": f"{_rows_per_second(speeds):.2f}",
        }
        for speeds in tried
    ]
    emit_table(f"model.{name}", rows, "")
    stdout.print(
        f"best: threads {best.threads}, parallel {best.parallel}, "
        f"micro-batch {best.micro_batch}, kv_type {best.kv_type}, flash attention "
        f"{_said(best.flash)}, {best.run} forced tokens are worth a pass\n"
        f"kept in {kept}; used from the next start where [model.{name}] does not say otherwise",
        markup=False,
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
        engine=EngineSettings(gpu_layers=found.gpu_layers, kv_type=found.kv_type),
    )
    return chosen, init


def _try_all(measure: Callable[[Trial], Speeds]) -> tuple[list[Speeds], Speeds]:
    """Return all that was measured and the best of it.

    Threads are tried with one amount of rows, then attention, then rows with the best of both, then
    the rest.
    """
    tried: list[Speeds] = []

    def run(trial: Trial) -> Speeds:
        varied = {key: value for key, value in msgspec.to_builtins(trial).items() if value}
        console.print("measuring " + ", ".join(f"{key} {varied[key]}" for key in varied))
        tried.append(measure(trial))
        return tried[-1]

    cores = run(Trial(threads=None, parallel=8)).threads
    for threads in sorted({1, cores // 2, cores - 1} - {0, cores}):
        run(Trial(threads=threads, parallel=8))
    base = max(tried, key=_rows_per_second)
    plain = run(Trial(threads=base.threads, parallel=8, flash=False))
    flash = False if _rows_per_second(plain) >= _WORTH * _rows_per_second(base) else None
    for parallel in _ROWS:
        try:
            run(Trial(threads=base.threads, parallel=parallel, flash=flash))
        except errors.ModelError:  # more rows do not fit
            break
    best = _best([speeds for speeds in tried if speeds.flash == flash])
    for micro_batch, kv_type in _OTHERS:
        try:
            other = run(
                Trial(
                    threads=best.threads,
                    parallel=best.parallel,
                    micro_batch=micro_batch or best.micro_batch,
                    kv_type=kv_type or best.kv_type,
                    flash=None if kv_type == "q8_0" else flash,
                )
            )
        except errors.ModelError:
            continue
        if _rows_per_second(other) >= _WORTH * _rows_per_second(best):
            best = other
    return tried, msgspec.structs.replace(best, flash=best.flash is not False)


def _best(tried: list[Speeds]) -> Speeds:
    """Return the fewest rows at once from which more are not clearly faster."""
    ordered = sorted(tried, key=lambda speeds: speeds.parallel)
    best = ordered[0]
    for speeds in ordered[1:]:
        gain = _rows_per_second(speeds) / _rows_per_second(best)
        if gain >= (1.0 if speeds.parallel == best.parallel else _WORTH):
            best = speeds
    return best


def _said(flash: bool | None) -> str:
    return "off" if flash is False else "on"


def _rows_per_second(speeds: Speeds) -> float:
    return 1 / (PROMPT_TOKENS / speeds.prompt + WRITTEN_TOKENS / speeds.decode)
