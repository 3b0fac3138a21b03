"""Numbers that an OpenDocument text does not hold but shows: of its headings and of list items."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from insights.documents.formats.elements import attribute, child, name
from insights.documents.formats.numerals import written

_DEEPEST = 10  # levels of a list or outline (ISO/IEC 26300)


class Numbering:
    """What a text's styles number, and how far it has counted.

    Args:
        styles: The root of its styles.
        content: The root of its content, all of which is counted in its order.
    """

    def __init__(self, styles: Any, content: Any) -> None:  # noqa: ANN401 - lxml has no types
        self._levels: dict[str, dict[int, Any]] = {}
        self._styles: dict[str, Any] = {}
        self._counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (_DEEPEST + 1))
        for element in (*styles.iter(), *content.iter()):
            called = name(element)
            if called in ("outline-style", "list-style"):
                identity = "" if called == "outline-style" else attribute(element, "name")
                self._levels[identity] = {
                    _whole(attribute(level, "level"), 0): level for level in element
                }
            elif called == "style" and attribute(element, "family") == "paragraph":
                self._styles[attribute(element, "name")] = element

        self._numbers: dict[Any, str] = {}
        self._starts: dict[Any, int] = {}
        deleted = {
            one
            for part in content.iter("{*}tracked-changes")
            for one in part.iter("{*}h", "{*}list")
        }
        for element in content.iter("{*}h", "{*}list"):
            if element not in deleted:
                self._count(element)

    def heading(self, element: Any) -> str:  # noqa: ANN401
        """Return the number that is shown before a heading, with a blank; nothing without one."""
        return self._numbers.get(element, "")

    def start(self, element: Any, style: str, depth: int) -> int:  # noqa: ANN401
        """Return the number that the first item of a list has, of a style and at a depth."""
        return self._starts.get(element) or self._begin(style, depth)

    def form(self, style: str, depth: int) -> str:
        """Return how the lists of a style write numbers at a depth, from 1 on; nothing: bullets."""
        level = self._levels.get(style, {}).get(depth)
        numbered = level is not None and name(level) == "list-level-style-number"
        return attribute(level, "num-format") if numbered else ""

    def label(self, style: str, numbers: Sequence[int]) -> str:
        """Return what stands before an item whose style shows the numbers around it: `3.1.`.

        Nothing where it shows its own alone, which a list writes by itself.
        """
        levels, depth = self._levels.get(style, {}), len(numbers)
        level = levels.get(depth)
        shown = _whole(attribute(level, "display-levels"), 1) if level is not None else 1
        if shown < 2 or not self.form(style, depth):  # noqa: PLR2004
            return ""
        parts = [
            written(numbers[at - 1], self.form(style, at) or "1")
            for at in range(max(depth - shown + 1, 1), depth + 1)
        ]
        return f"{attribute(level, 'num-prefix')}{'.'.join(parts)}{attribute(level, 'num-suffix')}"

    def _begin(self, style: str, depth: int) -> int:
        level = self._levels.get(style, {}).get(depth)
        return _whole(attribute(level, "start-value"), 1) if level is not None else 1

    def _count(self, element: Any) -> None:  # noqa: ANN401
        if name(element) == "h":
            self._numbers[element] = self._number(element)
        elif name(element.getparent()) != "list-item":  # those within begin anew
            counts = self._counts[f"list {attribute(element, 'style-name')}"]
            goes_on = attribute(element, "continue-numbering") == "true"
            goes_on = goes_on or bool(attribute(element, "continue-list"))
            goes_on = goes_on and counts[0] > 0
            start = counts[0] + 1 if goes_on else self._begin(attribute(element, "style-name"), 1)
            counts[0] = start - 1 + sum(name(item) == "list-item" for item in element)
            self._starts[element] = start

    def _number(self, element: Any) -> str:  # noqa: ANN401
        level = min(_whole(attribute(element, "outline-level"), 1), _DEEPEST)
        scheme = self._scheme(attribute(element, "style-name"))
        levels = self._levels.get(scheme or "", {})
        form = levels.get(level)
        if scheme is None or attribute(element, "is-list-header") == "true" or form is None:
            return ""
        if child(element, "number") is not None or not attribute(form, "num-format"):
            return ""
        counts = self._counts[scheme]
        counts[level] = (counts[level] or _whole(attribute(form, "start-value"), 1) - 1) + 1
        counts[level + 1 :] = [0] * (_DEEPEST - level)
        shown = max(level - _whole(attribute(form, "display-levels"), 1) + 1, 1)
        numbers = [
            written(counts[at] or 1, attribute(levels.get(at), "num-format") or "1")
            for at in range(shown, level + 1)
        ]
        number = f"{attribute(form, 'num-prefix')}{'.'.join(numbers)}"
        return f"{number}{attribute(form, 'num-suffix')}".strip() + " "

    def _scheme(self, style: str) -> str | None:
        """Return the list style that numbers a heading; nothing is the outline, None is none."""
        seen: set[str] = set()
        while style in self._styles and style not in seen:
            seen.add(style)
            found = self._styles[style]
            for key, value in found.attrib.items():
                if key.endswith("}list-style-name"):
                    return None if not value else "" if value == "Outline" else str(value)
            style = attribute(found, "parent-style-name")
        return ""


def _whole(text: str, default: int) -> int:
    return int(text[:6]) if text.isdecimal() else default
