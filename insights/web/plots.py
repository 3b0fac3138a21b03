"""Lines for inline SVG: numbers to paths, and to a sentence for whoever cannot see them."""

import math
import time
from collections.abc import Sequence

import msgspec

WIDTH, HEIGHT = 600, 120
_POINTS = 200  # of a line; more are not seen
_LEAST_S = 600.0  # a plot's width in time

Point = tuple[float, float | None]


class Line(msgspec.Struct, frozen=True):
    """A line and its last value; `kind` is its class in the style sheet."""

    name: str
    kind: str
    path: str
    last: float | None


class Plot(msgspec.Struct, frozen=True):
    """A plot from `since` (seconds ago) until now, from 0 to `top` in `unit`."""

    title: str
    unit: str
    top: float
    since_s: float
    lines: list[Line]
    says: str


def plot(
    title: str, unit: str, series: Sequence[tuple[str, str, Sequence[Point]]], now: float
) -> Plot:
    """Return a plot.

    Args:
        title: What it shows.
        unit: Of its values.
        series: Name, class and points (seconds since 1970, value; None: a gap) of each line.
        now: Its right end.
    """
    times = [at for _, _, points in series for at, _ in points]
    began = min([*times, now - _LEAST_S])
    wide = max(now - began, _LEAST_S)
    thinned = [(name, kind, _thinned(points, began, wide)) for name, kind, points in series]
    values = [value for _, _, points in thinned for _, value in points if value is not None]
    top = _round_up(max(values, default=0.0))
    lines = [
        Line(name, kind, _path(points, began, wide, top), _last(points))
        for name, kind, points in thinned
    ]
    told = ", ".join(
        f"{line.name} {'unknown' if line.last is None else f'{line.last:,.4g}'}" for line in lines
    )
    says = f"{title}: now {told}; at most {max(values, default=0.0):,.4g} {unit}"
    return Plot(title, unit, top, wide, lines, says)


def per_minute(made: Sequence[Point], began: float, now: float) -> list[Point]:
    """Return a value for each minute: 0 where none is known, from `began`; the last is not over."""
    known = dict(made)
    first = min([*known, began]) // 60 * 60
    this = now // 60 * 60
    return [(at, known.get(at, 0.0)) for at in _minutes(first, this)]


def clock(seconds: float) -> str:
    """Return a moment (since 1970) as this host's clock shows it."""
    return time.strftime("%H:%M", time.localtime(seconds))


def _minutes(first: float, end: float) -> list[float]:
    return [first + 60.0 * at for at in range(int((end - first) // 60))]


def _thinned(points: Sequence[Point], began: float, wide: float) -> list[Point]:
    """Return at most `_POINTS` points: of neighbours the greatest, so that no peak is hidden."""
    if len(points) <= _POINTS:
        return list(points)
    kept: dict[int, Point] = {}
    for at, value in points:
        place = int((at - began) / wide * _POINTS)
        had = kept.get(place)
        if had is None or (value or 0.0) >= (had[1] or 0.0):
            kept[place] = (at, value)
    return [kept[place] for place in sorted(kept)]


def _path(points: Sequence[Point], began: float, wide: float, top: float) -> str:
    parts: list[str] = []
    pen = "M"
    for at, value in points:
        if value is None:
            pen = "M"
            continue
        x = (at - began) / wide * WIDTH
        parts.append(f"{pen}{x:.1f} {HEIGHT - value / top * HEIGHT:.1f}")
        pen = "L"
    return "".join([*parts, "h0.1"]) if parts else ""  # one point alone is seen too


def _last(points: Sequence[Point]) -> float | None:
    return next((value for _, value in reversed(points) if value is not None), None)


def _round_up(value: float) -> float:
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 5, 10) if step * unit >= value * 0.999)
