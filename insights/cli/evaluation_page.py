"""The report of `insights evaluate`: one HTML file without a script, a link or an outside font."""

import html
from collections.abc import Sequence
from typing import Any

from insights.cli.html_table import table
from insights.enriching.evaluation import Evaluation, FieldScore, Side
from insights.steps.scores import Share

_SIZE = 220  # of a plot, in pixels
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
table{border-collapse:collapse;margin:.5rem 0 1rem}
td,th{border:1px solid #8886;padding:.2rem .6rem;text-align:left;vertical-align:top}
figure{display:inline-block;margin:0 2rem 1rem 0}
svg{background:#8881;overflow:visible}
svg path{fill:none;stroke:currentColor}svg .even{stroke-dasharray:3 4;opacity:.5}
svg .first{stroke:#777;stroke-width:2}svg .last{stroke:#06c;stroke-width:2}
pre{white-space:pre-wrap;margin:0;max-height:12em;overflow:auto}
"""
_NOT_TOLD = (
    "What these figures cannot say: whether the labels are right, whether tomorrow's rows are like "
    "them, and whether a free text is true. Words shared with a label measure wording; support "
    "measures whether the words of a sentence stand in its sources."
)


def page(found: Evaluation) -> str:
    """Return the report."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>Evaluation of {html.escape(found.pipeline)}</title><style>{_STYLE}</style>",
        f"<h1>Evaluation of {html.escape(found.pipeline)}</h1>",
        f"<p>Labels: {html.escape(found.labels)}. {_left_out(found)}</p>",
    ]
    for side in found.sides:
        parts.append(f"<h2>Version {html.escape(side.version)}, {side.rows:,} rows</h2>")
        parts.append(f"<p>{html.escape(summary(side))}</p>")
        parts.append(table([cells(field) for field in side.fields]))
        if side.reasons:
            told = [{"reason": why, "rows": count} for why, count in side.reasons.items()]
            parts.append(table(told))
    if found.paired:
        parts.append("<h2>The second against the first, on the same rows</h2>")
        parts.append(table([
            {"field": name, "gain": f"{one.gain:+.1%}",
             "95 %": f"{one.low:+.1%} to {one.high:+.1%}", "only the first right": one.only_first,
             "only the second right": one.only_second, "p (McNemar)": f"{one.p:.2g}"}
            for name, one in found.paired.items()
        ]))  # fmt: skip
    parts.append("<h2>Fields</h2>")
    for name in dict.fromkeys(field.name for side in found.sides for field in side.fields):
        some = [field for side in found.sides for field in side.fields if field.name == name]
        parts.append(_field(name, some))
    parts.append("<h2>Rows worth a look</h2>")
    parts.append(table([
        {"key": one.key, "field": one.field, "label": one.label,
         **{f"answer {n}" if len(one.answers) > 1 else "answer": said
            for n, said in enumerate(one.answers, 1)},
         "confidence": None if one.confidence is None else f"{one.confidence:.3f}",
         "row": "\n".join(f"{name}: {text}" for name, text in one.shown.items())}
        for one in found.disagreements
    ]))  # fmt: skip
    parts.append(f"<p>{_NOT_TOLD}</p>")
    return "\n".join(parts) + "\n"


def cells(field: FieldScore) -> dict[str, Any]:
    """Return a field's figures as a table shows them."""
    return {
        "field": field.name,
        "right of answered": interval(field.accuracy),
        "right of all": interval(field.of_all),
        "commonest label": f"{field.commonest:.1%}",
        "macro F1": None if field.macro_f1 is None else f"{field.macro_f1:.3f}",
        "calibration error": None
        if field.calibration_error is None
        else f"{field.calibration_error:.3f}",
        "words shared": None if field.overlap is None else f"{field.overlap:.2f}",
    }


def interval(share: Share) -> str | None:
    """Return a share and its interval in words."""
    if share.share is None:
        return None
    return f"{share.share:.1%} ({share.low:.1%} to {share.high:.1%} of {share.rows:,})"


def summary(one: Side) -> str:
    """Say what became of the rows and what they cost."""
    statuses = ", ".join(f"{count:,} {status}" for status, count in one.statuses.items())
    support = "" if one.support is None else f"; support {one.support:.2f}"
    larger = f"; {one.escalated:,} went on to the larger model" if one.escalated else ""
    return (
        f"{statuses}{larger}{support}; {one.tokens:,.0f} tokens a row; "
        f"{one.seconds_half:.2f} s a row in half, {one.seconds_most:.2f} s in 95 of 100"
    )


def _left_out(found: Evaluation) -> str:
    told = [f"{count:,} labels left out: {why}" for why, count in found.left_out.items()]
    if found.absent:
        told.append(f"{found.absent:,} labelled rows are not on the replica")
    return html.escape(". ".join(told) + "." if told else "")


def _field(name: str, sides: Sequence[FieldScore]) -> str:
    parts = [f"<h3>{html.escape(name)}</h3>"]
    sure = [[(one.confidence, one.right) for one in field.calibration] for field in sides]
    if any(sure):
        parts.append(_plot("Right, by confidence", "confidence", "right", sure, even=True))
    risk = [[(one.coverage, one.error) for one in field.risk] for field in sides]
    if any(risk):
        parts.append(_plot("Wrong, by the share shown", "shown", "wrong", risk, even=False))
    if classes := sides[-1].classes:
        parts.append(table([
            {"value": one.value, "rows": one.rows,
             "precision": None if one.precision is None else f"{one.precision:.2f}",
             "recall": f"{one.recall:.2f}", "F1": f"{one.f1:.2f}"}
            for one in classes
        ]))  # fmt: skip
    return "".join(parts)


def _plot(
    title: str, across: str, up: str, lines: Sequence[Sequence[tuple[float, float]]], *, even: bool
) -> str:
    """Return a square plot from 0 to 1 both ways, with its values as text for whoever needs it."""
    paths = [f'<path class=even d="M0 {_SIZE}L{_SIZE} 0"/>'] if even else []
    for number, points in enumerate(lines):
        kind = "last" if number == len(lines) - 1 else "first"
        at = [f"{x * _SIZE:.1f} {(1 - y) * _SIZE:.1f}" for x, y in points]
        paths.append(f'<path class={kind} d="M{"L".join(at)}"/>' if at else "")
    told = "; ".join(f"{x:.2f}: {y:.2f}" for x, y in lines[-1][:: max(1, len(lines[-1]) // 10)])
    label = html.escape(f"{title}. {told}")
    return (
        f'<figure><svg width={_SIZE} height={_SIZE} role=img aria-label="{label}">'
        f"{''.join(paths)}</svg><figcaption>{html.escape(title)}: {across} 0 to 1 across, {up} 0 "
        f"to 1 up</figcaption></figure>"
    )
