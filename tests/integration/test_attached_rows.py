"""A row's own file in its prompt, on every engine: read, redacted, followed; one row at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from insights import errors
from insights.documents import client
from insights.documents.attached import AttachedRows
from insights.documents.attachments import Attachments
from insights.model import Attachment, Redaction, Row, StreamSpec
from insights.ports import Source  # noqa: TC001 - named in a cast only
from insights.site import files as settings_files
from insights.sources.client import SourceClient
from tests.helpdesk import Helpdesk
from tests.legacy import ENGINES, Legacy, open_legacy, reading, stream, walk
from tests.papers import docx_of
from tests.site import Site

_MIB = 1024**2
_NOTE = b"Call Ms. Berg, ann@berg.example: the fuser of unit 7 is too hot.\n"
_WORD = docx_of("<w:p><w:r><w:t>The roller of unit 12 was worn.</w:t></w:r></w:p>")
_SLIP = b"Conveyor belts slipped."
_LONG = b"".join(b"Line %d of a long log.\n" % number for number in range(20_000))


@pytest.fixture(params=ENGINES)
def legacy(request: pytest.FixtureRequest, tmp_path: Path) -> Legacy:
    made = open_legacy(request.param, request, tmp_path)
    type_ = {"sqlite": "BLOB", "mariadb": "LONGBLOB", "postgres": "BYTEA"}[made.name]
    made.execute(
        "CREATE TABLE ticket (id INTEGER PRIMARY KEY, subject VARCHAR(200), customer VARCHAR(80),"
        f" file_name VARCHAR(80), content {type_})"
    )
    return made


def _put(legacy: Legacy, number: int, name: str | None, data: bytes | None) -> None:
    literal = "NULL"
    if data is not None:
        hexed = data.hex()
        literal = f"'\\x{hexed}'" if legacy.name == "postgres" else f"x'{hexed}'"
    legacy.execute(f"DELETE FROM ticket WHERE id = {number}")
    legacy.execute(
        "INSERT INTO ticket VALUES"
        f" ({number}, 'Printer of bob@berg.example', 'Ann Berg', ?, {literal})",
        name,
    )
    legacy.sync()


def _spec(**changes: Any) -> StreamSpec:  # noqa: ANN401
    settings: dict[str, Any] = {
        "inputs": ("content", "file_name", "subject"),
        "extra": ("customer",),
        "redaction": Redaction(columns=("customer",)),
        "attachment": "content",
        "attachment_bytes": _MIB,
        "page_rows": 2,
        **changes,
    }
    return stream(**settings)


@contextmanager
def _reading(legacy: Legacy, spec: StreamSpec) -> Iterator[tuple[SourceClient, AttachedRows]]:
    with (
        reading(legacy.odbc) as source,
        Attachments(
            lambda key: source.attachment(spec, key),
            name="file_name",
            redaction=spec.redaction,
            max_bytes=spec.attachment_bytes,
        ) as files,
    ):
        yield source, AttachedRows(source, files)


def test_a_prompt_reads_what_the_rows_file_says(legacy: Legacy) -> None:
    _put(legacy, 1, "note.txt", _NOTE)
    _put(legacy, 2, None, _WORD)
    _put(legacy, 3, None, None)
    _put(legacy, 4, "empty.txt", b"")
    with _reading(legacy, _spec()) as (source, rows):
        polled = walk(source, _spec())
        made = rows.fetch(_spec(), ["1", "2", "3", "4"])
    note, word, none, empty = sorted(made, key=lambda row: row.key)
    assert {row.key: row.input_hash.hex() for row in made} == {
        key: digest for key, (digest, _) in polled.items()
    }
    assert note.values["subject"] == "Printer of <EMAIL_1>"
    assert note.values["content"] == (
        "Call Ms. <CUSTOMER_2>, <EMAIL_2>: the fuser of unit 7 is too hot."
    )
    assert note.redactions == {"customer": 2, "email": 2}
    assert word.values["content"] == "The roller of unit 12 was worn."
    assert (none.values["content"], none.notes) == (None, ())
    assert empty.values["content"] is None
    assert empty.notes == ("content: the file cannot be used: it holds no text",)


def test_a_byte_changed_far_inside_a_file_is_another_row(legacy: Legacy) -> None:
    _put(legacy, 1, "log.txt", _LONG)
    with _reading(legacy, _spec(max_text_chars=100)) as (source, rows):
        before = walk(source, _spec())
        (row,) = rows.fetch(_spec(max_text_chars=100), ["1"])
    assert row.values["content"] == _LONG.decode()[:100]
    assert row.notes == ("content: cut",)
    _put(legacy, 1, "log.txt", _LONG[:-20] + b"X" + _LONG[-19:])
    with _reading(legacy, _spec()) as (source, _):
        after = walk(source, _spec())
        assert after != before
        assert source.reread(_spec(), ["1"]).block == source.page(_spec(), None, by="key").block


def test_a_file_that_cannot_be_used_leaves_its_row_a_note(legacy: Legacy) -> None:
    _put(legacy, 1, "large.txt", b"x" * (_MIB + 1))
    _put(legacy, 2, "broken.pdf", b"%PDF-1.7 and no more")
    _put(legacy, 3, "photo.xyz", b"\0\1\2\3" * 100)
    with _reading(legacy, _spec()) as (source, rows):
        made = {row.key: row for row in rows.fetch(_spec(), ["1", "2", "3"])}
        polled = walk(source, _spec())
    assert {key: row.input_hash.hex() for key, row in made.items()} == {
        key: digest for key, (digest, _) in polled.items()
    }
    assert all(row.values["content"] is None for row in made.values())
    assert made["1"].notes == ("content: the file cannot be used: it is larger than 1 MiB",)
    assert "photo" not in made["3"].notes[0]
    assert all(row.notes[0].startswith("content: the file cannot") for row in made.values())


class _Source:
    """Rows whose file is written anew at each reading of the row, for so many readings."""

    def __init__(self, restless: int) -> None:
        self._left = restless
        self.data = b"first"

    def fetch(self, _stream: StreamSpec, keys: Sequence[str]) -> list[Row]:
        told = sha256(self.data).hexdigest()
        row = Row(key="1", input_hash=self.data, cursor=None, values={"content": None})
        if self._left:
            self._left -= 1
            self.data += b" and more"
        return [msgspec.structs.replace(row, attached=told) for _ in keys]

    def attachment(self, _key: str) -> Attachment:
        return Attachment(data=self.data, size=len(self.data))


def _restless(readings: int) -> Row:
    source = _Source(readings)
    with Attachments(source.attachment, redaction=Redaction()) as files:
        (row,) = AttachedRows(cast("Source", source), files).fetch(_spec(extra=()), ["1"])
    return row


def test_a_row_and_its_file_are_of_one_state_or_not_given() -> None:
    row = _restless(2)
    assert (row.input_hash, row.values["content"]) == (
        b"first and more and more", "first and more and more"
    )  # fmt: skip
    with pytest.raises(errors.RowError, match="changes while it is read"):
        _restless(9)


def test_no_row_goes_on_without_its_file_where_no_child_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise errors.WorkerDied("ended with code 1", fix="look into the log")

    monkeypatch.setattr(client, "Worker", refused)
    with pytest.raises(errors.LoaderUnavailable, match="ended with code 1"):
        _restless(0)


_STREAM = """table = "ticket"
key = ["ticket_id"]
attachment = "content"
attachment_name = "file_name"
redact.columns = ["subject"]"""
_SCHEMA = {
    "type": "object",
    "properties": {"evidence": {"type": "string", "x-quote": "row.content"}},
    "required": ["evidence"],
}


def test_a_pipeline_quotes_from_a_file_and_makes_a_changed_one_anew(site: Site) -> None:
    legacy = Helpdesk.of(site.folder / "legacy.sqlite")
    legacy.execute("ALTER TABLE ticket ADD COLUMN file_name TEXT")
    legacy.execute("ALTER TABLE ticket ADD COLUMN content BLOB")
    legacy.execute("DELETE FROM ticket WHERE ticket_id > 2")
    legacy.execute("UPDATE ticket SET content = ?, file_name = 'report.docx'", _WORD)
    site.stream, site.schema, site.sink = _STREAM, dict(_SCHEMA), False
    site.prompt = "{{ row.body }}\n{{ row.content }}\n"
    site.pipeline = "abstain = []"
    site.write()
    site.insights("migrate")
    site.insights("doctor")
    site.run_once()
    shown = "SELECT row_key, output ->> 'evidence' FROM insights.current ORDER BY 1"
    quotes = dict(site.query(shown))
    assert quotes.keys() == {"1", "2"}
    assert all(quote in "The roller of unit 12 was worn." for quote in quotes.values())
    legacy.execute("UPDATE ticket SET content = ?, file_name = 'a.txt' WHERE ticket_id = 2", _SLIP)
    site.run_once()
    assert site.query("SELECT count(*) FROM store.insight") == [(3,)]
    assert dict(site.query(shown))["2"] in _SLIP.decode()
    site.stream = site.stream.replace("redact", "attachment_mib = 1\nredact")
    site.write()
    assert "attachment.bytes" in site.insights("pipeline", "diff", "triage").stdout


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ('attachment_name = "file_name"\n', "needs attachment"),
        ('attachment = "id"\n', "nothing else"),
        ('attachment = "content"\nredact.columns = ["content"]\n', "no personal value"),
    ],
)
def test_settings_of_a_file_that_make_no_sense_are_refused(
    tmp_path: Path, settings: str, why: str
) -> None:
    (tmp_path / "insights.toml").write_text(
        '[source.legacy]\nodbc = "Driver=SQLite3;Database=x"\n'
        f'[stream.letter]\nsource = "legacy"\ntable = "ticket"\nkey = ["id"]\n{settings}'
    )
    with pytest.raises(errors.SettingsError, match=why):
        settings_files.load(tmp_path / "insights.toml")
