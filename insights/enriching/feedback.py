"""What people said of insights, as labels: of rows that read as they did, where people agree."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from insights.enriching.labels import Labelled
from insights.enriching.recipe import Recipe
from insights.model import Json, Said
from insights.site.calibrations import closed
from insights.steps.choices import constants
from insights.steps.schema import columns, kind

SOURCE = "feedback"
_AT_ONCE = 500  # rows a statement
_NO_ANSWER = "it is wrong, and nobody says what is right"
_DISAGREE = "people disagree"
_CHANGED = "the row is gone from the replica, or has changed since"
_NOT_ALLOWED = "the schema does not allow its label"


class Agreed(msgspec.Struct, frozen=True):
    """What people agree on about one insight; `corrected` is empty where it was right."""

    said: Said
    corrected: Json

    @property
    def answer(self) -> Json:
        """The output as it would have been right."""
        return {**self.said.output, **self.corrected}


def agreed(given: Sequence[Said], left_out: Counter[str]) -> list[Agreed]:
    """Return what was said of each insight, where it can be learnt from; count what cannot.

    Args:
        given: Verdicts, those of one insight together.
        left_out: Counts insights by why they cannot be used.
    """
    found = []
    for _, some in groupby(given, key=lambda one: one.insight_id):
        said = list(some)
        corrections = [one.corrected or {} for one in said if one.verdict == "wrong"]
        merged: Json = {}
        for one in corrections:
            merged = {**merged, **one}
        if corrections and (
            len(corrections) < len(said)
            or any(one != {name: merged[name] for name in one} for one in corrections)
        ):
            left_out[_DISAGREE] += 1
        elif corrections and not merged:
            left_out[_NO_ANSWER] += 1
        else:
            found.append(Agreed(said[0], merged))
    return found


def labelled(recipe: Recipe, given: Sequence[Said], rows: int) -> Labelled:
    """Return labels of up to so many rows: closed fields of what was right, and corrections.

    A row counts where what the version that was judged reads of it is as it was.

    Args:
        recipe: Whose labels they shall be.
        given: Verdicts, by row.
        rows: How many rows at most.

    Raises:
        errors.InsightsError: If the rows cannot be read.
    """
    left_out: Counter[str] = Counter()
    fields = columns(recipe.output_schema)
    names = closed(recipe.output_schema)
    truth: dict[str, Json] = {}
    disputed: set[str] = set()
    for one in _as_they_were(recipe, agreed(given, left_out), left_out):
        said = one.corrected or {name: one.said.output.get(name) for name in names}
        label = {name: value for name, value in said.items() if _allows(fields.get(name), value)}
        key = one.said.row_key
        former = truth.get(key, {})
        if not label:
            left_out[_NOT_ALLOWED] += 1
        elif any(former.get(name, value) != value for name, value in label.items()):
            disputed.add(key)
        else:
            truth[key] = {**former, **label}
    left_out[_DISAGREE] += len(disputed)
    for key in disputed:
        del truth[key]
    return Labelled(SOURCE, dict(list(truth.items())[:rows]), dict(+left_out))


def _as_they_were(
    recipe: Recipe, found: Sequence[Agreed], left_out: Counter[str]
) -> Iterator[Agreed]:
    """Yield what was said of rows that read as they did, version by version."""
    for names in dict.fromkeys(one.said.columns for one in found):
        file = recipe.stream.attachment if recipe.stream.attachment in names else None
        spec = msgspec.structs.replace(recipe.stream, inputs=names, extra=(), attachment=file)
        some = [one for one in found if one.said.columns == names]
        for start in range(0, len(some), _AT_ONCE):
            batch = some[start : start + _AT_ONCE]
            keys = list(dict.fromkeys(one.said.row_key for one in batch))
            now = {row.key: row.input_hash for row in recipe.source.fetch(spec, keys)}
            for one in batch:
                if now.get(one.said.row_key) == one.said.input_hash.bytes:
                    yield one
                else:
                    left_out[_CHANGED] += 1


def _allows(part: Json | None, value: object) -> bool:
    """Tell whether a property is an enumeration or a boolean that has this value."""
    if part is None:
        return False
    allowed = constants(part)
    if allowed is None:
        return kind(part) == "boolean" and isinstance(value, bool)
    return any(one == value and isinstance(one, bool) == isinstance(value, bool) for one in allowed)
