"""Phrasings: text files of alternatives, and how one of them is drawn.

A file holds sections (`== name`), a section lines. `{a|b}` is a choice, `$name` a draw from a
section of `names.txt`. Of every group of lines some are **held out**: training never sees them, the
demo and the evaluation use nothing else.
"""

import random
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_HERE = Path(__file__).parent
_CHOICE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"\$([a-z]+)")
# Of the phrase pools about a third is held out; of an issue's few lines exactly one a letter.
_POOL_HELD = 3

CATEGORIES = (
    "account",
    "billing",
    "email",
    "files",
    "hardware",
    "network",
    "printing",
    "security",
    "software",
    "telephony",
)
PRIORITIES = ("low", "normal", "high", "urgent")
SENTIMENTS = ("calm", "neutral", "annoyed", "angry")


@dataclass(frozen=True)
class Issue:
    """One kind of problem: lines by letter, for training and held out.

    Letters: S subject, P the sentence that states the problem, D a detail; of an article T its
    title, A what it says first, N the step that answers, F what follows.
    """

    name: str
    category: str
    priority: str
    seen: dict[str, tuple[str, ...]]
    held: dict[str, tuple[str, ...]]

    def lines(self, letter: str, *, held: bool) -> tuple[str, ...]:
        """Return the lines of a letter in one of the two halves."""
        return (self.held if held else self.seen)[letter]


@lru_cache(maxsize=1)
def issues() -> tuple[Issue, ...]:
    """Return all issues, by category and then as the files have them."""
    found: list[Issue] = []
    for category in CATEGORIES:
        for head, lines in _sections((_HERE / "issues" / f"{category}.txt").read_text("utf-8")):
            name, priority = head.split()
            letters: dict[str, list[str]] = {}
            for line in lines:
                letters.setdefault(line[0], []).append(line[2:])
            seen: dict[str, tuple[str, ...]] = {}
            held: dict[str, tuple[str, ...]] = {}
            for letter, group in letters.items():
                out = zlib.crc32(f"{name} {letter}".encode()) % len(group)
                held[letter] = (group[out],)
                seen[letter] = tuple(line for at, line in enumerate(group) if at != out)
            found.append(Issue(name, category, priority, seen, held))
    return tuple(found)


@lru_cache(maxsize=64)
def phrases(section: str, *, held: bool) -> tuple[str, ...]:
    """Return one half of a pool of `phrases.txt`: for training, or held out."""
    for head, lines in _sections((_HERE / "phrases.txt").read_text("utf-8")):
        if head == section:
            if len(lines) == 1:  # a pool of words, of which each serves both
                return tuple(word.strip() for word in lines[0].split("|"))
            return tuple(
                line for at, line in enumerate(lines) if (at % _POOL_HELD == _POOL_HELD - 1) == held
            )
    raise KeyError(section)


@lru_cache(maxsize=64)
def names(section: str, *, held: bool) -> tuple[str, ...]:
    """Return the people, programs, printers … of one half of `names.txt`."""
    wanted = f"{section} held" if held else section
    for head, lines in _sections((_HERE / "names.txt").read_text("utf-8")):
        if head == wanted:
            return tuple(lines[0].split("|"))
    raise KeyError(wanted)


def expand(rng: random.Random, line: str, *, held: bool) -> str:
    """Return one of the texts that a line stands for."""
    text = line
    while True:
        drawn = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), text)
        if drawn == text:
            break
        text = drawn
    text = _NAME.sub(lambda match: _drawn(rng, match, held=held), text)
    return re.sub(r"  +", " ", text).replace(" .", ".").replace(" ,", ",").strip()


def alternatives(line: str) -> set[str]:
    """Return all texts that a line stands for, names left as they are."""
    choice = _CHOICE.search(line)
    if choice is None:
        return {re.sub(r"  +", " ", line).strip()}
    return {
        text
        for option in choice[1].split("|")
        for text in alternatives(line[: choice.start()] + option + line[choice.end() :])
    }


def _drawn(rng: random.Random, match: re.Match[str], *, held: bool) -> str:
    if match[1] == "num":
        return str(rng.randint(2, 9999) if rng.random() < 0.5 else rng.randint(2, 99))
    if match[1] in {"title", "problem"}:  # filled in by who asked
        return match[0]
    return rng.choice(names(match[1], held=held))


def _sections(text: str) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("== "):
            found.append((line[3:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found
