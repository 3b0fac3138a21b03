"""Documents with placeholders for personal data, before they are cut, embedded and stored."""

import hashlib
from collections.abc import Iterable

from insights import errors
from insights.governance import redact
from insights.model import Document, Redaction
from insights.ports.knowledge import Documents

# Grows when the same text is redacted differently, so that everything is loaded anew.
_RULES_VERSION = 2
_HASH_BYTES = 16


class RedactedDocuments:
    """Implements `ports.Documents` over other documents.

    A document's hash is that of the document and of the policy: another policy loads it anew.

    Args:
        documents: Where they come from.
        redaction: What to replace.
    """

    def __init__(self, documents: Documents, redaction: Redaction) -> None:
        self._documents = documents
        self._redaction = redaction
        self._salt = repr((_RULES_VERSION, redaction)).encode()

    def listing(self) -> Iterable[tuple[str, bytes]]:
        """Yield URI and hash of every document."""
        for uri, content in self._documents.listing():
            yield uri, self._salted(content)

    def load(self, uri: str) -> Document:
        """Return one document, redacted.

        Raises:
            errors.KnowledgeError: If it cannot be loaded, or a pattern takes too long over it.
        """
        loaded = self._documents.load(uri)
        try:
            return redact.document(loaded, self._redaction)[0]
        except errors.RowError as exc:
            raise errors.KnowledgeError(exc.what, where=uri, fix=exc.fix) from None

    def _salted(self, content: bytes) -> bytes:
        if not content:  # a file that cannot be read; loading it says why
            return content
        return hashlib.blake2b(self._salt + content, digest_size=_HASH_BYTES).digest()
