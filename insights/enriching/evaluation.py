"""What labelled rows say of a version, or of two side by side: figures, and the rows to look at."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from insights.enriching.labelled import Outcome
from insights.model import Json
from insights.site.calibrations import closed
from insights.steps import cascading, scores
from insights.steps.cascading import PairCounts, Said
from insights.steps.certifying import THRESHOLDS, Counts, counted

_SHOWN = 20  # disagreements
_ALIKE = 3  # of them with the same label and the same answer


class FieldScore(msgspec.Struct, frozen=True):
    """A field's figures; those after `accuracy` are of closed ones.

    `accuracy` is of the rows that were answered, `commonest` that of always saying the commonest
    label. `overlap` is of texts: the words shared with the label (F1), which says nothing of what
    they mean.
    """

    name: str
    accuracy: scores.Share
    of_all: scores.Share
    commonest: float
    macro_f1: float | None
    classes: list[scores.Class]
    calibration: list[scores.Bin]
    calibration_error: float | None
    risk: list[scores.Point]
    overlap: float | None


class Side(msgspec.Struct, frozen=True):
    """One version's figures. `support` is the mean of each output's least supported sentence.

    `escalated` rows went on to the larger model.
    """

    version: str
    rows: int
    statuses: dict[str, int]
    reasons: dict[str, int]
    tokens: float
    seconds_half: float
    seconds_most: float
    support: float | None
    fields: list[FieldScore]
    escalated: int = 0


class Disagreement(msgspec.Struct, frozen=True):
    """A row worth a look: a field whose answer is not the label, as each version gave it."""

    key: str
    field: str
    label: str
    answers: list[str | None]
    confidence: float | None
    shown: dict[str, str]


class Evaluation(msgspec.Struct, frozen=True):
    """A whole evaluation: `absent` labelled rows were not on the replica."""

    pipeline: str
    labels: str
    left_out: dict[str, int]
    absent: int
    sides: list[Side]
    paired: dict[str, scores.Paired]
    disagreements: list[Disagreement]


def side(version: str, outcomes: Sequence[Outcome], schema: Json) -> Side:
    """Return one version's figures."""
    names = list(dict.fromkeys(name for one in outcomes for name in one.truth))
    seconds = sorted(one.seconds for one in outcomes if one.tokens) or [0.0]
    supports = [one.support for one in outcomes if one.support is not None]
    return Side(
        version=version,
        rows=len(outcomes),
        statuses=dict(Counter(one.status for one in outcomes).most_common()),
        reasons=dict(Counter(one.reason for one in outcomes if one.reason).most_common(5)),
        tokens=sum(one.tokens for one in outcomes) / max(1, len(outcomes)),
        seconds_half=statistics.median(seconds),
        seconds_most=seconds[int(0.95 * (len(seconds) - 1))],
        support=statistics.fmean(supports) if supports else None,
        escalated=sum(one.escalated for one in outcomes),
        fields=[_field(name, outcomes, closed_=name in closed(schema)) for name in names],
    )


def judged(name: str, outcomes: Sequence[Outcome]) -> list[tuple[float, bool]]:
    """Return (confidence, right) of a field, of the rows that would be shown."""
    return [
        (one.confidence[name], _right(one, name))
        for one in outcomes
        if name in one.truth and one.output is not None and name in one.confidence
    ]


def counts(name: str, outcomes: Sequence[Outcome]) -> Counts:
    """Return a field's counts for its certificate."""
    return counted(judged(name, outcomes))


def pair_counts(name: str, first: Sequence[Outcome], larger: Sequence[Outcome]) -> PairCounts:
    """Return a field's counts for the certificate of two models.

    Args:
        name: The field.
        first: What the pipeline's own model made.
        larger: What the larger one made of those rows that may go on to it.
    """
    after = {one.key: _said(one, name) for one in larger}
    judged = ((_said(one, name), after.get(one.key)) for one in first)
    return cascading.counted((one, other) for one, other in judged if one is not None)


def goes_on(name: str, one: Outcome) -> bool:
    """Tell whether there is a threshold at which a row goes on to a larger model."""
    sure = one.confidence.get(name)
    return _said(one, name) is not None and (sure is None or sure < max(THRESHOLDS))


def _said(one: Outcome, name: str) -> Said | None:
    """Return a model's answer to a labelled row; None where it gave none."""
    if name not in one.truth or one.proposed is None or one.proposed.get(name) is None:
        return None
    shown = one.output is not None and one.output.get(name) is not None
    return Said(one.confidence.get(name), shown, _right(one, name))


def paired(first: Sequence[Outcome], second: Sequence[Outcome]) -> dict[str, scores.Paired]:
    """Return each field's comparison on the rows that both have; no answer is a wrong one."""
    pairs = _pairs(first, second)
    names = dict.fromkeys(name for one, _ in pairs for name in one.truth)
    made = {}
    for name in names:
        some = [pair for pair in pairs if name in pair[0].truth]
        made[name] = scores.paired(
            [_right(one, name) for one, _ in some], [_right(other, name) for _, other in some]
        )
    return made


def disagreements(
    first: Sequence[Outcome], second: Sequence[Outcome] | None = None
) -> list[Disagreement]:
    """Return the rows to look at: where versions differ, else where a sure answer is no label.

    Of one label and one answer there are few, so that what goes wrong in one way hides no other.
    """
    pairs = _pairs(first, second) if second is not None else [(one, one) for one in first]
    found = []
    for one, other in pairs:
        for name in one.truth:
            said = [_value(each, name) for each in ((one, other) if second is not None else (one,))]
            wrong = not (_right(one, name) and _right(other, name))
            if wrong and any(answer is not None for answer in said):
                sure = other.confidence.get(name)
                rank = (len(set(said)) == 1 and second is not None, -(sure or 0.0))
                label = _text(one.truth[name])
                found.append((rank, Disagreement(one.key, name, label, said, sure, one.shown)))
    found.sort(key=lambda pair: pair[0])
    alike: Counter[tuple[str, str, tuple[str | None, ...]]] = Counter()
    kept = []
    for _, each in found:
        kind = (each.field, each.label, tuple(each.answers))
        alike[kind] += 1
        if alike[kind] <= _ALIKE:
            kept.append(each)
    return kept[:_SHOWN]


def _pairs(first: Sequence[Outcome], second: Sequence[Outcome]) -> list[tuple[Outcome, Outcome]]:
    others = {one.key: one for one in second}
    return [(one, others[one.key]) for one in first if one.key in others]


def _field(name: str, outcomes: Sequence[Outcome], *, closed_: bool) -> FieldScore:
    some = [one for one in outcomes if name in one.truth]
    pairs = [(_text(one.truth[name]), _value(one, name)) for one in some]
    answered = [pair for pair in pairs if pair[1] is not None]
    right = sum(_right(one, name) for one in some)
    sure = judged(name, outcomes)
    bins = scores.calibration(sure)
    of = scores.classes(pairs) if closed_ else []
    commonest = Counter(true for true, _ in pairs).most_common(1)
    texts = [scores.overlap(said, true) for true, said in pairs if said is not None]
    return FieldScore(
        name=name,
        accuracy=scores.share(right, len(answered)),
        of_all=scores.share(right, len(pairs)),
        commonest=commonest[0][1] / len(pairs) if commonest else 0.0,
        macro_f1=sum(one.f1 for one in of) / len(of) if of else None,
        classes=of,
        calibration=bins,
        calibration_error=scores.calibration_error(bins),
        risk=scores.risk_coverage(sure, len(pairs)) if sure else [],
        overlap=sum(texts) / len(texts) if texts and not closed_ else None,
    )


def _right(one: Outcome, name: str) -> bool:
    output: Mapping[str, object] = one.output or {}
    truth = one.truth[name]
    said = output.get(name)
    return said == truth and isinstance(said, bool) == isinstance(truth, bool)


def _value(one: Outcome, name: str) -> str | None:
    return None if one.output is None or name not in one.output else _text(one.output[name])


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
