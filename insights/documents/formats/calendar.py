"""Invitations and calendars (ICS, RFC 5545): what, when and where of each event."""

import re
from collections.abc import Iterator

from insights import errors
from insights.documents.formats.cleaning import one_line, squeeze
from insights.documents.formats.encoding import decode
from insights.documents.messages import Limits, Loaded

_SHOWN = frozenset({"VEVENT", "VTODO", "VJOURNAL"})
_FOLDED = re.compile(r"\n[ \t]")
_LINE = re.compile(r'(?P<name>[A-Za-z-]+)(?P<more>(?:;(?:"[^"]*"|[^":;])*)*):(?P<value>.*)')
_ESCAPED = re.compile(r"\\([\\;,nN])")
_TIME = re.compile(
    r"(?P<date>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?:T(?P<hour>\d\d)(?P<minute>\d\d)\d\d(?P<utc>Z)?)?"
)
_ZONE = re.compile(r'TZID="?(?P<zone>[^;:"]+)')


def load(data: bytes, _: Limits) -> Loaded:
    """Return a section an event: its summary, times, place and description.

    Organizers and attendees are left out: they are persons.

    Raises:
        errors.KnowledgeError: If it is no calendar.
    """
    text, doubts = decode(data)
    if "BEGIN:VCALENDAR" not in text.upper():
        raise errors.KnowledgeError("is no calendar", fix="export it again as .ics")
    return Loaded(text="\n\n".join(map(_written, _events(text))), doubts=doubts)


def _events(text: str) -> Iterator[dict[str, str]]:
    """Yield what is known of each event, the first time that it is said."""
    inside: list[str] = []
    event: dict[str, str] = {}
    for line in _FOLDED.sub("", text).split("\n"):
        found = _LINE.fullmatch(line.strip())
        if found is None:
            continue
        name, value = found["name"].upper(), found["value"]
        if name == "BEGIN":
            inside.append(value.upper())
            if value.upper() in _SHOWN:
                event = {}
        elif name == "END":
            if inside and inside.pop() in _SHOWN and event:
                yield event
        elif inside and inside[-1] in _SHOWN:  # not in an alarm or a time zone of it
            event.setdefault(name, _time(value, found["more"]) or _plain(value))


def _written(event: dict[str, str]) -> str:
    when = " to ".join(filter(None, (event.get("DTSTART"), event.get("DTEND", event.get("DUE")))))
    lines = (
        f"When: {when}" if when else "",
        f"Where: {one_line(event['LOCATION'])}" if event.get("LOCATION") else "",
        "Status: cancelled" if event.get("STATUS", "").upper() == "CANCELLED" else "",
    )
    head = one_line(event.get("SUMMARY", ""))
    parts = (
        f"## {head}" if head else "", "\n".join(filter(None, lines)), event.get("DESCRIPTION", "")
    )  # fmt: skip
    return squeeze("\n\n".join(filter(None, parts)))


def _plain(value: str) -> str:
    return _ESCAPED.sub(lambda sign: "\n" if sign[1] in "nN" else sign[1], value)


def _time(value: str, more: str) -> str:
    """Return a date or time as ISO 8601 has it, with its zone; nothing if it is none."""
    found = _TIME.fullmatch(value)
    if not found:
        return ""
    zone = _ZONE.search(more)
    day = f"{found['date']}-{found['month']}-{found['day']}"
    clock = f"{found['hour']}:{found['minute']}" if found["hour"] else ""
    where = "UTC" if found["utc"] else zone["zone"] if zone and clock else ""
    return " ".join(filter(None, (day, clock, where)))
