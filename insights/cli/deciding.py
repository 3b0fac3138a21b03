"""`insights init --labels`: what people decided about rows of the table, as examples for others."""

from collections.abc import Collection, Sequence

from insights import errors
from insights.cli.asking import Asking
from insights.cli.output import shown, stdout
from insights.cli.writing import Decided
from insights.model import StreamSpec, TableProfile
from insights.site import candidates, decisions
from insights.site.candidates import Candidate

_NONE = Candidate((), "fair", "the model decides by the row alone")


def chosen(
    profile: TableProfile,
    hidden: Collection[str],
    key: Sequence[str],
    given: Sequence[str] | None,
    asking: Asking,
) -> tuple[str, ...]:
    """Return the label columns: those a flag names, else what is answered; `--yes` takes none.

    Raises:
        errors.SettingsError: If one that a flag names does not repeat few short values.
    """
    if given:
        for name in given:
            column = profile.column(name)
            if not column.values or name in hidden or name in key:
                raise errors.SettingsError(
                    f"{name} is no label: a label repeats few short values, and is neither key "
                    "nor personal",
                    where="--labels",
                    fix="one of " + (", ".join(_names(profile, hidden, key)) or "no column here"),
                )
        return tuple(given)
    found = [one for one in decisions.labels(profile, hidden, key) if one.grade != "poor"]
    if not found:
        return ()
    first = asking.candidate(
        "Rows that people decided, as examples",
        [_NONE, *found[:5]],
        flag="--labels",
        sure=False,
        best=_NONE,
    )
    if not first.columns:
        for one in found[:3]:
            stdout.print(
                f"[bold]{'decided':<10}[/] {shown(str(one))}; --labels {shown(one.columns[0])} "
                "decides as people did, by the nearest rows",
                soft_wrap=True,
                highlight=False,
            )
    return first.columns


def shown_beside(
    profile: TableProfile, columns: Sequence[str], labels: Collection[str]
) -> list[str]:
    """Return the prompt's columns without the labels and what is filled with them."""
    return [
        name
        for name in columns
        if name not in labels and not decisions.tells_of_decision(profile.column(name))
    ] or [name for name in columns if name not in labels]


def decided(
    profile: TableProfile,
    hidden: Collection[str],
    spec: StreamSpec,
    cursor: Candidate,
    labels: dict[str, str],
    shown: Sequence[str],
) -> Decided | None:
    """Return what the settings say of the examples; None where nothing is to be one.

    Raises:
        errors.SettingsError: If nothing tells a row's past from its future, or nothing is compared.
    """
    if not labels:
        return None
    found = decisions.times(profile, hidden, spec.key, next(iter(cursor.columns), None))
    if found is None:
        raise errors.SettingsError(
            "no time and no growing number tells which rows were decided before another was there",
            where="--labels",
            fix="leave --labels out; or write [examples] by hand, of a table that has one",
        )
    prose = [name for name in candidates.texts(profile, hidden) if name in shown]
    return Decided(
        labels=labels,
        text=tuple(prose or shown),
        decided=found.decided,
        asked=found.asked,
        why=found.why,
    )


def _names(profile: TableProfile, hidden: Collection[str], key: Sequence[str]) -> list[str]:
    return [name for one in decisions.labels(profile, hidden, key) for name in one.columns]
