"""`insights try`: one row through the pipeline, shown step by step; only the audit is told."""

from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.panel import Panel
from rich.text import Text

from insights import errors
from insights.cli import workbench
from insights.cli.output import Json, emit_json, shown, stdout, visible
from insights.enriching import escalating
from insights.enriching.recipe import Recipe, examples_for, lacking, passages_for, request_for
from insights.enriching.support import final
from insights.model import GenerateRequest, Generation, Passage, Row, Verdict
from insights.site.settings import NEAREST
from insights.wiring import enriching
from insights.wiring.app import App, open_app


def try_(
    ctx: typer.Context,
    key: Annotated[
        str | None, typer.Argument(help="The row's key; several parts as a JSON array")
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", "-p", help="Which pipeline, if there are several")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="So many rows instead of one, side by side", min=1, max=500)
    ] = None,
    diff: Annotated[
        Path | None, typer.Option(help="With --sample: another prompt, to see what it changes")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--html", help="With --sample: write a report to this file")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what one row would get: redacted text, passages, prompt, output, verdict.

    With --sample, so many rows: outputs, support, tokens, seconds, and what the whole table would
    take. Reads rows from the replica and runs the model; writes nothing but an audit event for each
    row that is read: a new version of the pipeline is not registered.
    """
    if (key is None) == (sample is None):
        raise errors.SettingsError(
            "give a row's key, or --sample", where="try", fix="`insights try --sample 20`"
        )
    if sample is None and (diff or page):
        raise errors.SettingsError("--diff and --html need --sample", where="try")
    with open_app(ctx.obj) as app:
        recipe = enriching.trial(app, workbench.chosen(app, pipeline, where="try"))
        if key is None:
            _sampled(app, recipe, sample or 1, diff, page, as_json=as_json)
            return
        rows = recipe.source.fetch(recipe.stream, [key])
        shown_key = app.row_keys.shown(key, personal=recipe.stream.key_personal)
        if not rows:
            raise errors.RowError(
                f"there is no row with the key {shown_key}",
                where=f"stream {recipe.stream.name}",
                fix="`insights try --sample 5` takes rows that are there",
            )
        app.readings("insights try").rows(recipe.stream.name, [rows[0].key], pipeline=recipe.name)
        row = msgspec.structs.replace(rows[0], key=shown_key, sealed={})
        passages = passages_for(recipe, [row])[0]
        examples = examples_for(recipe, [row])[0]
        request = request_for(recipe, row, passages, examples)
        generation: Generation | None = None
        orders = recipe.guard.found(request)
        asks = lacking(recipe, passages, examples) is None and not recipe.guard.refusal(orders)
        if asks:
            generation = escalating.asked(recipe, request).result()
        grounds = enriching.grounds(app)
        verdict = final(recipe, row, passages, examples, generation, grounds, orders)
        nearest = workbench.neighbour(verdict, examples)
    if as_json:
        emit_json({"row": row, "passages": passages, "examples": examples, "request": request,
                   "made": generation, "verdict": verdict, "neighbour": nearest,
                   "orders": orders})  # fmt: skip
    else:
        _show(row, passages, request, generation, verdict)
        for one in orders:
            stdout.print(f"[bold]orders[/] {shown(one)}", highlight=False)
        if nearest is not None:
            stdout.print(
                f"[bold]neighbour[/] {shown(nearest.uri)}: {shown(nearest.told)} "
                f"(similarity {nearest.similarity:.2f})",
                highlight=False,
            )


def _sampled(
    app: App, recipe: Recipe, count: int, diff: Path | None, page: Path | None, *, as_json: bool
) -> None:
    """Take a sample through one prompt, or through two."""
    wanted = workbench.keys(recipe, count)
    app.readings("insights try").rows(recipe.stream.name, wanted, pipeline=recipe.name)
    grounds, rows = enriching.grounds(app), enriching.rows(app, recipe)
    prompts = [(str(app.definition(recipe.name).settings.prompt or NEAREST), recipe)]
    if diff is not None:
        prompts.append((str(diff), workbench.with_prompt(recipe, diff)))
    trials = [
        workbench.trial(one, wanted, grounds, prompt=name, rows=rows) for name, one in prompts
    ]
    if recipe.stream.key_personal:
        shown_key = partial(app.row_keys.shown, personal=True)
        trials = [workbench.with_keys(trial, shown_key) for trial in trials]
    if page is not None:
        page.write_text(workbench.page(trials, recipe.name), encoding="utf-8")
    if as_json:
        emit_json(trials)
        return
    workbench.show(trials)
    if page is not None:
        stdout.print(f"wrote {shown(page)}", highlight=False)


def _show(
    row: Row,
    passages: tuple[Passage, ...],
    request: GenerateRequest,
    generation: Generation | None,
    verdict: Verdict,
) -> None:
    prompt = Text()
    for message in request.messages:
        prompt.append(f"{message.role}\n", style="bold")
        for segment in message.segments:
            prompt.append(visible(segment.text), style="" if segment.is_template else "cyan")
        prompt.append("\n")
    found = ", ".join(f"{count} {kind}" for kind, count in row.redactions.items()) or "nothing"
    stdout.print(Panel(prompt, title="prompt (data in colour)", title_align="left"))
    stdout.print(f"[bold]redacted[/] {shown(found)}")
    for passage in passages:
        stdout.print(
            f"[bold]passage {passage.number}[/] {shown(passage.uri)} · {shown(passage.title)} "
            f"(score {passage.score:.4f})",
            highlight=False,
        )
    if generation is not None:
        stdout.print(Panel(Text(visible(generation.text)), title="output", title_align="left"))
        stdout.print(
            f"[bold]cost[/] {generation.prompt_tokens} prompt tokens "
            f"({generation.reused_tokens} reused), {generation.sampled_tokens} sampled, "
            f"{generation.forced_tokens} forced; {generation.prompt_ms:.0f} + "
            f"{generation.decode_ms:.0f} ms; route {generation.route}"
        )
        if (first := generation.first) is not None:
            stdout.print(
                f"[bold]asked first[/] {shown(first.model)}, {first.tokens} tokens: "
                f"{shown(first.text)}; {shown(generation.escalated)}"
            )
    stdout.print(
        f"[bold]verdict[/] {verdict.status}"
        + (f": {shown(verdict.reason)}" if verdict.reason else "")
    )
    for note in verdict.notes:
        stdout.print(f"[bold]note[/] {shown(note)}", highlight=False)
    for citation in verdict.citations:
        quote = f' "{citation.quote}"' if citation.quote else ""
        if citation.support is not None:
            quote += f" (support {citation.support:.2f})"
        stdout.print(
            f"  {citation.field} ← {citation.source} {shown(citation.title or '')}{shown(quote)}"
        )
