"""Files that stand in a column of a stream's rows, read like those of a folder.

The reader's child sends the bytes, the loader's child reads and redacts them; this process only
hands them on.
"""

import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple, Self

import structlog

from insights import errors
from insights.documents.client import LoaderClient
from insights.documents.messages import Limits, Loaded, LoadRequest
from insights.documents.refusals import Refusals
from insights.governance import redact
from insights.model import Attachment, Document, NamesModel, Redaction, Row
from insights.ports import Recognizer

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024


class File(NamedTuple):
    """What a row's file says, and the SHA-256 of its bytes (hexadecimal)."""

    document: Document
    digest: str
    doubts: tuple[str, ...]
    redactions: dict[str, int]


class Attachments:
    """Reads the files of one stream's rows, in a child that starts at the first of them.

    Args:
        fetch: Returns the file of the row with a key, as it is.
        name: The column of the file's name; None if there is none.
        redaction: What is replaced in titles and texts, by the child.
        names: The model that finds names in what the child sends; None: no model does.
        recognizer: What runs it.
        max_bytes: What `fetch` sends at most, for messages.
        limits: What one file may cost.
        clock: Seconds; only differences count.
    """

    def __init__(
        self,
        fetch: Callable[[str], Attachment],
        *,
        name: str | None = None,
        redaction: Redaction,
        names: NamesModel | None = None,
        recognizer: Recognizer | None = None,
        max_bytes: int = 10 * _MIB,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._name = name
        self._loader = LoaderClient(None, limits, redaction=redaction)
        self._names = names
        self._recognizer = recognizer
        self._max_bytes = max_bytes
        self._refusals = Refusals(clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loader.close()

    def read(
        self,
        row: Row,
        content: bytes,
        *,
        where: str,
        alive: Callable[[], None] = lambda: None,
    ) -> Document | None:
        """Return the file of a row, redacted; None if it has none.

        The suffix of its name says what it is, else how it begins.

        Args:
            row: The row, redacted.
            content: Says whether it is as it was; a refused file is not tried again for six hours.
            where: The row, for messages.
            alive: Called now and then where it takes long.

        Raises:
            errors.KnowledgeError: If it cannot be used, whatever the reason.
            errors.InsightsError: If source or loader cannot be reached: not the file's fault.
        """
        name = self._name_of(row)
        where = f"{where}, attachment {name}" if name else f"{where}, attachment"
        with self._refusals.of(row.key, content, where):
            found = self.of(row, alive)
        for doubt in found.doubts if found else ():
            log.warning("document read with a doubt", document=where, doubt=doubt)
        return found and found.document

    def of(self, row: Row, alive: Callable[[], None] = lambda: None) -> File | None:
        """Return the file of a row, redacted; None if it has none. Nothing is remembered.

        Raises:
            errors.KnowledgeError: If it cannot be used, whatever the reason.
            errors.LoaderUnavailable: If what reads files cannot be started.
            errors.InsightsError: If the source cannot be reached.
        """
        found = self._fetched(row.key)
        if found.size is None:
            return None
        if found.data is None:
            raise errors.KnowledgeError(
                f"is larger than {self._max_bytes // _MIB} MiB",
                fix="raise attachment_mib, or leave it out",
            )
        request = LoadRequest(
            uri=self._name_of(row) or "attachment",
            data=found.data,
            private=found.private,
            taken=row.redactions,
        )
        loaded = self._loaded(request, alive)
        made = self._named(row, loaded)
        digest = hashlib.sha256(found.data).hexdigest()
        return File(made, digest, loaded.doubts, loaded.redactions)

    def _name_of(self, row: Row) -> str:
        return (row.values.get(self._name) if self._name else None) or ""

    def _loaded(self, request: LoadRequest, alive: Callable[[], None]) -> Loaded:
        try:
            return self._loader.load(request, alive)
        except errors.KnowledgeError:
            raise
        except errors.InsightsError as exc:
            raise errors.LoaderUnavailable(
                f"what reads files cannot be started: {exc.what}", where=exc.where, fix=exc.fix
            ) from exc

    def _fetched(self, key: str) -> Attachment:
        try:
            return self._fetch(key)
        except errors.RowError as exc:
            raise errors.KnowledgeError(exc.what, fix=exc.fix) from exc

    def _named(self, row: Row, loaded: Loaded) -> Document:
        made = Document(
            uri=row.key, title=loaded.title, text=loaded.text, is_markdown=loaded.is_markdown
        )
        if self._names is None:
            return made
        try:
            texts = [*filter(None, row.values.values()), *row.sealed]
            return redact.names_in_document(made, self._names, self._recognizer, texts)
        except errors.RecognizerDied as exc:
            raise errors.KnowledgeError(
                f"names could not be looked for in it: {exc.what}", fix="leave it out"
            ) from exc
