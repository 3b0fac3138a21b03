"""The settings of models: embeddings, GGUF files, and servers that speak the OpenAI protocol."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from insights.site.budgets import TariffSettings
from insights.site.values import Duration, Section, seconds


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_open_way(url: str, what: str = "rows", *, key: str = "url", insecure: bool) -> None:
    """Refuse an address that rows and keys would reach as plain text.

    `what` would cross the network, `key` is the setting that has the address.

    Raises:
        ValueError: If it is no address, or an open one and not `insecure`.
    """
    found = urlsplit(url)
    if found.scheme not in ("http", "https") or not found.hostname:
        raise ValueError(f"{key} is no http or https address, such as https://gpu1:8000/v1")
    if found.username or found.password or found.query:
        raise ValueError(f"{key} holds a user, a password or a query: give api_key instead")
    if found.scheme == "http" and not is_loopback(found.hostname) and not insecure:
        raise ValueError(
            f"{what} would cross the network as plain text: use https (ca_file names a private "
            "authority), or write insecure = true"
        )


class ServerSettings(Section):
    """A server that is asked for something: where it is, and how it is reached."""

    url: str
    model: str
    protocol: Literal["openai", "tei"] = "openai"
    api_key: str | None = None
    insecure: bool = False
    proxy: str | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    tokenizer: Path | None = None
    timeout: Duration = seconds("30s")

    @model_validator(mode="after")
    def _private(self) -> "ServerSettings":
        refuse_open_way(self.url, insecure=self.insecure)
        return self


class RerankServerSettings(ServerSettings):
    """`[embedding.rerank_server]`: a server that judges passages.

    `protocol` is `openai` (vLLM, llama-server and others: `rerank` below the url) or `tei`
    (text-embeddings-inference). `scores` are probabilities, or logits of any size.
    """

    max_tokens: int = Field(default=512, ge=32, le=131_072)
    scores: Literal["probabilities", "logits"] = "probabilities"


class VectorServerSettings(ServerSettings):
    """`[embedding.server]`: a server that embeds.

    `model` is the name it serves, `dimensions` the length of its vectors. Texts are cut to
    `max_tokens` of `tokenizer`, the model's tokenizer.json; without one the packaged one's counts.
    """

    dimensions: int = Field(ge=1, le=4000)
    max_tokens: int = Field(default=256, ge=32, le=131_072)
    query_prompt: str = ""
    document_prompt: str = ""


class EmbeddingSettings(Section):
    """`[embedding]`: the model of all collections, sentence-transformers in a folder or a server.

    A folder that is named is pinned by its hash, as a GGUF file is; the packaged model is pinned by
    the lock file. `previous` is the model it replaces: it answers until every passage has the new
    one's vector.
    """

    model: str = "all-MiniLM-L6-v2"
    path: Path | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    threads: int | None = None
    reranker: Path | None = None
    reranker_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    server: VectorServerSettings | None = None
    rerank_server: RerankServerSettings | None = None
    previous: "EmbeddingSettings | None" = None

    @model_validator(mode="after")
    def _one_place(self) -> "EmbeddingSettings":
        if self.server is not None and (self.path is not None or self.sha256 is not None):
            raise ValueError("give a folder (path, sha256) or a server, not both")
        if self.reranker is not None and self.rerank_server is not None:
            raise ValueError("give reranker (a folder) or rerank_server, not both")
        if self.server is not None and self.reranker is not None:
            raise ValueError(
                "where a server embeds, a server reranks: rerank_server instead of reranker"
            )
        return self

    @model_validator(mode="after")
    def _pinned(self) -> "EmbeddingSettings":
        for name, folder, sha256 in (
            ("sha256", self.path, self.sha256),
            ("reranker_sha256", self.reranker, self.reranker_sha256),
        ):
            if folder is not None and sha256 is None:
                raise ValueError(
                    f"a model's folder needs its {name} "
                    f"(`python -m insights.embedding.files {folder}` prints it)"
                )
        return self

    def servers(self, section: str = "embedding") -> Iterator[tuple[str, ServerSettings]]:
        """Yield each server that texts go to, and of `previous` too, with its section."""
        for name, server in (("server", self.server), ("rerank_server", self.rerank_server)):
            if server is not None:
                yield f"{section}.{name}", server
        if self.previous is not None:
            yield from self.previous.servers(f"{section}.previous")

    @property
    def leaves(self) -> bool:
        """Whether texts leave this process tree for a server."""
        return any(self.servers())


class ModelSettings(Section):
    """`[model.<name>]`: a GGUF file with its SHA-256, or an OpenAI-compatible server."""

    path: Path | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    chat_template: str | None = None
    url: str | None = None
    model: str | None = None
    api_key: str | None = None
    insecure: bool = False
    proxy: str | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    gpu_layers: int | None = None
    context: int | None = Field(default=None, ge=256)
    parallel: int | None = Field(default=None, ge=1, le=512)
    threads: int | None = Field(default=None, ge=1)
    kv_type: Literal["f16", "q8_0", "f32"] | None = None
    memory_mb: int | None = Field(default=None, ge=64)
    timeout: Duration = seconds("5min")
    tariff: TariffSettings | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "ModelSettings":
        if (self.path is None) == (self.url is None):
            raise ValueError("give exactly one of path (a GGUF file) and url (a server)")
        if self.path is not None and self.sha256 is None:
            raise ValueError("a GGUF file needs its sha256 (`sha256sum FILE` prints it)")
        if self.url is not None and self.chat_template is not None:
            raise ValueError("a server applies its own chat template: set it there")
        return self

    @model_validator(mode="after")
    def _private(self) -> "ModelSettings":
        """Rows and the key go over the wire: encrypted, unless the machine itself is the server."""
        if self.url is None:
            if self.insecure or self.proxy or self.ca_file or self.client_cert:
                raise ValueError("insecure, proxy, ca_file and client_cert belong to a url")
            return self
        refuse_open_way(self.url, insecure=self.insecure)
        return self
