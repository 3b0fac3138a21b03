"""What a support bundle may say: nothing of a row, no secret, no person.

Three sieves, one behind the other: log lines keep the fields that are known to hold none of it, and
what is no line of ours is left out; texts go through the redaction that rows go through; at last
every secret that this process can read is looked for in what is about to be written.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from insights.governance import redact
from insights.model import Redaction
from insights.site.masking import HIDDEN

# Addresses of machines stay: they are the site's, and what support asks for first.
_POLICY = Redaction(kinds=tuple(set(Redaction().kinds) - {"ip", "mac"}))
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?|[0-9a-f]{32}|[0-9a-f]{64}")
_SHORTEST = 5  # a shorter secret would be found in any word; it is masked where it belongs
_FIELDS = re.compile(
    r"timestamp|level|event|repeated|stream|pipeline|sink|source|model|collection|job|jobs|part|child"
    r"|reason|exception|rows|written|to|at|name|tasks|state|restart_within_s|failures|halvings"
    r"|deaths|down_s|endpoint|trace|again|fitted|more|changed"
)


def text(value: str) -> str:
    """Return a text with placeholders where redaction finds something."""
    return value if _PLAIN.fullmatch(value) else redact.text(value, _POLICY)[0]


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON may hold
    """Return data with every text in it redacted; keys are names of ours, or of the settings."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def as_json(value: object) -> str:
    """Return any report as indented JSON, redacted."""
    built = msgspec.to_builtins(value, enc_hook=str, str_keys=True)
    return json.dumps(plain(built), indent=2, ensure_ascii=False) + "\n"


def log_lines(lines: Iterable[str]) -> tuple[list[str], int]:
    """Return the lines of our log, one JSON object each, with fewer fields; and how many are none.

    What libraries write beside them is nobody's promise, so it is left out.
    """
    kept: list[str] = []
    foreign = 0
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("event"), str):
            foreign += bool(line.strip())
            continue
        known = {name: plain(value) for name, value in found.items() if _FIELDS.fullmatch(name)}
        if left_out := len(found) - len(known):
            known["left_out"] = left_out
        kept.append(json.dumps(known, ensure_ascii=False))
    return kept, foreign


def without(secrets: Iterable[str], written: str) -> str:
    """Return a text in which none of these secrets stands, as it is or as JSON writes it."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) < _SHORTEST:
            continue
        for form in {
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
        }:
            written = written.replace(form, HIDDEN)
    return written
