"""Loaders: words kept against a reference text, and the time they take.

    python -m benchmarks.documents FOLDER [--json]

References come from programs that people read with, where they are installed: `pdftotext`
(poppler-utils) for PDF, `w3m` for HTML, LibreOffice (`soffice`) for office files. `kept` is the
share of the reference's words that were loaded, `all` the number of loaded words by the
reference's, counted as multisets of words without case. Page numbers and lists of contents, which
the loaders leave out, are left out of the reference too; running headers are not, so that a PDF
with many keeps less.
"""

import argparse
import json
import re
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from insights import errors
from insights.documents import registry
from insights.documents.formats.cleaning import clean

_WORD = re.compile(r"\w+")
# What the loader leaves out on purpose: page numbers, entries of lists of contents.
_LEFT_OUT = re.compile(r"^\W*(?:\d{1,4}|[ivxl]{1,5})\W*$|(?:\. ?){4,}\s*\w{1,4}$")
_OFFICE = frozenset({".docx", ".odt", ".rtf", ".pptx", ".html", ".htm"})


def reference(path: Path, folder: Path) -> str:
    """Return the text that a program for reading such files shows."""
    if path.suffix.lower() == ".pdf":
        command = ["pdftotext", "-enc", "UTF-8", str(path), "-"]
        text = subprocess.run(command, check=True, capture_output=True).stdout.decode()
        return "\n".join(line for line in text.splitlines() if not _LEFT_OUT.search(line))
    if path.suffix.lower() in (".html", ".htm"):
        command = ["w3m", "-dump", "-cols", "500", "-O", "UTF-8", str(path)]
        return subprocess.run(command, check=True, capture_output=True).stdout.decode()
    kind = "pdf" if path.suffix.lower() == ".pptx" else "txt:Text (encoded):UTF8"
    command = ["soffice", "--headless", "--convert-to", kind, "--outdir", str(folder), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    made = folder / f"{path.stem}.{kind[:3]}"
    return reference(made, folder) if kind == "pdf" else made.read_text(encoding="utf-8-sig")


def words(text: str) -> Counter[str]:
    """Count a text's words."""
    text = re.sub(r"(?<=\w)[-\u00ad\u2010]\n(?=\w)", "", text.replace("\u00ad", ""))
    return Counter(_WORD.findall(clean(text).casefold()))


def measure(path: Path, folder: Path) -> dict[str, object]:
    """Return one file's figures."""
    began = time.monotonic()
    try:
        loaded = registry.load(path)
    except errors.KnowledgeError as exc:
        return {"file": path.name, "problem": exc.what}
    took = time.monotonic() - began
    wanted, got = words(reference(path, folder)), words(loaded.text)
    total = max(wanted.total(), 1)
    return {
        "file": path.name,
        "seconds": round(took, 2),
        "words": wanted.total(),
        "kept": round((wanted & got).total() / total, 4),
        "all": round(got.total() / total, 4),
        "lost": [word for word, _ in (wanted - got).most_common(8)],
        "doubts": loaded.doubts,
    }


def main() -> None:
    """Measure every file below a folder that a loader and a reference exist for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = [
            measure(path, Path(scratch))
            for path in sorted(arguments.folder.rglob("*"))
            if path.suffix.lower() in _OFFICE | {".pdf"} and path.is_file()
        ]
    if arguments.json:
        print(json.dumps(figures))
        return
    for one in figures:
        print(*(f"{name}={value}" for name, value in one.items()), sep="  ")
    kept = [float(str(one["kept"])) for one in figures if "kept" in one]
    if kept:
        print(f"{len(figures)} files, kept: median {statistics.median(kept)}, least {min(kept)}")


if __name__ == "__main__":
    main()
