"""What leaves the site as training data: whose consent it takes, and what the audit is told."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import msgspec

from insights import errors
from insights.enriching.feedback import agreed
from insights.enriching.pairs import Pair, asked, split
from insights.enriching.recipe import Recipe
from insights.ground import environment
from insights.site.settings import Settings
from insights.store import audit
from insights.wiring import enriching
from insights.wiring.app import App

ACTOR = "insights export"


class Exported(msgspec.Struct, frozen=True):
    """Pairs, and how many insights were left out by why; `keys` are the rows'."""

    pairs: list[Pair]
    left_out: dict[str, int]
    keys: list[str]


def pairs(app: App, name: str) -> Exported:
    """Return the pairs of a pipeline, of every version that can be made again here.

    Raises:
        errors.SettingsError: If its rows, or rows that its prompts show, are without consent.
        errors.InsightsError: If rows cannot be read.
    """
    made = app.definition(name)
    consent = _consent(app.settings, made.stream.name)
    _refuse_others(app.settings, made.settings.collections)
    left_out: Counter[str] = Counter()
    found = agreed(enriching.said(app, name), left_out)
    found.sort(key=lambda one: (one.said.version, one.said.row_key, one.said.insight_id))
    here = app.sha256(made)
    lines: list[Pair] = []
    keys: list[str] = []
    for version, some in groupby(found, key=lambda one: one.said.version):
        judged = list(some)
        try:
            recipe = _recipe(app, name, None if version == here else version)
        except errors.SettingsError as exc:
            left_out[f"version {version[:12]} cannot be made again here: {exc.what}"] += len(judged)
            continue
        _refuse_others(app.settings, recipe.collections)
        column = consent if isinstance(consent, str) else None
        given = list(asked(recipe, judged, column, left_out))
        hashed = app.row_keys.hashed([one.agreed.said.row_key for one in given])
        for one, row in zip(given, hashed, strict=True):
            said = one.agreed.said
            keys.append(said.row_key)
            lines.append(
                Pair(
                    messages=one.messages,
                    split=split(row),
                    consent=column or "stream",
                    corrected=sorted(one.agreed.corrected),
                    pipeline=made.pipeline,
                    version=version,
                    insight_id=said.insight_id,
                    row=row,
                )
            )
    return Exported(lines, dict(left_out), keys)


def _recipe(app: App, name: str, version: str | None) -> Recipe:
    """Return a pipeline as its files are, or as another version was."""
    if version is None:
        return enriching.trial(app, name)
    former = app.deployments.version(app.definition(name).pipeline, version)
    return enriching.former(app, name, former)


def tell(app: App, name: str, exported: Exported, sha256: str) -> None:
    """Write into the audit whose rows go into a file, and which file; before it is written.

    Raises:
        errors.StoreError: If it cannot be recorded.
    """
    made = app.definition(name)
    keys = list(dict.fromkeys(exported.keys))
    app.readings(ACTOR).rows(made.stream.name, keys, pipeline=made.pipeline, file=sha256)
    details = {
        "pipeline": made.pipeline,
        "user": environment.user(),
        "pairs": len(exported.pairs),
        "splits": dict(Counter(one.split for one in exported.pairs)),
        "file": sha256,
    }
    with app.store.transaction() as connection:
        audit.append(connection, ACTOR, [audit.Event("pairs exported", details=details)])


def _consent(settings: Settings, stream: str) -> bool | str:
    found = settings.stream[stream]
    if found.sensitive:
        raise errors.SettingsError(
            "its rows never leave this machine: the stream is sensitive",
            where=f"stream {stream}",
            fix="nothing of a sensitive stream is exported",
        )
    if not found.consent:
        raise errors.SettingsError(
            "the settings do not say who consented to training on its rows",
            where=f"stream {stream}",
            fix='consent = "COLUMN" of the stream, which says so row by row, or consent = true',
        )
    return found.consent


def _refuse_others(settings: Settings, collections: Sequence[str]) -> None:
    """Refuse prompts that show rows of a stream, unless all of those may be trained on."""
    for collection in collections:
        stream = settings.collection[collection].stream
        if stream is not None and _consent(settings, stream) is not True:
            raise errors.SettingsError(
                f"prompts show rows of stream {stream}, of which each has a consent of its own",
                where=f"collection {collection}",
                fix="consent = true for that stream, if every row of it may be trained on",
            )
