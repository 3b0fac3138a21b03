"""The exit codes of every command, and the page that explains them: both from `errors`."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from insights import errors

_PART = re.compile(r"\n\s*(Cause|Fix):\s*")
_HEAD = """# Errors

Every error that the program raises on purpose. This page is made of `insights/errors.py`: a test
compares them (`python -c "from insights.cli import exits; exits.write()"` writes it anew).

A command prints `error WHERE: WHAT`, below it the fix, and ends with the exit code. 0 is success, 1
an error that nobody foresaw, 2 an option or argument that does not exist, 130 an end by Ctrl-C, 143
an end by SIGTERM; in the daemon that is 0, for it drains.

**Transient** ones are tried again with growing pauses, and no row is charged. **Permanent** ones
change with what they name alone.

| code | error | what it means | cause | fix |
| --- | --- | --- | --- | --- |
"""


def kinds() -> Iterator[type[errors.InsightsError]]:
    """Yield every error class below the root, a parent before its children."""
    found: list[type[errors.InsightsError]] = [errors.InsightsError]
    for cls in found:
        yield from cls.__subclasses__()
        found.extend(cls.__subclasses__())


def codes() -> list[tuple[int, str]]:
    """Return each exit code with what it means, in a few words."""
    told = ((cls.exit_code, _words(cls)[0].rstrip(".")) for cls in kinds())
    return sorted((code, what[0].lower() + what[1:]) for code, what in told)


def page() -> str:
    """Return `docs/errors.md`."""
    rows = []
    for cls in sorted(kinds(), key=lambda cls: cls.exit_code):
        branch = "transient" if issubclass(cls, errors.Transient) else "permanent"
        what, cause, fix = _words(cls)
        rows.append(f"| {cls.exit_code} | `{cls.__name__}`, {branch} | {what} | {cause} | {fix} |")
    return _HEAD + "\n".join(rows) + "\n"


def write() -> None:
    """Write `docs/errors.md` of the checkout that we stand in."""
    Path("docs/errors.md").write_text(page(), encoding="utf-8")


def _words(cls: type[errors.InsightsError]) -> tuple[str, str, str]:
    """Return what a class's docstring says: what it means, its cause, its fix."""
    what, *parts = _PART.split(inspect.getdoc(cls) or "")
    told = dict(zip(parts[::2], parts[1::2], strict=True))
    return _line(what), _line(told.get("Cause", "")), _line(told.get("Fix", ""))


def _line(text: str) -> str:
    return " ".join(text.split())
