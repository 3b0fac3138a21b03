"""Servers and how they are reached; who embeds and judges: a model's files here, or a server."""

from pathlib import Path

import msgspec

from insights.embedding.files import ModelFiles
from insights.ground import environment
from insights.inference.messages import RemoteInit
from insights.inference.vectors_client import RemoteVectorsClient, served
from insights.inference.vectors_messages import VectorsInit
from insights.model import EmbeddingModel
from insights.site.models import (
    ModelSettings,
    RerankServerSettings,
    ServerSettings,
    VectorServerSettings,
)
from insights.site.settings import EmbeddingSettings, Settings
from insights.store.passages import PassageStore


def embedding_model(settings: Settings, found: EmbeddingSettings) -> EmbeddingModel:
    """Return what stands for an embedding model, whoever runs it; asks nobody."""
    if found.server is not None:
        return served(_vectors(settings, found.server, secrets=False))
    return embedding_files(settings, found).model


def open_vectors(
    settings: Settings, found: VectorServerSettings | RerankServerSettings, passages: PassageStore
) -> RemoteVectorsClient:
    """Return a server of embeddings or relevances; its child starts at the first call."""
    init = _vectors(settings, found)
    return RemoteVectorsClient(init, Path(init.tokenizer), passages.pin)


def remote(
    settings: Settings,
    found: ModelSettings | ServerSettings,
    *,
    name: str,
    section: str,
    secrets: bool = True,
) -> RemoteInit:
    """Return how a server is reached, with what its section of the settings says and no more.

    Args:
        settings: The site's.
        found: The section, which has a url.
        name: What logs call its child.
        section: What messages call the section.
        secrets: Whether key and proxy are revealed; what only names the server needs neither.
    """

    def revealed(value: str | None, field: str) -> str:
        return environment.reveal(value, f"{section}.{field}") if value and secrets else ""

    def file(path: Path | None) -> str | None:
        return None if path is None else str(settings.resolve(path))

    return RemoteInit(
        name=name,
        url=found.url or "",
        model=found.model or name,
        api_key=revealed(found.api_key, "api_key"),
        timeout_s=found.timeout,
        proxy=revealed(found.proxy, "proxy") or None,
        ca_file=file(found.ca_file),
        client_cert=file(found.client_cert),
        section=section,
    )


def _vectors(
    settings: Settings, found: VectorServerSettings | RerankServerSettings, *, secrets: bool = True
) -> VectorsInit:
    embeds = isinstance(found, VectorServerSettings)
    tokenizer = settings.resolve(found.tokenizer) if found.tokenizer else ModelFiles().tokenizer
    init = VectorsInit(
        server=remote(
            settings,
            found,
            name="embedder" if embeds else "reranker",
            section="embedding.server" if embeds else "embedding.rerank_server",
            secrets=secrets,
        ),
        protocol=found.protocol,
        tokenizer=str(tokenizer),
        max_tokens=found.max_tokens,
    )
    if isinstance(found, RerankServerSettings):
        return msgspec.structs.replace(init, logits=found.scores == "logits")
    return msgspec.structs.replace(
        init,
        dimensions=found.dimensions,
        query_prompt=found.query_prompt,
        document_prompt=found.document_prompt,
    )


def embedding_files(settings: Settings, found: EmbeddingSettings) -> ModelFiles:
    """Return an embedding model's files, checked."""
    path = settings.resolve(found.path) if found.path is not None else None
    return ModelFiles(path, name=found.model, sha256=found.sha256)
