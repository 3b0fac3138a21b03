"""What differs between two versions of a pipeline, in the words of its settings."""

import difflib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

_NAMES = {"template": "prompt", "generator": "model"}
_ABSENT = object()


class Version(msgspec.Struct, frozen=True):
    """A version of a pipeline: its stage, since when, and what its SHA-256 was taken over."""

    sha256: str
    stage: str
    since: datetime
    definition: dict[str, Any]


class Change(msgspec.Struct, frozen=True):
    """One thing that is another: `lines` are those of a text, as a unified diff has them."""

    what: str
    before: str | None = None
    after: str | None = None
    lines: tuple[str, ...] = ()


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Return what became of one version's definition in another: see `definitions.version`."""
    found = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if old == new:
            continue
        shown = _NAMES.get(name, name)
        if name == "template":
            found.append(Change(shown, lines=_lines(old, new)))
        elif name == "schema" and _ABSENT not in (old, new):
            found += _schema(shown, str(old), str(new))
        else:
            found += _differing(shown, old, new)
    return found


def _lines(old: object, new: object) -> tuple[str, ...]:
    before, after = ([] if text is _ABSENT else str(text).splitlines() for text in (old, new))
    return tuple(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]


def _schema(what: str, old: str, new: str) -> Iterator[Change]:
    texts = [msgspec.json.decode(text) for text in (old, new)]
    if texts[0] == texts[1]:
        yield Change(
            what, "the same properties", "in another order: it decides what is written first"
        )
    else:
        yield from _differing(what, *texts)


def _differing(what: str, old: object, new: object) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*old, *new]):
            pair = old.get(name, _ABSENT), new.get(name, _ABSENT)
            if pair[0] != pair[1]:
                yield from _differing(f"{what}.{name}", *pair)
    else:
        yield Change(what, _said(old), _said(new))


def _said(value: object) -> str | None:
    if value is _ABSENT or value is None:
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
