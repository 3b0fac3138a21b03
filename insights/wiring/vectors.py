"""Who embeds and judges: a model's files here, or a server."""

from pathlib import Path

from insights.embedding.files import ModelFiles
from insights.ground import environment
from insights.inference.messages import RemoteInit
from insights.inference.vectors_client import RemoteVectorsClient, served
from insights.inference.vectors_messages import VectorsInit
from insights.model import EmbeddingModel
from insights.site.models import RerankServerSettings, VectorServerSettings
from insights.site.settings import EmbeddingSettings, Settings
from insights.store.passages import PassageStore


def embedding_model(settings: Settings, found: EmbeddingSettings) -> EmbeddingModel:
    """Return what stands for an embedding model, whoever runs it; asks nobody."""
    if found.server is not None:
        return served(_vectors(settings, found.server, secret=False))
    return embedding_files(settings, found).model


def open_vectors(
    settings: Settings, found: VectorServerSettings | RerankServerSettings, passages: PassageStore
) -> RemoteVectorsClient:
    """Return a server of embeddings or relevances; its child starts at the first call."""
    init = _vectors(settings, found)
    return RemoteVectorsClient(init, Path(init.tokenizer), passages.pin)


def _vectors(
    settings: Settings, found: VectorServerSettings | RerankServerSettings, *, secret: bool = True
) -> VectorsInit:
    embeds = isinstance(found, VectorServerSettings)
    section = "embedding.server" if embeds else "embedding.rerank_server"

    def revealed(value: str | None, field: str) -> str:
        return environment.reveal(value, f"{section}.{field}") if value and secret else ""

    return VectorsInit(
        server=RemoteInit(
            name="embedder" if embeds else "reranker",
            url=found.url,
            model=found.model,
            api_key=revealed(found.api_key, "api_key"),
            timeout_s=found.timeout,
            proxy=revealed(found.proxy, "proxy") or None,
            ca_file=str(settings.resolve(found.ca_file)) if found.ca_file else None,
            client_cert=str(settings.resolve(found.client_cert)) if found.client_cert else None,
            section=section,
        ),
        protocol=found.protocol,
        dimensions=found.dimensions if isinstance(found, VectorServerSettings) else 0,
        tokenizer=str(
            settings.resolve(found.tokenizer) if found.tokenizer else ModelFiles().tokenizer
        ),
        max_tokens=found.max_tokens,
        query_prompt=found.query_prompt if isinstance(found, VectorServerSettings) else "",
        document_prompt=found.document_prompt if isinstance(found, VectorServerSettings) else "",
        logits=isinstance(found, RerankServerSettings) and found.scores == "logits",
    )


def embedding_files(settings: Settings, found: EmbeddingSettings) -> ModelFiles:
    """Return an embedding model's files, checked."""
    path = settings.resolve(found.path) if found.path is not None else None
    return ModelFiles(path, name=found.model, sha256=found.sha256)
