"""Loaders: words kept against what other programs show of the same files, by kind of file.

    python -m benchmarks.documents FOLDER [--references FOLDER] [--files] [--json]

Asks `pdftotext` (poppler-utils), Chromium, LibreOffice and Python's `email` (`_reading`), and of
workbooks `openpyxl` and `xlrd` what is stored, where they are installed (they are no dependency):
LibreOffice calculates some formulas anew that it is told to leave. Words are counted as multisets
without case: `kept` is the share of the reference's words that were loaded, `given` that share of
loaded words which no program shows, and 1. A file is good with at least .98 kept and at most 1.02
given. A cell counts as it is stored or as it is shown (`0.125`, `12.5%`), whichever is nearer.
Page numbers, lists of contents, menus and every further time of a running header, which the loaders
leave out, need not be kept; `as shown` is the median kept if they had to be. Of workbooks and CSV,
where each record repeats the names of its columns and a section its first cell, `given` counts
words that the reference does not have at all.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks._reading import KINDS, Programs
from insights import errors
from insights.documents import registry
from insights.documents.formats.cleaning import clean
from tests.browser import browser

_WORD = re.compile(r"\w+")
# Names of what has none, and labels.
_OURS = re.compile(
    r"^## (?:Slide \d+|message\.eml|calendar\.ics)$|^column \d+: |^Without values: "
    r"|^(?:Date|When|Where|Status): ",
    re.MULTILINE,
)
_NUMBER = re.compile(r"-?\d+\.\d+(?:[eE][-+]?\d+)?|\b(?:true|false)\b", re.IGNORECASE)
_LEAST_KEPT, _MOST_GIVEN = 0.98, 1.02
_SIGNS = {ord("."): "", ord("-"): "n", ord("+"): "p"}
_REPEATING = ("workbooks", "CSV")
_FEWEST = 40  # words of a reference; in fewer one word is more than the bound


class Figures(NamedTuple):
    """One file's figures."""

    file: str
    kind: str
    problem: str = ""
    seconds: float = 0.0
    words: int = 0
    kept: float = 0.0
    given: float = 0.0
    shown: float = 0.0
    lost: tuple[str, ...] = ()
    more: tuple[str, ...] = ()

    def good(self) -> bool:
        """Tell whether the file is within both bounds."""
        return not self.problem and self.kept >= _LEAST_KEPT and self.given <= _MOST_GIVEN


def words(text: str) -> Counter[str]:
    """Count a text's words."""
    text = re.sub(r"(?<=\w)[-\u00ad\u2010]\n\s*(?=\w)", "", text.replace("\u00ad", ""))
    return Counter(_WORD.findall(clean(text).casefold().replace("_", " ")))


def _rounded(number: re.Match[str]) -> str:
    if number[0].isalpha():
        return str(int(number[0].lower() == "true"))
    value = float(number[0])
    return str(int(value)) if value.is_integer() else f"{value:.5e}".translate(_SIGNS)


def _nearest(cells: Sequence[Sequence[str]], left: Counter[str]) -> Counter[str]:
    """Return the words of the cells, each in that form of which the most words are left.

    Of two alike the rarer one: what says 0 in one form may be what others say in both.
    """
    found: Counter[str] = Counter()

    def near(count: Counter[str]) -> tuple[int, int]:
        hits = 2 * (count & left).total() - count.total()
        return hits, -sum(left[word] for word in count)

    for forms in cells:
        best = max((words(_NUMBER.sub(_rounded, form)) for form in forms), key=near)
        left.subtract(best)
        found += best
    return found


def measure(path: Path, programs: Programs) -> Figures | None:
    """Return one file's figures; None where its reference has too few words."""
    kind = KINDS[path.suffix.lower()]
    try:
        reference = programs.read(path)
    except Exception as exc:  # noqa: BLE001 - a program that cannot read a file is no reference
        print(f"no reference for {path.name}: {exc}", file=sys.stderr)
        return None
    wanted, shown = words(reference.meant), words(reference.whole)
    if wanted.total() + len(reference.cells) < _FEWEST:
        return None
    began = time.process_time()
    try:
        loaded = registry.load(path)
    except Exception as exc:  # noqa: BLE001 - as the loader's process takes them
        what = exc.what if isinstance(exc, errors.KnowledgeError) else repr(exc)
        return Figures(path.name, kind, problem=what)
    took = time.process_time() - began
    got = words(loaded.text)
    wanted -= words(reference.struck)
    if kind == "workbooks":  # programs differ in last digits and truth
        wanted, shown, got = (
            words(_NUMBER.sub(_rounded, text))
            for text in (reference.meant, reference.whole, loaded.text)
        )
        wanted += _nearest(reference.cells, got - wanted)
    more = got - (shown | words(reference.elsewhere)) - words(" ".join(_OURS.findall(loaded.text)))
    if kind in _REPEATING:
        more = Counter({word: count for word, count in more.items() if word not in shown})
    kept = (wanted & got).total()
    return Figures(
        path.name,
        kind,
        seconds=round(took, 2),
        words=wanted.total(),
        kept=round(kept / wanted.total(), 4),
        given=round(1 + more.total() / wanted.total(), 4),
        shown=round((shown & got).total() / shown.total(), 4),
        lost=tuple(word for word, _ in (wanted - got).most_common(12)),
        more=tuple(word for word, _ in more.most_common(12)),
    )


def table(figures: list[Figures]) -> list[dict[str, object]]:
    """Return a line for each kind of file, and one for all."""
    lines = []
    for kind in [*sorted({one.kind for one in figures}), "all"]:
        of_kind = [one for one in figures if kind in (one.kind, "all")]
        read = [one for one in of_kind if not one.problem]
        lines.append(
            {
                "kind": kind,
                "files": len(of_kind),
                "kept": round(statistics.median(one.kept for one in read), 3),
                "worst": min(one.kept for one in read),
                "given": round(statistics.median(one.given for one in read), 3),
                "most": max(one.given for one in read),
                "as shown": round(statistics.median(one.shown for one in read), 3),
                "good": round(sum(one.good() for one in of_kind) / len(of_kind), 3),
            }
        )
    return lines


def main() -> None:
    """Measure every file below a folder that a loader and a reference exist for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--references", type=Path, help="where references are kept for next time")
    parser.add_argument("--files", action="store_true", help="print every file that is not good")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    paths = [
        path
        for path in sorted(arguments.folder.rglob("*"))
        if path.suffix.lower() in KINDS and path.is_file()
    ]
    with tempfile.TemporaryDirectory() as scratch, browser(Path(scratch) / "profile") as page:
        kept = arguments.references or Path(scratch) / "references"
        programs = Programs(page, kept, Path(scratch))
        programs.prepare(paths)
        figures = [one for path in paths if (one := measure(path, programs)) is not None]
    if arguments.json:
        print(json.dumps([one._asdict() for one in figures]))
        return
    for one in figures:
        if arguments.files and not one.good():
            print(*(f"{name}={value}" for name, value in one._asdict().items() if value), sep="  ")
    for line in table(figures):
        print(*(f"{name} {value}" for name, value in line.items()), sep=" | ")


if __name__ == "__main__":
    main()
