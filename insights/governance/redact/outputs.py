"""Looks at what a model made before it is written: it must hold no personal data of its own.

Outputs are made from redacted texts, so what is found in one was either invented or put together
from pieces that nobody recognised. Values that stand in the model's input as they are were judged
there, with the words around them, and are not judged again.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from insights.governance.redact.entry import Finding, finds
from insights.governance.redact.folding import folded
from insights.governance.redact.spans import compact
from insights.model import Json, Redaction, Verdict

_SHORT = 40  # characters: values of enumerations, which come again in each output
_KEPT = 1_024


def judged(verdict: Verdict, shown: Iterable[str], redaction: Redaction) -> Verdict:
    """Return the verdict, or `withheld` where the output holds personal data that was not shown.

    Args:
        verdict: On an output that passed.
        shown: The texts that the prompt showed: the redacted row, passages, the template's words.
        redaction: The stream's policy.
    """
    if verdict.output is None:
        return verdict
    known: str | None = None
    shown = [*shown]
    for pointer, text in _texts(verdict.output, ""):
        if len(text) > _SHORT and any(text in part for part in shown):
            continue  # all that it holds was shown
        for find in _finds(text, redaction):
            if known is None:
                known = "\0".join(compact(folded(part)) for part in shown)
            if compact(folded(text[find.start : find.end])) not in known:
                return Verdict(
                    status="withheld",
                    output=None,
                    reason=f"{pointer} holds what looks like personal data ({find.kind})",
                )
    return verdict


def _finds(text: str, redaction: Redaction) -> Sequence[Finding]:
    return finds(text, redaction) if len(text) > _SHORT else _kept(text, redaction)


@lru_cache(maxsize=_KEPT)
def _kept(text: str, redaction: Redaction) -> Sequence[Finding]:
    return finds(text, redaction)


def _texts(value: Json | list[Json] | object, pointer: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(part, f"{pointer}/{name}")
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield from _texts(part, f"{pointer}/{at}")
    elif isinstance(value, str):
        yield pointer, value
