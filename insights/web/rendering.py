"""Pages as HTML: templates in which every value is text, and how numbers are shown."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import msgspec

from insights.store.board import CitationRow, InsightRow
from insights.web import plots
from insights.wiring.board import Numbers

_FOLDER = Path(__file__).parent / "templates"
_LONGEST = 20_000  # characters of a passage on the page


class Piece(msgspec.Struct, frozen=True):
    """A run of text; `marked`: it is quoted."""

    text: str
    marked: bool


class Source(msgspec.Struct, frozen=True):
    """A passage with all that is quoted of it, or of the row the quotes alone."""

    name: str
    title: str
    uri: str
    pieces: list[Piece]
    gone: list[str]
    """Quotes that its text does not have any more."""
    fields: list[str]


def page(template: str, **values: object) -> str:
    """Return a page."""
    return _environment().get_template(f"{template}.html.j2").render(values)


def style() -> str:
    """Return the style sheet."""
    return (_FOLDER / "page.css").read_text(encoding="utf-8")


def numbers_plots(numbers: Numbers) -> list[plots.Plot]:
    """Return the plots of the front page."""
    samples, minutes, now = numbers.samples, numbers.minutes, numbers.at
    began = samples[0].at if samples else now
    ok: list[plots.Point] = [(one.at, float(one.ok)) for one in minutes]
    others: list[plots.Point] = [(one.at, float(one.others)) for one in minutes]
    return [
        plots.plot(
            "Backlog",
            "rows",
            [("waiting", "a", [(one.at, float(one.waiting)) for one in samples])],
            now,
        ),
        plots.plot(
            "Throughput",
            "insights a minute",
            [
                ("ok", "a", plots.per_minute(ok, began, now)),
                ("withheld or abstained", "b", plots.per_minute(others, began, now)),
            ],
            now,
        ),
        plots.plot(
            "From change found to screen",
            "s",
            [
                ("p50", "a", [(one.at, one.p50_s) for one in samples]),
                ("p99", "b", [(one.at, one.p99_s) for one in samples]),
            ],
            now,
        ),
    ]


def fields(insight: InsightRow) -> Iterator[tuple[str, str]]:
    """Yield the fields of an output as texts."""
    output = insight.output if insight.output is not None else {}
    items = output.items() if isinstance(output, Mapping) else [("output", output)]
    for name, value in items:
        if value is not None:
            yield str(name), value if isinstance(value, str) else _json(value)


def sources(citations: Sequence[CitationRow]) -> list[Source]:
    """Return each source once, with its quotes marked where they stand in its text."""
    grouped: dict[tuple[str, str, str], list[CitationRow]] = {}
    for one in citations:
        grouped.setdefault((one.source, one.uri or "", one.content or ""), []).append(one)
    return [_source(*key, found) for key, found in grouped.items()]


def pieces(text: str, spans: Sequence[tuple[int, int]]) -> list[Piece]:
    """Cut a text at the ends of spans (characters, may overlap); what any covers is marked."""
    edges = sorted({0, len(text), *(at for span in spans for at in span)})
    found: list[Piece] = []
    for start, end in pairwise(edges):
        marked = any(first <= start and end <= last for first, last in spans)
        if found and found[-1].marked == marked:
            found[-1] = Piece(found[-1].text + text[start:end], marked)
        else:
            found.append(Piece(text[start:end], marked))
    return found


def _source(name: str, uri: str, content: str, cited: Sequence[CitationRow]) -> Source:
    spans, gone = [], []
    for one in cited:
        if one.quote:
            span = _span(content, one)
            if span is not None:
                spans.append(span)
            elif one.quote not in gone:
                gone.append(one.quote)
    titles = [one.title for one in cited if one.title]
    shown = content[:_LONGEST] + (" …" if len(content) > _LONGEST else "")
    spans = [span for span in spans if span[1] <= len(shown)]
    return Source(
        name,
        titles[0] if titles else "",
        uri,
        pieces(shown, spans),
        gone,
        sorted({one.field for one in cited}),
    )


def _span(content: str, cited: CitationRow) -> tuple[int, int] | None:
    """Return where a quote stands: where it was found, else where it is now."""
    quote = cited.quote or ""
    start = cited.quote_start
    if start is None or content[start : start + len(quote)] != quote:
        start = content.find(quote)
    return None if start < 0 else (start, start + len(quote))


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "seconds": _seconds,
        "count": _count,
        "moment": _moment,
        "fields": fields,
    }
    found.filters.update(filters)
    found.globals.update({"width": plots.WIDTH, "height": plots.HEIGHT, "clock": plots.clock})
    return found


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "\N{EN DASH}"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 or not seconds else f"{seconds:.1f} s"  # noqa: PLR2004


def _count(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:,.0f}"


def _moment(moment: dt.datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
