"""`insights knowledge`: bring collections up to date, look into them, measure them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from insights import errors
from insights.cli.output import Json, console, emit_json, emit_table, shown, stdout
from insights.knowledge import evaluation
from insights.knowledge.indexer import Progress as SyncProgress
from insights.knowledge.indexer import SyncReport
from insights.knowledge.retriever import Ranked
from insights.wiring import knowledge
from insights.wiring.app import App, open_app

app = typer.Typer(
    help="Documents that insights stand on: synchronise, search, measure.", no_args_is_help=True
)

Collections = Annotated[
    list[str] | None,
    typer.Option("--collection", "-k", help="Only this collection (may be given again)"),
]
Filters = Annotated[
    list[str] | None, typer.Option("--filter", "-f", help="NAME=VALUE that passages must match")
]
_SHOWN_CHARS = 300
_SHOWN_WORDS = 8


@app.command()
def sync(
    ctx: typer.Context,
    collections: Annotated[list[str] | None, typer.Argument(help="Default: all")] = None,
    as_json: Json = False,
) -> None:
    """Load what changed, by content hash. Broken documents are reported and left out."""
    reports: dict[str, SyncReport] = {}
    with open_app(ctx.obj) as wired:
        for name in _named(wired, collections):
            with _bar(name, visible=not as_json) as advance:
                reports[name] = knowledge.indexer(wired, name).sync(advance)
    if as_json:
        emit_json(reports)
        return
    emit_table(
        "Collections",
        [
            {"collection": name, **msgspec.structs.asdict(report)}
            | {"problems": len(report.problems)}
            for name, report in reports.items()
        ],
        "No collection is declared: add [collection.NAME] to the settings.",
    )
    for report in reports.values():
        for reason in report.problems.values():
            console.print(f"[yellow]skipped[/] {shown(reason)}", soft_wrap=True)


@app.command()
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Show the collections in the store."""
    with open_app(ctx.obj) as wired:
        known = wired.passages.status()
    if as_json:
        emit_json(known)
        return
    emit_table(
        "Collections",
        [
            {
                "collection": one.name,
                "documents": one.documents,
                "passages": one.passages,
                "language": one.language,
                "models": ", ".join(one.models),
                "synced": one.synced_at,
                "problems": len(one.problems),
            }
            for one in known
        ],
        "No collection has been synchronised yet: `insights knowledge sync`.",
    )
    for one in known:
        for reason in one.problems.values():
            console.print(f"[yellow]{shown(one.name)}: skipped[/] {shown(reason)}", soft_wrap=True)


@app.command()
def search(
    ctx: typer.Context,
    query: str,
    collections: Collections = None,
    filters: Filters = None,
    as_json: Json = False,
) -> None:
    """Show the passages that a row with this text would be given."""
    with open_app(ctx.obj) as wired:
        names, conditions = _named(wired, collections), _conditions(filters)
        passages = knowledge.searcher(wired, names).retrieve([query], [conditions])[0]
        ids = [passage.passage_id for passage in passages]
        wired.readings("insights knowledge search").passages(query, conditions, names, ids)
    if as_json:
        emit_json(passages)
        return
    if not passages:
        stdout.print("Nothing is relevant enough. `insights knowledge explain` shows why.")
    for passage in passages:
        stdout.print(
            f"[bold]{passage.number}. {shown(passage.title)}[/]  [dim]{shown(passage.uri)}[/]"
        )
        stdout.print(_shortened(passage.text), markup=False, highlight=False)


@app.command()
def explain(
    ctx: typer.Context,
    query: str,
    collections: Collections = None,
    filters: Filters = None,
    as_json: Json = False,
) -> None:
    """Show every passage that was looked at, why it ranked where it did, and what became of it."""
    with open_app(ctx.obj) as wired:
        names, conditions = _named(wired, collections), _conditions(filters)
        ranked = knowledge.searcher(wired, names).explain([query], [conditions])[0]
        ids = [entry.hit.passage_id for entry in ranked]
        wired.readings("insights knowledge explain").passages(query, conditions, names, ids)
    if as_json:
        emit_json(ranked)
        return
    emit_table(
        "Best first",
        [_explained(place, entry) for place, entry in enumerate(ranked, 1)],
        "No passage matches.",
    )


@app.command()
def evaluate(
    ctx: typer.Context,
    queries: Annotated[Path, typer.Argument(help="`id TAB text` a line")],
    qrels: Annotated[Path, typer.Argument(help="TREC judgements: `id 0 uri grade` a line")],
    collections: Collections = None,
    as_json: Json = False,
) -> None:
    """Measure retrieval on your own judged queries: nDCG@10, recall@10, MRR by retriever."""
    texts, judgements = evaluation.read_queries(queries), evaluation.read_judgements(qrels)
    with open_app(ctx.obj) as wired:
        retriever = knowledge.searcher(wired, _named(wired, collections))
        measured = evaluation.evaluate(retriever, texts, judgements)
    if as_json:
        emit_json(measured)
        return
    emit_table(
        "Retrieval",
        [
            {
                "retriever": name,
                "nDCG@10": f"{figures.ndcg_10:.3f}",
                "recall@10": f"{figures.recall_10:.3f}",
                "MRR": f"{figures.mrr:.3f}",
                "queries": figures.queries,
            }
            for name, figures in measured.items()
        ],
        "Nothing was measured.",
    )


def _named(wired: App, collections: list[str] | None) -> list[str]:
    """Return the collections to work on: those named, else all that the settings declare."""
    declared = list(wired.settings.collection)
    for name in collections or []:
        if name not in declared:
            raise errors.SettingsError(
                f"there is no collection {name!r}",
                where="--collection",
                fix=f"declared are: {', '.join(declared) or 'none'}",
            )
    return collections or declared


def _conditions(filters: list[str] | None) -> Mapping[str, str]:
    conditions = {}
    for condition in filters or []:
        name, equals, value = condition.partition("=")
        if not equals:
            raise errors.SettingsError(f"{condition!r} is not NAME=VALUE", where="--filter")
        conditions[name.strip()] = value.strip()
    return conditions


def _explained(place: int, entry: Ranked) -> dict[str, object]:
    hit = entry.hit
    why = []
    if hit.similarity is not None:
        rank = f"rank {hit.vector_rank}" if hit.vector_rank else "not among the nearest"
        why.append(f"vector: {rank}, cosine {hit.similarity:.2f}")
    if hit.words:
        rank = f"rank {hit.text_rank}, BM25 {hit.bm25:.1f}" if hit.text_rank else "not ranked"
        shown = " ".join(hit.words[:_SHOWN_WORDS])
        why.append(f"text: {rank}, {hit.coverage:.0%} of the words: {shown}")
    if entry.relevance is not None:
        why.append(f"reranker: {entry.relevance:.2f}")
    return {
        "#": place,
        "passage": f"{hit.title}\n{hit.uri}",
        "fate": entry.fate,
        "score": f"{hit.score:.3f}",
        "why": "\n".join(why),
    }


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS].rstrip()} …"


@contextmanager
def _bar(name: str, *, visible: bool) -> Iterator[Callable[[SyncProgress], None]]:
    """Show a progress bar that a synchronisation advances."""
    with Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("documents, {task.fields[embedded]:,} passages embedded"),
        TimeElapsedColumn(),
        console=console,
        disable=not visible,
        transient=True,
    ) as bar:
        task = bar.add_task(name, total=None, embedded=0)
        yield lambda now: bar.update(
            task, completed=now.done, total=now.total or None, embedded=now.embedded
        )
