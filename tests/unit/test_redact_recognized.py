"""Names that a model finds: what becomes a placeholder, and that nothing goes on unread."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from insights import errors
from insights.documents.folder import Folder
from insights.governance import redact
from insights.knowledge.stream import StreamDocuments
from insights.model import Document, Named, NamesModel, Redaction, Row, StreamSpec
from insights.testing import MemorySource
from tests.desk import Desk, Model, Source

MODEL = NamesModel(
    path="/srv/models/names",
    sha256="0" * 64,
    labels=(("CITY", "place"), ("GIVEN_NAME", "person"), ("SURNAME", "person")),
)
_WORDS = {
    "GIVEN_NAME": ("Ann", "Jo"),
    "SURNAME": ("Berg", "Lind", "berg", "Müller"),
    "CITY": ("Bern",),
}


class Finder:
    """Finds a few words by themselves, and dies over some texts."""

    def __init__(self, *, deadly: str = "", broken: bool = False) -> None:
        self.deadly = deadly
        self.broken = broken
        self.read: list[str] = []

    def recognize(self, model: NamesModel, texts: Sequence[str]) -> list[list[Named]]:
        if self.broken:
            raise errors.ModelError("torch does not work on this machine", where=model.path)
        self.read += texts
        if self.deadly and any(self.deadly in text for text in texts):
            raise errors.RecognizerDied("the recognizer died of signal 9", where=model.path)
        return [
            [
                Named(*match.span(), label)
                for label, words in _WORDS.items()
                for match in re.finditer("|".join(words), text)
            ]
            for text in texts
        ]


def _read(text: str, model: NamesModel = MODEL, **values: str) -> str:
    row = Row("1", b"h", None, {"body": text, **values})
    (made,) = redact.names_in_rows([row], model, Finder())
    return made.values["body"] or ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ask Ann Berg in Bern.", "Ask <PERSON_1> in <PLACE_1>."),
        ("Ann wrote, then Berg, then Ann.", "<PERSON_1> wrote, then <PERSON_2>, then <PERSON_1>."),
        ("Ann-Lind", "<PERSON_1>"),
        ("Ann, Lind", "<PERSON_1>, <PERSON_2>"),
        ("the Bergs' iceberg", "the <PERSON_1>' <PERSON_2>"),  # whole words go, never a part
        ("Ann\nBerg", "<PERSON_1>\n<PERSON_2>"),
        ("", ""),
        ("nobody", "nobody"),
    ],
)
def test_what_is_found_becomes_placeholders_of_whole_words(text: str, shown: str) -> None:
    assert _read(text) == shown


@pytest.mark.parametrize(
    "written",
    [
        "\uff21\uff4e\uff4e \uff22\uff45\uff52\uff47",  # full width
        "A\u200bnn\u00a0B\u200der\u2060g",  # zero width, a blank that does not break
        "&#65;nn B&#101;rg",
        "<b>A</b>nn Be<i>rg</i>",
        "Ann%20Berg",
        "\\u0041nn Berg",
    ],
)
def test_the_model_reads_the_folded_text_and_the_original_is_replaced(written: str) -> None:
    finder = Finder()
    row = Row("1", b"h", None, {"body": f"Dear {written}!"})
    (made,) = redact.names_in_rows([row], MODEL, finder)
    assert finder.read == ["Dear Ann Berg!"]
    assert made.values["body"] in ("Dear <PERSON_1>!", "Dear <b><PERSON_1></i>!")


def test_numbers_go_on_from_the_placeholders_that_stand() -> None:
    row = Row(
        "1",
        b"h",
        None,
        {"body": "<PERSON_2> told Ann", "note": "Ann told Jo and <EMAIL_1>", "none": None},
        redactions={"person": 1, "email": 1},
        sealed={"<PERSON_4>": "sealed"},
    )
    (made,) = redact.names_in_rows([row], MODEL, Finder())
    assert made.values == {
        "body": "<PERSON_2> told <PERSON_5>",
        "note": "<PERSON_5> told <PERSON_6> and <EMAIL_1>",
        "none": None,
    }
    assert made.redactions == {"person": 4, "email": 1}


def test_placeholders_stay_and_nobody_hides_a_name_in_what_looks_like_one() -> None:
    model = NamesModel(path="", sha256="", labels=(("SURNAME", "person"),))

    class All:
        def recognize(self, _: NamesModel, texts: Sequence[str]) -> list[list[Named]]:
            return [[Named(0, len(text), "SURNAME")] for text in texts]

    def read(text: str, model: NamesModel) -> str | None:
        return redact.names_in_rows([Row("1", b"h", None, {"a": text})], model, All())[0].values[
            "a"
        ]

    assert read("Jo <CARD_1> Lind", model) == "<PERSON_1> <CARD_1> <PERSON_2>"
    assert read("<A_1: Jo Lind>", model) == "<<PERSON_1>>"


def test_what_is_allowed_stays_and_masks_show_no_value() -> None:
    allowed = NamesModel(path="", sha256="", labels=MODEL.labels, allow=("berg", "An*"))
    assert _read("Ann, Berg, Jo", allowed) == "Ann, Berg, <PERSON_1>"
    masked = NamesModel(path="", sha256="", labels=MODEL.labels, masked=True)
    assert _read("Jo Lind <EMAIL_1:a••@m•••>", masked) == "<PERSON_1:J• L•••> <EMAIL_1:a••@m•••>"


def test_nothing_is_let_through_where_nothing_reads_it() -> None:
    with pytest.raises(errors.SettingsError, match="nothing here that runs a model"):
        redact.names_in_rows([Row("1", b"h", None, {"body": "Ann"})], MODEL, None)
    source = MemorySource({"t": [{"id": 1, "body": "Ann"}]})
    with pytest.raises(errors.SettingsError, match="nothing here that runs a model"):
        source.fetch(_spec(), ["1"])


def test_a_document_is_read_title_and_text() -> None:
    made = redact.names_in_document(
        Document(uri="ann.md", title="For Ann", text="Ann and Jo"), MODEL, Finder()
    )
    assert (made.uri, made.title) == ("ann.md", "For <PERSON_1>")
    assert made.text == "<PERSON_1> and <PERSON_2>"


# --- outages ------------------------------------------------------------------------------------


def _spec(name: str = "ticket") -> StreamSpec:
    return StreamSpec(
        name=name, source="legacy", table="t", key=("id",), inputs=("body",), names=MODEL
    )


def test_a_document_over_which_it_dies_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Ask Ann\n")
    (tmp_path / "b.md").write_text("poison\n")
    with Folder(
        tmp_path, redaction=Redaction(), names=MODEL, recognizer=Finder(deadly="poison")
    ) as folder:
        assert len(list(folder.listing())) == 2
        assert folder.load("a.md").text.strip() == "Ask <PERSON_1>"
        for _ in range(2):
            with pytest.raises(errors.KnowledgeError, match="names could not be looked for"):
                folder.load("b.md")
    with (
        Folder(tmp_path, redaction=Redaction(), names=MODEL, recognizer=Finder(broken=True)) as one,
        pytest.raises(errors.ModelError),  # no document's fault: the collection is tried again
    ):
        one.load("a.md")


def test_another_model_makes_other_documents(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Text\n")
    moved = NamesModel(path="/elsewhere", sha256=MODEL.sha256, labels=MODEL.labels)
    other = NamesModel(path=MODEL.path, sha256="1" * 64, labels=MODEL.labels)
    listed = [
        dict(Folder(tmp_path, redaction=Redaction(), names=names).listing())["a.md"]
        for names in (None, MODEL, moved, other)
    ]
    assert listed[1] == listed[2]
    assert len(set(listed)) == 3


def test_a_row_of_knowledge_over_which_it_dies_takes_no_other_along() -> None:
    finder = Finder(deadly="poison")
    rows: list[dict[str, Any]] = [
        {"id": 1, "body": "Ask Ann"},
        {"id": 2, "body": "poison"},
        {"id": 3, "body": "Ask Jo"},
    ]
    source = MemorySource({"t": rows}, recognizer=finder)
    documents = StreamDocuments(source, _spec(), title=None, text=["body"])
    keys = [key for key, _ in documents.listing()]
    assert documents.load(keys[0]).text == "Ask <PERSON_1>"
    with pytest.raises(errors.KnowledgeError, match="names could not be looked for"):
        documents.load(keys[1])
    assert documents.load(keys[2]).text == "Ask <PERSON_1>"


@pytest.mark.parametrize(
    "exc", [errors.ModelError("torch does not work"), errors.RecognizerDied("died of signal 9")]
)
def test_an_outage_charges_nobody_and_stops_only_what_needs_it(exc: Exception) -> None:
    def breaks(_: list[str | None]) -> None:
        raise exc

    desk, models = Desk(), []
    source = Source(desk.queue, breaks)
    for version, rows in ((1, source), (2, Source(desk.queue))):
        models.append(_of_one_database(desk, version, rows))
        desk.queue.add(version, *(f"row {n}" for n in range(6)))
    for _ in range(12):
        desk.round(*models)
    assert desk.queue.states(1) == {"pending": 6}
    assert desk.queue.charged() == {}
    assert desk.queue.states(2) == {"done": 6}  # from the same source
    assert desk.pipeline.stopped == {"p1": f"names /srv/models/names: {exc}"}
    source.breaks = lambda _: None
    for _ in range(4):
        desk.round(*models)
    assert desk.queue.states(1) == {"done": 6}


def test_a_row_that_ends_it_every_time_is_a_dead_letter_and_the_others_go_on() -> None:
    def breaks(bodies: list[str | None]) -> None:
        if "poison" in bodies:
            raise errors.RecognizerDied("the recognizer died of signal 9")

    desk = Desk()
    model = _of_one_database(desk, 1, Source(desk.queue, breaks))
    desk.queue.add(1, "a", "poison", "b", "c")
    desk.round(model)
    assert desk.queue.states() == {"done": 3, "pending": 1}
    for more in "defg":
        desk.queue.add(1, more)
        desk.round(model)
    assert desk.queue.states() == {"done": 7, "dead": 1}
    assert "died of signal 9" in desk.queue.todo[2].reason


def _of_one_database(desk: Desk, version: int, source: Source) -> Model:
    """Add a recipe whose stream is of the database db; the first one's names a model finds."""
    model = desk.recipe(version, source=source)
    recipe = desk.recipes[version]
    names = MODEL if version == 1 else None
    stream = msgspec.structs.replace(recipe.stream, source="db", names=names)
    desk.recipes[version] = msgspec.structs.replace(recipe, stream=stream)
    return model
