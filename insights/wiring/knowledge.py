"""The role `knowledge`: collections that follow their folders and streams, and searches."""

from collections.abc import Sequence

from insights.documents.attachments import Attachments
from insights.documents.folder import Folder
from insights.documents.messages import limits
from insights.knowledge.chunking import Chunker, Chunking
from insights.knowledge.examples import NearestExamples, Wanted
from insights.knowledge.following import Following
from insights.knowledge.indexer import Collection, Indexer
from insights.knowledge.labels import Labels
from insights.knowledge.retriever import HybridRetriever
from insights.knowledge.selection import Selection
from insights.knowledge.stream import StreamDocuments
from insights.model import StreamSpec
from insights.polling.courtesy import Courtesy
from insights.ports import Documents
from insights.service.daemon import Job
from insights.site import definitions, redaction
from insights.site.definitions import Definition
from insights.wiring.app import App


def jobs(app: App, *, once: bool) -> list[Job]:
    """Return a job for each collection that follows its documents by itself."""
    return [
        _following(app, name, once=once)
        for name, found in app.settings.collection.items()
        if found.sync_every > 0
    ]


def indexer(app: App, name: str, documents: Documents | None = None) -> Indexer:
    """Return what synchronises one collection."""
    found = app.settings.collection[name]
    embedder = app.embedders()[0]
    chunker = Chunker(
        embedder.tokenizer,
        Chunking(tokens=found.chunk_tokens, overlap=found.overlap_tokens, by=found.chunking),
        embedder.model.max_tokens,
        lambda texts: embedder.embed(texts, "document"),
    )
    collection = Collection(name=name, language=found.language, stream=found.stream)
    documents = documents or _documents(app, name)
    return Indexer(collection, documents, app.passages, embedder, chunker)


def searcher(
    app: App,
    collections: Sequence[str],
    selection: Selection | None = None,
    *,
    rerank: bool = False,
) -> HybridRetriever:
    """Return a search over collections."""
    declared = (app.settings.collection[name].filters for name in collections)
    types = {name: kind for filters in declared for name, kind in filters.items()}
    embedders = app.embedders()
    return HybridRetriever(
        collections,
        app.passages,
        embedders,
        filter_types=types,
        selection=selection,
        reranker=app.reranker() if rerank else None,
    )


def exampler(app: App, made: Definition) -> NearestExamples:
    """Return what finds a pipeline's labelled neighbours."""
    found = made.settings.examples
    assert found is not None  # noqa: S101 - asked for only where there are any
    wanted = Wanted(
        collection=found.collection,
        labels=made.labels,
        schema=made.output_schema,
        columns=made.example_columns,
        k=found.k,
        min_similarity=found.min_similarity,
        time=found.time,
        filters=found.filters,
        filter_types=app.settings.collection[found.collection].filters,
    )
    return NearestExamples(wanted, app.passages, app.embedders())


def files(app: App, spec: StreamSpec, name: str | None) -> Attachments:
    """Return what reads the files in a stream's attachment column; `name` has their names."""
    source = app.source(spec.source)
    return app.stack.enter_context(
        Attachments(
            lambda key: source.attachment(spec, key),
            name=name,
            redaction=spec.redaction,
            names=spec.names,
            recognizer=app.recognizer,
            max_bytes=spec.attachment_bytes,
            limits=limits(spec.ocr_pages),
        )
    )


def _following(app: App, name: str, *, once: bool) -> Following:
    """Return the job that synchronises one collection; `once` compares all there is."""
    found = app.settings.collection[name]
    documents = _documents(app, name)
    follows = indexer(app, name, documents)
    if found.stream is None:
        return Following(name, follows, app.leases, found.sync_every)
    stream = app.settings.stream[found.stream]
    courtesy, source = app.courtesy(found.stream), app.source(stream.source)
    return Following(
        name,
        follows,
        app.leases,
        found.sync_every,
        stream=documents if isinstance(documents, StreamDocuments) and not once else None,
        compare_s=stream.sweep_every,
        wait=lambda: courtesy.waits(source.fingerprint),
    )


def _documents(app: App, name: str) -> Documents:
    found = app.settings.collection[name]
    if found.folder is not None:
        folder = Folder(
            app.settings.resolve(found.folder),
            found.pattern,
            found.filters,
            redaction=redaction.redaction(found.redact),
            names=redaction.names_model(app.settings, found.redact),
            recognizer=app.recognizer,
            limits=limits(found.ocr_pages),
        )
        return app.stack.enter_context(folder)
    spec = definitions.knowledge_stream(app.settings, name)
    source = app.source(spec.source)
    attachments = None
    if spec.attachment is not None:
        attachments = files(app, spec, found.attachment_name)
    return StreamDocuments(
        source,
        spec,
        attachments=attachments,
        title=found.title,
        text=found.text,
        filters=found.filters,
        labels=Labels(found.labels, found.time) if found.labels else None,
        pay=Courtesy(spec.rows_per_second).pay,
    )
