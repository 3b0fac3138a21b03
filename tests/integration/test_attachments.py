"""Files in a binary column as knowledge, on every engine: read, redacted, followed, or told."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from insights import errors
from insights.documents.attachments import Attachments
from insights.knowledge.stream import StreamDocuments
from insights.model import Redaction
from insights.site import files as settings_files
from insights.wiring import knowledge
from insights.wiring.app import App  # noqa: TC001 - named in a cast only
from tests.legacy import ENGINES, Legacy, open_legacy, reading, stream
from tests.papers import docx_of

_LONG = b"".join(b"Line %d of a long log.\n" % number for number in range(20_000))  # 490 kB
_NOTE = b"Call Ms. Berg, ann@berg.example: the fuser of the printer is too hot.\n"
_WORD = docx_of("<w:p><w:r><w:t>The roller was worn.</w:t></w:r></w:p>")
_MIB = 1024**2


@pytest.fixture(params=ENGINES)
def legacy(request: pytest.FixtureRequest, tmp_path: Path) -> Legacy:
    made = open_legacy(request.param, request, tmp_path)
    type_ = {"sqlite": "BLOB", "mariadb": "LONGBLOB", "postgres": "BYTEA"}[made.name]
    made.execute(
        "CREATE TABLE ticket (id INTEGER PRIMARY KEY, subject VARCHAR(200), customer VARCHAR(80),"
        f" file_name VARCHAR(80), content {type_})"
    )
    return made


def _literal(legacy: Legacy, data: bytes | None) -> str:
    if data is None:
        return "NULL"
    return f"'\\x{data.hex()}'" if legacy.name == "postgres" else f"x'{data.hex()}'"


def _ticket(
    legacy: Legacy, number: int, subject: str, name: str | None, data: bytes | None
) -> None:
    legacy.execute(
        f"INSERT INTO ticket VALUES ({number}, ?, 'Ann Berg', ?, {_literal(legacy, data)})",
        subject,
        name,
    )


@contextmanager
def _documents(legacy: Legacy, **changes: Any) -> Iterator[StreamDocuments]:  # noqa: ANN401
    settings: dict[str, Any] = {
        "inputs": ("content", "file_name", "subject"),
        "redaction": Redaction(columns=("customer",)),
        "attachment": "content",
        "attachment_bytes": _MIB,
        "page_rows": 2,
        **changes,
    }
    spec = stream(**settings)
    legacy.sync()
    with (
        reading(legacy.odbc) as source,
        Attachments(
            lambda key: source.attachment(spec, key),
            name="file_name",
            redaction=spec.redaction,
            max_bytes=spec.attachment_bytes,
        ) as files,
    ):
        yield StreamDocuments(
            source,
            spec,
            title="subject",
            text=[],
            attachments=files,
        )


def test_files_in_a_column_are_read_and_redacted_with_their_rows(legacy: Legacy) -> None:
    _ticket(legacy, 1, "Printer of bob@berg.example", "note.txt", _NOTE)
    _ticket(legacy, 2, "Roller", None, _WORD)
    _ticket(legacy, 3, "Log", "log.txt", _LONG)
    with _documents(legacy) as documents:
        assert [key for key, _ in documents.listing()] == ["1", "2", "3"]
        note, word, log = (documents.load(key) for key in "123")
    assert note.title == "Printer of <EMAIL_1>"
    assert "<EMAIL_2>: the fuser" in note.text  # another address, so another number
    assert "Berg" not in note.text
    assert word.text == "The roller was worn."
    assert log.text.splitlines()[-1] == "Line 19999 of a long log."


def test_a_byte_changed_far_inside_a_file_is_a_change(legacy: Legacy) -> None:
    _ticket(legacy, 1, "Log", "log.txt", _LONG)
    _ticket(legacy, 2, "Same", "log.txt", _LONG)
    _ticket(legacy, 3, "None", None, None)
    with _documents(legacy) as documents:
        before = dict(documents.listing())
    changed = _LONG[:-20] + b"X" + _LONG[-19:]
    legacy.execute(f"UPDATE ticket SET content = {_literal(legacy, changed)} WHERE id = 1")
    with _documents(legacy) as documents:
        after = dict(documents.listing())
    assert {key for key in before if before[key] != after[key]} == {"1"}
    assert len(set(after.values())) == 3


def test_a_file_that_cannot_be_used_is_told_by_row_and_name_and_the_next_is_read(
    legacy: Legacy,
) -> None:
    _ticket(legacy, 1, "Large", "large.txt", b"x" * (_MIB + 1))
    _ticket(legacy, 2, "Broken", "broken.pdf", b"%PDF-1.7 and no more")
    _ticket(legacy, 3, "Unknown", "photo.xyz", b"\0\1\2\3" * 100)
    _ticket(legacy, 4, "None", None, None)
    _ticket(legacy, 5, "Good", "note.txt", _NOTE)
    whys = {}
    with _documents(legacy) as documents:
        list(documents.listing())
        for key in "1234":
            with pytest.raises(errors.KnowledgeError) as raised:
                documents.load(key)
            whys[key] = str(raised.value)
        assert "fuser" in documents.load("5").text
    assert "large.txt is larger than 1 MiB" in whys["1"].replace(": ", " ")
    assert "tickets 2, attachment broken.pdf" in whys["2"]
    assert "tickets 3, attachment photo.xyz" in whys["3"]
    assert "no loader for .xyz" in whys["3"]
    assert "the row has no text" in whys["4"]


def test_a_row_that_went_is_told_and_a_file_of_its_own_size_is_read(legacy: Legacy) -> None:
    _ticket(legacy, 1, "Exact", "note.txt", _NOTE)
    _ticket(legacy, 2, "Going", "note.txt", _NOTE)
    with _documents(legacy, attachment_bytes=len(_NOTE)) as documents:
        list(documents.listing())
        documents.load("1")  # both rows were fetched ahead
        legacy.execute("DELETE FROM ticket WHERE id = 2")
        legacy.sync()
        with pytest.raises(errors.KnowledgeError, match="the row is gone"):
            documents.load("2")


_SETTINGS = """
[source.legacy]
odbc = "Driver=SQLite3;Database=x"
[stream.letter]
source = "legacy"
table = "ticket"
key = ["id"]
[stream.letter.redact]
columns = ["customer"]
[collection.letters]
stream = "letter"
"""


def _settings(folder: Path, collection: str) -> Any:  # noqa: ANN401
    (folder / "insights.toml").write_text(_SETTINGS + collection)
    return settings_files.load(folder / "insights.toml")


@pytest.mark.parametrize("legacy", ["sqlite"], indirect=True)
def test_a_collection_of_the_settings_reads_files_of_its_size(
    legacy: Legacy, tmp_path: Path
) -> None:
    _ticket(legacy, 1, "Printer", "note.txt", _NOTE)
    _ticket(legacy, 2, "Large", "large.txt", b"x" * (_MIB + 1))
    legacy.sync()
    settings = _settings(
        tmp_path, 'attachment = "content"\nattachment_name = "file_name"\nattachment_mib = 1\n'
    )
    with reading(legacy.odbc) as source, ExitStack() as stack:
        app = SimpleNamespace(
            settings=settings, source=lambda _: source, stack=stack, recognizer=None
        )
        documents = knowledge._documents(cast("App", app), "letters")
        assert len(list(documents.listing())) == 2
        loaded = documents.load("1")
        assert "Berg" not in loaded.text
        assert (loaded.title, "fuser" in loaded.text) == ("note", True)
        with pytest.raises(errors.KnowledgeError, match="larger than 1 MiB"):
            documents.load("2")


@pytest.mark.parametrize(
    ("collection", "why"),
    [
        ('text = ["subject"]\nattachment_name = "file_name"\n', "needs attachment"),
        ('text = ["subject"]\nlabels = ["kind"]\nattachment = "content"\n', "has no attachment"),
        ('text = ["content"]\nattachment = "content"\n', "nothing else"),
    ],
)
def test_settings_of_a_file_that_make_no_sense_are_refused(
    tmp_path: Path, collection: str, why: str
) -> None:
    with pytest.raises(errors.SettingsError, match=why):
        _settings(tmp_path, collection)
