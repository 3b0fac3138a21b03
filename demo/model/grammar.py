"""Phrasings: text files of alternatives, and how one of them is drawn.

A file holds sections (`== name`), a section lines. `{a|b}` is a choice, `$name` a draw from a
section of `names.txt`. What lies in the folder `held_out`, under the same names, training never
sees: the demo and the evaluation use nothing else. Who writes lines for training does not read it.
"""

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_HERE = Path(__file__).parent
_HELD = _HERE / "held_out"
_CHOICE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"\$([a-z]+)")

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
        file = f"{category}.txt"
        held = dict(_sections(_HELD / file))
        for head, lines in _sections(_HERE / "issues" / file):
            name, priority = head.split()
            found.append(Issue(name, category, priority, _letters(lines), _letters(held[name])))
    return tuple(found)


def _letters(lines: list[str]) -> dict[str, tuple[str, ...]]:
    letters = dict.fromkeys(line[0] for line in lines)
    return {letter: tuple(line[2:] for line in lines if line[0] == letter) for letter in letters}


@lru_cache(maxsize=64)
def phrases(section: str, *, held: bool) -> tuple[str, ...]:
    """Return a pool of `phrases.txt`: for training, or held out."""
    pools = dict(_sections(_HERE / "phrases.txt"))
    lines = dict(_sections(_HELD / "phrases.txt")).get(section, []) if held else pools[section]
    if len(pools[section]) == 1:  # a pool of words, of which each serves both
        return tuple(word.strip() for word in pools[section][0].split("|"))
    return tuple(lines)


@lru_cache(maxsize=64)
def names(section: str, *, held: bool) -> tuple[str, ...]:
    """Return the people, programs, printers … of `names.txt`: for training, or held out."""
    line = dict(_sections((_HELD if held else _HERE) / "names.txt"))[section][0]
    return tuple(line.split("|"))


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


def _sections(path: Path) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            found.append((line[3:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found
