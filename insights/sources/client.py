"""The supervisor's side of a source: the port `Source`, answered by a reader process."""

from collections.abc import Sequence

from insights.governance import redact
from insights.model import (
    Attachment,
    Bookmark,
    Finding,
    Fingerprint,
    Gap,
    Lateness,
    Page,
    Row,
    StreamShape,
    StreamSpec,
    TableProfile,
    TableShape,
    Walk,
    Window,
)
from insights.ports import Recognizer
from insights.sources import messages
from insights.workers.process import Standing, Worker

_GRACE_S = 15.0  # past the driver's own timeout, before the reader is killed


class SourceClient:
    """Implements `ports.Source` over a child process.

    Args:
        name: The source's name in the settings.
        odbc: The connection string of a login that may only read, password included.
        hash_key: The credential `hash_key`.
        timeout_s: Seconds that one statement may take.
        hash_key_former: The key before it, while rows are still known by that one.
        credential: What holds the password, for messages.
        seal_key: Seals what a sink restores; None where none does.
        recognizer: Finds names for streams that have a model for it; None where none has.
    """

    def __init__(
        self,
        name: str,
        odbc: str,
        *,
        hash_key: bytes,
        timeout_s: float = 60.0,
        hash_key_former: bytes | None = None,
        credential: str = "",
        seal_key: bytes | None = None,
        recognizer: Recognizer | None = None,
    ) -> None:
        self.name = name
        self._recognizer = recognizer
        self._deadline_s = timeout_s + _GRACE_S
        self._worker = Worker(
            "insights.sources.reader",
            messages.ReaderInit(
                name=name,
                odbc=odbc,
                hash_key=hash_key,
                timeout_s=timeout_s,
                hash_key_former=hash_key_former,
                credential=credential,
                seal_key=seal_key,
            ),
            name=f"reader {name}",
            in_place=True,
        )

    @property
    def pid(self) -> int | None:
        """The living reader's process id."""
        return self._worker.pid

    @property
    def standing(self) -> Standing:
        """What the calls so far tell of the source; asks nothing."""
        return self._worker.standing

    def fingerprint(self) -> Fingerprint:
        """Return which replica answers; see `ports.Source`."""
        call = self._worker.call
        return call("fingerprint", None, Fingerprint, deadline_s=self._deadline_s)

    def is_behind(
        self, identity: str | None, position: str | None, now: Fingerprint | None = None
    ) -> bool:
        """Compare the replica with what was recorded; see `ports.Source`."""
        request = messages.BehindRequest(identity=identity, position=position, now=now)
        call = self._worker.call
        return call("is_behind", request, messages.BehindReply, deadline_s=self._deadline_s).behind

    def page(
        self,
        stream: StreamSpec,
        after: Bookmark | None,
        *,
        by: Walk,
        within: Sequence[Gap] = (),
    ) -> Page:
        """Return the next page; see `ports.Source`."""
        request = messages.PageRequest(stream=stream, after=after, by=by, within=tuple(within))
        return self._worker.call("page", request, Page, deadline_s=self._deadline_s)

    def fetch(self, stream: StreamSpec, keys: Sequence[str]) -> list[Row]:
        """Return rows by key, redacted; see `ports.Source`."""
        request = messages.FetchRequest(stream=stream, keys=tuple(keys))
        call = self._worker.call
        rows = call("fetch", request, messages.FetchReply, deadline_s=self._deadline_s).rows
        if stream.names is None:
            return list(rows)
        return redact.names_in_rows(rows, stream.names, self._recognizer)

    def attachment(self, stream: StreamSpec, key: str) -> Attachment:
        """Return the file in a row's attachment column, as it is; too large ones are not read.

        Raises:
            errors.RowError: If the row is gone, or its file does not come whole.
        """
        request = messages.AttachmentRequest(stream=stream, key=key)
        return self._worker.call("attachment", request, Attachment, deadline_s=self._deadline_s)

    def reread(self, stream: StreamSpec, keys: Sequence[str]) -> Page:
        """Return rows by key as a page; see `ports.Source`."""
        request = messages.FetchRequest(stream=stream, keys=tuple(keys))
        return self._worker.call("reread", request, Page, deadline_s=self._deadline_s)

    def window(self, stream: StreamSpec, low: str | None) -> Window:
        """Measure what lies at and above a cursor; see `ports.Source`."""
        request = messages.WindowRequest(stream=stream, low=low)
        return self._worker.call("window", request, Window, deadline_s=self._deadline_s)

    def gaps(
        self, stream: StreamSpec, low: str, high: str, *, at: float, most: int
    ) -> tuple[Gap, ...]:
        """Return identities that are missing; see `ports.Source`."""
        request = messages.GapsRequest(stream=stream, low=low, high=high, at=at, most=most)
        call = self._worker.call
        return call("gaps", request, messages.GapsReply, deadline_s=self._deadline_s).gaps

    def lateness(
        self, stream: StreamSpec, keys: Sequence[str], below: str | None
    ) -> tuple[Lateness, ...]:
        """Tell how late rows are; see `ports.Source`."""
        request = messages.LatenessRequest(stream=stream, keys=tuple(keys), below=below)
        call = self._worker.call
        return call("lateness", request, messages.LatenessReply, deadline_s=self._deadline_s).rows

    def inspect(self, stream: StreamSpec) -> StreamShape:
        """Look at the stream anew; see `ports.Source`."""
        request = messages.StreamRequest(stream=stream)
        return self._worker.call("inspect", request, StreamShape, deadline_s=self._deadline_s)

    def examine(self, stream: StreamSpec) -> list[Finding]:
        """Return what `insights doctor` says about a stream; changes nothing, raises little."""
        request = messages.StreamRequest(stream=stream)
        call = self._worker.call
        reply = call("examine", request, messages.Findings, deadline_s=self._deadline_s)
        return list(reply.findings)

    def script(self, stream: StreamSpec) -> str:
        """Return the SQL that a DBA may want to run for a stream; nothing runs it here."""
        request = messages.StreamRequest(stream=stream)
        call = self._worker.call
        return call("script", request, messages.ScriptReply, deadline_s=self._deadline_s).text

    def describe(self, table: str) -> TableShape:
        """Return the columns and the key of `table` or `schema.table`, for `insights init`."""
        request = messages.TableRequest(table=table)
        return self._worker.call("describe", request, TableShape, deadline_s=self._deadline_s)

    def profile(self, table: str) -> TableProfile:
        """Return what a table's catalogue and a sample of its rows tell, for `insights init`."""
        request = messages.TableRequest(table=table)
        return self._worker.call("profile", request, TableProfile, deadline_s=self._deadline_s)

    def close(self, drain_s: float = 5.0) -> None:
        """End the reader."""
        self._worker.close(drain_s)
