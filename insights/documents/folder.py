"""A folder as a collection of documents."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

import structlog

from insights import errors
from insights.documents.client import LoaderClient
from insights.documents.filters import FilterType, canonical
from insights.documents.messages import Limits, Loaded
from insights.documents.refusals import Refusals
from insights.documents.registry import suffixes
from insights.documents.signatures import suffix
from insights.documents.tree import Entry, Tree
from insights.governance import redact
from insights.model import Document, NamesModel, Redaction
from insights.ports import Recognizer

log = structlog.get_logger(__name__)

_HASH_BYTES = 16
_PIECE = 1024 * 1024
# Grows when a loader reads the same bytes differently, so that everything is loaded anew.
_LOADERS_VERSION = 5
# So does this when the same text is redacted differently.
_RULES_VERSION = 2
_SHORTER = "split it, or take names_model out of the collection's redact"


class Folder:
    """The files below a folder that a loader reads; hidden ones are left out.

    Files are opened without following links and read in a child process, which starts with the
    first of them and ends some time after the last.

    Args:
        root: The folder.
        pattern: Which files, as a glob below the folder.
        filters: The declared filters: what a document's front matter may be searched by.
        redaction: What is replaced in titles and texts, by the child; None: nothing.
        names: The model that finds names in what the child sends; None: no model does.
        recognizer: What runs it.
        limits: What one document may cost.
        clock: Seconds; only differences count.
    """

    def __init__(
        self,
        root: Path,
        pattern: str = "**/*",
        filters: Mapping[str, FilterType] | None = None,
        *,
        redaction: Redaction | None = None,
        names: NamesModel | None = None,
        recognizer: Recognizer | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tree = Tree(root, pattern)
        self._filters = dict(filters or {})
        self._loader = LoaderClient(root, limits, redaction=redaction, properties=self._filters)
        self._salt = repr((_LOADERS_VERSION, sorted(self._filters.items()))).encode()
        if self._loader.limits.ocr_pages:
            self._salt += str(self._loader.limits.ocr_pages).encode()
        self._policy = None if redaction is None else repr((_RULES_VERSION, redaction)).encode()
        if names is not None:
            self._policy = (self._policy or b"") + repr(names.rules).encode()
        self._names = names
        self._recognizer = recognizer
        self._hashes: dict[str, bytes] = {}
        self._refusals = Refusals(clock)
        self._unspeakable: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def loader(self) -> LoaderClient:
        """The child that reads."""
        return self._loader

    def close(self) -> None:
        """End the child."""
        self._loader.close()

    def listing(self) -> Iterable[tuple[str, bytes]]:
        """Yield path (relative, `/`-separated) and content hash of every file, by path.

        What cannot be read or is a link is yielded with an empty hash: loading it says why.

        Raises:
            errors.KnowledgeError: If the folder or one below it cannot be read, so that no
                document is taken for deleted because a share is not mounted.
        """
        hashes: dict[str, bytes] = {}
        read = suffixes(self._loader.limits)
        for entry in self._tree.entries():
            # A link to a folder has any name; one that could be a file says so by its suffix.
            if suffix(entry.uri) not in read and entry.kind != "link":
                continue
            uri, content = self._seen(entry)
            hashes[uri] = content
            yield uri, content
        self._hashes = hashes
        self._refusals.keep(hashes)

    def load(self, uri: str, alive: Callable[[], None] = lambda: None) -> Document:
        """Return one file's document; without a title of its own it is called like its file.

        `alive` is called now and then where that takes long.

        Raises:
            errors.KnowledgeError: If it cannot be used; the same again while the file is the same.
            errors.InsightsError: If the loader cannot be started.
        """
        where = str(self._tree.root / uri)
        with self._refusals.of(uri, self._hashes.get(uri, b""), where):
            return self._document(uri, self._read(uri, alive), where)

    def _read(self, uri: str, alive: Callable[[], None]) -> Loaded:
        if uri in self._unspeakable:
            raise errors.KnowledgeError("its name is no UTF-8", fix="rename it")
        return self._loader.load(uri, alive)

    def _document(self, uri: str, loaded: Loaded, where: str) -> Document:
        values = {}
        for name, kind in self._filters.items():
            if name in loaded.properties:
                values[name] = canonical(name, kind, loaded.properties[name], where=where)
        for doubt in loaded.doubts:
            log.warning("document read with a doubt", document=where, doubt=doubt)
        made = Document(
            uri=uri,
            title=loaded.title,
            text=loaded.text,
            is_markdown=loaded.is_markdown,
            filters=values,
        )
        if self._names is None:
            return made
        try:
            return redact.names_in_document(made, self._names, self._recognizer)
        except errors.RecognizerDied as exc:  # over this document: others go on
            raise errors.KnowledgeError(
                f"names could not be looked for in it: {exc.what}", where=where, fix=_SHORTER
            ) from exc

    def _seen(self, entry: Entry) -> tuple[str, bytes]:
        """Return a file's path as it can be stored, and its content hash."""
        try:
            entry.uri.encode()
        except UnicodeEncodeError:
            uri = entry.uri.encode("utf-8", "backslashreplace").decode()
            self._unspeakable.add(uri)
            return uri, b""
        return entry.uri, self._hash(entry) if entry.kind == "file" else b""

    def _hash(self, entry: Entry) -> bytes:
        digest = hashlib.blake2b(digest_size=_HASH_BYTES)
        try:
            with self._tree.open(entry.uri) as descriptor:
                status = os.fstat(descriptor)
                if status.st_size > self._loader.limits.file_bytes:
                    # Nobody will read it, so nobody needs to read it for a hash.
                    digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
                else:
                    while piece := os.read(descriptor, _PIECE):
                        digest.update(piece)
        except (OSError, errors.KnowledgeError):
            return b""
        digest.update(self._salt)
        if self._policy is None:
            return digest.digest()
        return hashlib.blake2b(self._policy + digest.digest(), digest_size=_HASH_BYTES).digest()
