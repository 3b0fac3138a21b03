"""Records of an XML file by element path: no document type, no entity, no depth without end.

Expat reads it, which tells every place; a DOCTYPE is refused where it begins, so that there is no
entity to expand and none to fetch (what defusedxml calls forbid_dtd). Names are local: prefixes and
namespaces are left out. After a record that is broken, reading goes on at the next start of one.
"""

import bisect
import re
from collections.abc import Generator, Iterator, Mapping
from xml.parsers import expat

from insights.doors.layouts import Layout, Record, Refused

MOST_DEPTH = 100
_CHUNK = 65_536
_READ_AGAIN = 8  # times the file: beyond, it is no file of a few broken records
_SPARE = 16 * 1024 * 1024
_DECLARED = re.compile(rb"""\A\s*<\?xml[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_FIX = "write XML as https://www.w3.org/TR/xml/ says: & as &amp;, < as &lt;, every element closed"
_NO_DOCTYPE = "a document type (DOCTYPE) is refused: no entity is expanded and none is fetched"


def declared(data: bytes) -> str | None:
    """Return the encoding that the XML declaration names, if there is one."""
    found = _DECLARED.match(data[:1_000])
    return found[1].decode("ascii") if found else None


def read(text: str, layout: Layout) -> Iterator[Record | Refused]:
    """Yield the records of a file, and what is wrong with others, in order.

    Args:
        text: All of it; a lone surrogate stands for a byte that is no text.
        layout: `record` is the path to records; `fields` where each field stands in one.
    """
    data = text.encode(errors="surrogatepass")
    name = layout.record.rpartition("/")[2]
    start = re.compile(rb"<(?:[^\s<>/:=\"']+:)?" + re.escape(name.encode()) + rb"(?=[\s/>])")
    places = _Places(data)
    at, spent, found = 0, 0, False
    names: tuple[str, ...] = ()
    while True:
        part = _Part(layout, places, at, names)
        broken = yield from part.records(data)
        found = found or part.found
        if broken is None:
            break
        found = True
        spent += part.read
        line, column = places.of(broken.at)
        yield Refused(broken.line or line, column, "", broken.what, broken.fix)
        again = start.search(data, broken.after)
        if again is None or not broken.goes_on:
            break
        if spent > _READ_AGAIN * len(data) + _SPARE:
            line, column = places.of(again.start())
            what = "too many records are broken: the rest of the file was not read"
            yield Refused(line, column, "", what, _FIX)
            break
        at, names = again.start(), broken.names
    if not found:
        what = f"there is no record {layout.record!r}"
        yield Refused(1, None, "", what, "name the path to records in `record`")


class _Places:
    """Line and column, in characters, of a byte of UTF-8."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._starts = [0, *(one.end() for one in re.finditer(rb"\n", data))]

    def of(self, at: int) -> tuple[int, int]:
        line = bisect.bisect_right(self._starts, at)
        before = self._data[self._starts[line - 1] : at]
        return line, len(before.decode(errors="replace")) + 1


class _Broken(Exception):
    """Why a record, or what stands between records, cannot be read.

    Attributes:
        at: Where, in bytes of the file.
        after: From where a next record is looked for.
        names: The elements around records there.
        goes_on: Whether others can be read.
        line: Of the record, if it is in one.
    """

    def __init__(self, at: int, what: str, fix: str = _FIX) -> None:
        super().__init__(what)
        self.at = at
        self.what = what
        self.fix = fix
        self.after = at
        self.names: tuple[str, ...] = ()
        self.goes_on = True
        self.line: int | None = None


class _Part:
    """A file from some place on, read until its end or until something is broken."""

    def __init__(self, layout: Layout, places: _Places, at: int, names: tuple[str, ...]) -> None:
        self._path = layout.record.strip("/").split("/")
        self._anchored = layout.record.startswith("/")
        self._fields = layout.fields
        self._places = places
        self._prefix = "".join(f"<{name}>" for name in names).encode()
        self._offset = at - len(self._prefix)
        self._from = at
        self._stack: list[str] = []
        self._ready: list[Record | Refused] = []
        self._parser = expat.ParserCreate(encoding="utf-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._within: int | None = None  # the depth of the record
        self._began = 0
        self._values: dict[str, str | None] = {}
        self._at: dict[str, int] = {}
        self._twice: tuple[str, int] | None = None
        self._texts: list[tuple[list[str], int, bool]] = []
        self.found = False
        self.read = 0

    def records(self, data: bytes) -> Generator[Record | Refused, None, _Broken | None]:
        """Yield records; return what is broken, None at the end of the file."""
        view = memoryview(data)
        broken: _Broken | None = None
        begins = self._from
        try:
            self._parser.Parse(self._prefix)
            for at in range(self._from, len(data) + 1, _CHUNK):
                begins = at
                self._parser.Parse(view[at : at + _CHUNK], at + _CHUNK > len(data))
                yield from self._ready
                self._ready.clear()
        except _Broken as exc:
            broken = exc
        except expat.ExpatError as exc:
            where = max(0, self._offset + self._parser.ErrorByteIndex)
            broken = _Broken(where, f"no XML: {expat.ErrorString(exc.code)}")
        yield from self._ready
        if broken is not None:
            self.read = max(begins, broken.at) - self._from
            self._placed(broken)
        return broken

    def _placed(self, broken: _Broken) -> None:
        """Say from where reading goes on: behind the start of the record that is broken."""
        depth = len(self._stack) if self._within is None else self._within
        broken.names = tuple(self._stack[:depth][-MOST_DEPTH:])
        broken.after = max(broken.at, self._from + 1)
        if self._within is not None:
            broken.line = self._places.of(self._began)[0]
            broken.after = self._began + 1
            at_line, _ = self._places.of(broken.at)
            if at_line != broken.line:
                broken.what = f"{broken.what} (line {at_line})"

    def _here(self) -> int:
        return self._offset + self._parser.CurrentByteIndex

    def _doctype(self, *_: object) -> None:
        broken = _Broken(self._here(), _NO_DOCTYPE, "send the file without one")
        broken.goes_on = False
        raise broken

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        local = name.rpartition(":")[2]
        if len(self._stack) >= MOST_DEPTH:
            raise _Broken(self._here(), f"nested deeper than {MOST_DEPTH} elements", "flatten it")
        begins = self._within is None and self._is_record([*self._stack, local])
        if begins:
            self._within, self._began = len(self._stack), self._here()
            self._values, self._at, self._twice, self._texts = {}, {}, None, []
            self.found = True
        self._stack.append(local)
        if self._within is None:
            return
        if self._texts:
            texts, at, _ = self._texts[-1]
            self._texts[-1] = (texts, at, True)
        nil = False
        for key, value in attributes.items():
            prefix, _, attribute = key.rpartition(":")
            if prefix in {"xsi", "xml", "xmlns"} or key == "xmlns":
                nil = nil or (key == "xsi:nil" and value in {"true", "1"})
            else:
                self._keep(f"@{attribute}", value)
        if nil:
            self._keep("", None)
        self._texts.append(([], self._here(), nil))

    def _is_record(self, path: list[str]) -> bool:
        if self._anchored:
            return path == self._path
        return path[-len(self._path) :] == self._path

    def _characters(self, data: str) -> None:
        if self._texts:
            self._texts[-1][0].append(data)

    def _end(self, _: str) -> None:
        if self._within is None:
            self._stack.pop()
            return
        texts, at, has_elements = self._texts.pop()
        text = "".join(texts).strip()
        is_record = len(self._stack) == self._within + 1
        if not has_elements and not (is_record and not text and self._values):
            self._keep("", text, at)
        self._stack.pop()
        if is_record:
            self._within = None
            self._finish()

    def _keep(self, attribute: str, value: str | None, at: int | None = None) -> None:
        path = "/".join([*self._stack[(self._within or 0) + 1 :], *([attribute] * bool(attribute))])
        path = path if self._fields else path.replace("@", "")
        at = self._here() if at is None else at
        if path in self._values and self._twice is None:
            self._twice = (path, at)
        self._values.setdefault(path, value)
        self._at.setdefault(path, at)

    def _finish(self) -> None:
        paths = self._fields or {path: path for path in self._values}
        line = self._places.of(self._began)[0]
        if self._twice is not None and self._twice[0] in paths.values():
            path, at = self._twice
            where, column = self._places.of(at)
            self._ready.append(Refused(where, column, path[:60], "the field is there twice"))
            return
        places = {
            field: self._places.of(self._at[path])
            for field, path in paths.items()
            if path in self._at
        }
        self._ready.append(
            Record(
                line,
                {field: self._values[paths[field]] for field in places},
                {field: column for field, (_, column) in places.items()},
                {field: one for field, (one, _) in places.items()},
            )
        )
