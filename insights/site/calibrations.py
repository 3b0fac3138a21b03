"""What labelled rows said of a version's confidence: a file beside its prompt and schema.

`insights calibrate` writes it. It holds counts and no row, so that it can be kept with the settings
and reviewed; another target needs no other file. It is of one version: what another prompt or model
is sure of says nothing about it.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from insights import errors
from insights.model import Json
from insights.site.pipelines import ConfidenceSettings
from insights.steps import cascading
from insights.steps.cascading import PairCounts
from insights.steps.certifying import THRESHOLDS, Counts, certified, needed
from insights.steps.choices import constants
from insights.steps.schema import columns, kind

_FIX = "`insights calibrate PIPELINE --labels FILE` makes it"


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The counts of each closed field, of the version with this SHA-256 without its certificates.

    `labels` and `made_at` tell people where they come from. `pairs` are the counts with the larger
    model that the version has, where it has one.
    """

    pipeline: str
    version: str
    labels: str
    made_at: str
    fields: dict[str, Counts]
    pairs: dict[str, PairCounts] = {}


class Certificates(msgspec.Struct, frozen=True):
    """The least confidence of fields, certified for the version with this SHA-256 without them.

    `larger` is that of the larger model, where there is one.
    """

    version: str
    least: Mapping[str, float]
    larger: Mapping[str, float] = {}

    def of(self, pipeline: str, version: str) -> tuple[dict[str, float], dict[str, float]]:
        """Return what they add to a version, and to its larger model.

        Raises:
            errors.SettingsError: If they are of another one.
        """
        if self.version != version:
            raise errors.SettingsError(
                "the calibration is of another version: its prompt, schema or model has changed",
                where=f"pipeline {pipeline}, confidence.calibration",
                fix=f"`insights calibrate {pipeline} --labels FILE` makes it anew",
            )
        return dict(self.least), dict(self.larger)


def closed(schema: Json) -> list[str]:
    """Return the properties of an output that confidence is of: enumerations and booleans."""
    return [
        name
        for name, part in columns(schema).items()
        if constants(part) is not None or kind(part) == "boolean"
    ]


def read(path: Path) -> Calibration:
    """Return a calibration.

    Raises:
        errors.SettingsError: If it cannot be read, or is none.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except OSError as exc:
        raise errors.SettingsError(
            f"the calibration cannot be read: {exc.strerror}", where=str(path), fix=_FIX
        ) from None
    except msgspec.DecodeError as exc:
        raise errors.SettingsError(
            f"it is no calibration: {exc}", where=str(path), fix=_FIX
        ) from None
    pairs = all(counts.fits for counts in found.pairs.values())
    if not pairs or not all(map(_is_counted, found.fields.values())):
        raise errors.SettingsError(
            "its counts are not at the thresholds of this release", where=str(path), fix=_FIX
        )
    return found


def _is_counted(counts: Counts) -> bool:
    pairs = list(zip(counts.kept, counts.wrong, strict=False))
    whole = len(counts.kept) == len(counts.wrong) == len(THRESHOLDS)
    return whole and all(0 <= wrong <= kept <= counts.rows for kept, wrong in pairs)


def certificates(wanted: ConfidenceSettings | None, schema: Json) -> Certificates | None:
    """Return the least confidence of each field that has a target; None where none has.

    Raises:
        errors.SettingsError: If a target cannot be certified; says what it would take.
    """
    if wanted is None or not wanted.max_error:
        return None
    found = read(wanted.calibration)
    made, larger = {}, {}
    for name, max_error in wanted.max_error.items():
        where = f"confidence.max_error.{name}"
        if name not in closed(schema):
            raise errors.SettingsError(
                f"{name} is no closed field of the output",
                where=where,
                fix=f"one of {', '.join(closed(schema)) or 'none: give a property an enum'}",
            )
        counts = found.fields if wanted.escalate_to is None else found.pairs
        if name not in counts:
            raise errors.SettingsError(
                f"the calibration has no labels of {name}"
                + ("" if wanted.escalate_to is None else f" with {wanted.escalate_to}"),
                where=where,
                fix=_FIX,
            )
        of = counts[name]
        threshold = least(of, max_error, wanted.level)
        if threshold is None:
            raise refused(name, of, max_error, wanted.level, where=where)
        made[name] = threshold[0]
        if len(threshold) > 1:
            larger[name] = threshold[1]
    return Certificates(found.version, made, larger)


def least(counts: Counts | PairCounts, max_error: float, level: float) -> tuple[float, ...] | None:
    """Return the certified confidence of a model, or of one and a larger one; None if none is."""
    if isinstance(counts, PairCounts):
        pair = cascading.certified(counts, max_error, level)
        return None if pair is None else (pair.first, pair.larger)
    certificate = certified(counts, max_error, level)
    return None if certificate is None else (certificate.threshold,)


def refused(
    name: str, counts: Counts | PairCounts, max_error: float, level: float, *, where: str
) -> errors.SettingsError:
    """Return the error of a target that these labels do not certify."""
    both = isinstance(counts, PairCounts)
    least = cascading.needed_rows(max_error, level) if both else needed(max_error, level)
    few = counts.rows < least
    return errors.SettingsError(
        f"{counts.rows:,} labelled rows do not certify that {name} is wrong in at most "
        f"{max_error:.1%}",
        where=where,
        fix=f"label more: it takes at least {least:,} rows, all of them right"
        if few
        else "at no confidence do they show it: label more, improve the prompt, take a larger "
        "model, or ask for less",
    )
