"""A folder as a collection of documents."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from insights import errors
from insights.documents.filters import FilterType, canonical
from insights.documents.registry import SUFFIXES, load
from insights.model import Document

_HASH_BYTES = 16
# Grows when a loader reads the same bytes differently, so that everything is loaded anew.
_LOADERS_VERSION = 1


class Folder:
    """The files below a folder that a loader reads; hidden ones are left out.

    Args:
        root: The folder.
        pattern: Which files, as a glob below the folder.
        filters: The declared filters: what a document's front matter may be searched by.
    """

    def __init__(
        self, root: Path, pattern: str = "**/*", filters: Mapping[str, FilterType] | None = None
    ) -> None:
        self._root = root
        self._pattern = pattern
        self._filters = dict(filters or {})
        self._salt = repr((_LOADERS_VERSION, sorted(self._filters.items()))).encode()

    def listing(self) -> Iterable[tuple[str, bytes]]:
        """Yield path (relative, `/`-separated) and content hash of every file, by path.

        A file that cannot be read is yielded with an empty hash: loading it says why.

        Raises:
            errors.KnowledgeError: If the folder is missing, so that no document is taken for
                deleted because a share is not mounted.
        """
        if not self._root.is_dir():
            raise errors.KnowledgeError(
                "there is no such folder", where=str(self._root), fix="correct collection.folder"
            )
        for path in sorted(self._root.glob(self._pattern)):
            relative = path.relative_to(self._root)
            hidden = any(part.startswith((".", "~$")) for part in relative.parts)
            if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            yield relative.as_posix(), self._hash(path)

    def load(self, uri: str) -> Document:
        """Return one file's document; without a title of its own it is called like its file."""
        path = self._root / uri
        loaded = load(path)
        values = {}
        for name, kind in self._filters.items():
            if name in loaded.properties:
                values[name] = canonical(name, kind, loaded.properties[name], where=str(path))
        return Document(
            uri=uri,
            title=loaded.title or path.stem.replace("_", " "),
            text=loaded.text,
            is_markdown=loaded.is_markdown,
            filters=values,
        )

    def _hash(self, path: Path) -> bytes:
        try:
            digest = hashlib.blake2b(path.read_bytes(), digest_size=_HASH_BYTES)
        except OSError:
            return b""
        digest.update(self._salt)
        return digest.digest()
