"""Titles that are some: file properties are filled by programs as often as by people."""

import re

from insights.documents.formats.cleaning import clean, one_line

_LONGEST = 300
# A producer's file name, with or without its program before it.
_FILE_NAME = re.compile(
    r"^\S(?:.*\S)?\.(?:docx?|dotx?|docm|rtf|odt|wpd|wps|pages|indd|indb|inx|qxd|qxp|pm[d56]|fm|book|"
    r"pptx?|ppsx?|odp|key|xlsx?|xlsm|ods|csv|pdf|ps|eps|ai|cdr|dvi|tex|ltx|html?|php|aspx?|txt|md|"
    r"dwg|dxf|vsdx?|pub|tiff?|jpe?g|png|bmp|tmp)$",
    re.IGNORECASE,
)
_PROGRAM = re.compile(
    r"^(?:microsoft (?:office )?(?:word|excel|powerpoint|publisher)|libreoffice|openoffice"
    r"|adobe \w+|framemaker|pagemaker|quarkxpress)\b(?:[^-–—]*$|\s*[-–—]\s.*)",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"^[\W_]*(?:untitled|unbenannt|ohne titel|sans titre|sin título|senza titolo|no ?title|titel"
    r"|title"
    r"|anonymous|unspecified|unknown|none|null|default|template|vorlage|temp|tmp|test|blank|print"
    r"|druck\w*|scan\w*|image|new (?:page|document)|neues dokument|document|dokument|doc|slide"
    r"|folie|presentation|präsentation|(?:power)?point[ -]pr[eäé]sentation|mappe|book|tabelle|sheet"
    r"|layout|drawing|zeichnung|home|index|about:blank|webpage|page|seite)(?:[\W_]*(?:document|page"
    r"|dokument|1?))?[\W_\d]*$",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"^(?:[a-z]:[\\/]|\\\\|file:|https?:|www\.|/\w+/|[{(]?[0-9a-f]{8}-)", re.IGNORECASE
)
_MARKUP = re.compile(r"</?[a-z][^<>]{0,80}>", re.IGNORECASE)


def usable(title: str | None) -> str:
    """Return a title as one line, or nothing where it names no content."""
    text = one_line(clean(_MARKUP.sub("", title or "")))[:_LONGEST]
    if sum(character.isalpha() for character in text) < 2:  # noqa: PLR2004 - "x" names nothing
        return ""
    junk = (_FILE_NAME, _PROGRAM, _PLACEHOLDER, _PLACE)
    return "" if any(pattern.match(text) for pattern in junk) else text
