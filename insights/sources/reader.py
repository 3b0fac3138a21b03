"""The reader: one child process a source, the only one that reads a legacy database."""

from typing import Any

from insights import errors
from insights.governance.seal import Seal
from insights.model import (
    Attachment,
    Fingerprint,
    Page,
    StreamShape,
    StreamSpec,
    TableProfile,
    TableShape,
    Window,
)
from insights.odbc import positions
from insights.sources import examine, messages, profile, script, shape
from insights.sources.canonical import Hasher
from insights.sources.session import Session
from insights.sources.stream import Stream
from insights.workers import serve


class Reader:
    """Answers the supervisor's calls for one source."""

    def __init__(self, init: messages.ReaderInit) -> None:
        self._session = Session(init.name, init.odbc, init.timeout_s, credential=init.credential)
        self._hasher = Hasher(init.hash_key)
        former = init.hash_key_former
        self._former = None if former is None else Hasher(former)
        self._seal = None if init.seal_key is None else Seal(init.seal_key)
        self._streams: dict[StreamSpec, Stream] = {}

    def handlers(self) -> dict[str, tuple[type[Any], serve.Handler]]:
        """Return what answers each call, with the type of its request."""
        return {
            "fingerprint": (type(None), self.fingerprint),
            "is_behind": (messages.BehindRequest, self.is_behind),
            "page": (messages.PageRequest, self.page),
            "fetch": (messages.FetchRequest, self.fetch),
            "attachment": (messages.AttachmentRequest, self.attachment),
            "reread": (messages.FetchRequest, self.reread),
            "window": (messages.WindowRequest, self.window),
            "gaps": (messages.GapsRequest, self.gaps),
            "lateness": (messages.LatenessRequest, self.lateness),
            "inspect": (messages.StreamRequest, self.inspect),
            "examine": (messages.StreamRequest, self.examine),
            "script": (messages.StreamRequest, self.script),
            "describe": (messages.TableRequest, self.describe),
            "profile": (messages.TableRequest, self.profile),
        }

    def fingerprint(self, _request: None) -> Fingerprint:
        """Tell which replica this is."""
        with self._session.reading() as link:
            return positions.fingerprint(self._session, link)

    def is_behind(self, request: messages.BehindRequest) -> messages.BehindReply:
        """Compare it with what was recorded."""
        now = request.now or self.fingerprint(None)
        behind = positions.is_behind(self._session.dialect, now, request.identity, request.position)
        return messages.BehindReply(behind=behind)

    def page(self, request: messages.PageRequest) -> Page:
        """Read a page."""
        return self._stream(request.stream).page(
            request.after, by=request.by, within=request.within
        )

    def fetch(self, request: messages.FetchRequest) -> messages.FetchReply:
        """Read rows by key."""
        return messages.FetchReply(rows=tuple(self._stream(request.stream).fetch(request.keys)))

    def attachment(self, request: messages.AttachmentRequest) -> Attachment:
        """Read the file of one row."""
        return self._stream(request.stream).attachment(request.key)

    def reread(self, request: messages.FetchRequest) -> Page:
        """Read rows by key as a page."""
        return self._stream(request.stream).reread(request.keys)

    def window(self, request: messages.WindowRequest) -> Window:
        """Measure what lies past a cursor."""
        return self._stream(request.stream).window(request.low)

    def gaps(self, request: messages.GapsRequest) -> messages.GapsReply:
        """Find missing identities."""
        stream = self._stream(request.stream)
        found = stream.gaps(request.low, request.high, at=request.at, most=request.most)
        return messages.GapsReply(gaps=found)

    def lateness(self, request: messages.LatenessRequest) -> messages.LatenessReply:
        """Tell how late rows are."""
        found = self._stream(request.stream).lateness(request.keys, request.below)
        return messages.LatenessReply(rows=found)

    def inspect(self, request: messages.StreamRequest) -> StreamShape:
        """Look at a stream anew."""
        found = self._stream(request.stream).inspect()
        examine.refuse_scans(self._session, request.stream)
        return found

    def examine(self, request: messages.StreamRequest) -> messages.Findings:
        """Look at a stream as `insights doctor` does."""
        return messages.Findings(
            findings=tuple(examine.findings(self._session, request.stream, self._hasher))
        )

    def script(self, request: messages.StreamRequest) -> messages.ScriptReply:
        """Write what a DBA may want to run for a stream."""
        return messages.ScriptReply(text=script.script(self._session, request.stream))

    def describe(self, request: messages.TableRequest) -> TableShape:
        """Look at a table as `insights init` does."""
        with self._session.reading() as link:
            return shape.table_shape(link, request.table)

    def profile(self, request: messages.TableRequest) -> TableProfile:
        """Look at a table and a sample of its rows."""
        return profile.profile(self._session, request.table)

    def _stream(self, spec: StreamSpec) -> Stream:
        if (spec.table is None) == (spec.query is None):
            raise errors.StreamError("give exactly one of table and query", where=spec.name)
        if spec not in self._streams:
            self._streams[spec] = Stream(
                self._session, spec, self._hasher, self._former, self._seal
            )
        return self._streams[spec]


def main() -> None:
    """Serve one source until the supervisor closes."""
    with serve.connect() as server:
        server.run(Reader(server.init(messages.ReaderInit)).handlers())


if __name__ == "__main__":
    main()
