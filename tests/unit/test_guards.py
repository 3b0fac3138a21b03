"""Guards: what is wrong is seen after few rows, what is right hardly ever taken for wrong."""

import itertools
import math
import random

import pytest
from pydantic import ValidationError

from insights import errors
from insights.enriching import guards
from insights.enriching.evidence import EVEN, log_evidence, needed
from insights.site.guards import GuardSettings

ROLLOUTS = 200


def alarmed(limit: float, share: float, chance: random.Random, rows: int, enough: float) -> bool:
    """Tell whether an alarm comes at any row; what is looked at most often is looked at here."""
    bad = 0
    for row in range(1, rows + 1):
        bad += chance.random() < share
        if log_evidence(bad, row, limit) >= enough:
            return True
    return False


@pytest.mark.parametrize("limit", [0.02, 0.2, EVEN])
def test_evidence_is_a_fair_game_while_the_share_is_at_the_limit(limit: float) -> None:
    # Exactly, not by chance: what it is worth after a row is, on average, what it was worth before.
    for bad, rows in ((0, 0), (1, 7), (30, 100), (400, 900)):
        now = log_evidence(bad, rows, limit)
        after = limit * math.exp(log_evidence(bad + 1, rows + 1, limit) - now)
        after += (1 - limit) * math.exp(log_evidence(bad, rows + 1, limit) - now)
        assert after == pytest.approx(1, rel=1e-9)
    assert log_evidence(0, 0, limit) == pytest.approx(0, abs=1e-12)


def test_evidence_grows_with_what_is_bad() -> None:
    found = [log_evidence(bad, 50, 0.1) for bad in range(51)]
    assert all(one < two for one, two in itertools.pairwise(found))


def test_an_equally_good_version_is_withdrawn_in_at_most_a_twentieth_of_rollouts() -> None:
    """Both versions fail at the same share of the same rows; six guards, forty looks."""
    chance = random.Random(20261129)
    settings = GuardSettings.model_validate(
        {
            "failed": "live",
            "withheld": "live",
            "abstained": 0.1,
            "slow": 0.05,
            "slower_than": "1s",
            "costly": "live",
            "tokens": 9,
            "differs": 0.2,
        }
    )
    shares = {"failed": 0.01, "withheld": 0.05, "abstained": 0.1, "slow": 0.05, "costly": 0.3}
    alarms = 0
    for _ in range(ROLLOUTS):
        counts = {"made": 0, "compared": 0, "differs": 0}
        for row in range(200):
            counts["made"] += 1
            counts["compared"] += 1
            counts["differs"] += chance.random() < 0.2
            for guard, share in shares.items():
                own, live = chance.random() < share, chance.random() < share
                for name, so in (("", own), ("_alone", own > live), ("_live", live > own)):
                    counts[guard + name] = counts.get(guard + name, 0) + so
            if row % 5 == 0 and guards.breach(guards.standings(settings, counts)) is not None:
                alarms += 1
                break
    assert alarms <= ROLLOUTS * settings.false_alarms


@pytest.mark.parametrize("limit", [0.02, 0.2, EVEN])
def test_one_guard_alone_keeps_its_false_alarms_at_the_worst_share(limit: float) -> None:
    chance, enough = random.Random(7), needed(0.05, 1)
    found = sum(alarmed(limit, limit, chance, 300, enough) for _ in range(ROLLOUTS))
    assert found <= ROLLOUTS * 0.05


@pytest.mark.parametrize(
    ("settings", "counts", "after"),
    [
        ({}, {"made": 1, "withheld_alone": 1}, 7),
        ({"differs": 0.2}, {"compared": 1, "differs": 1}, 4),
        ({"abstained": 0.3}, {"made": 1, "abstained": 1}, 5),
        ({"slow": 0.05, "slower_than": "1s"}, {"made": 1, "slow": 1}, 2),
        ({}, {"failed": 1, "failed_alone": 1}, 7),
        ({"wrong": 0.05}, {"made": 1, "wrong": 1}, 2),
    ],
)
def test_a_version_that_is_always_wrong_is_seen_after_a_few_rows(
    settings: dict[str, object], counts: dict[str, int], after: int
) -> None:
    guard = GuardSettings.model_validate(settings)
    at = next(
        n
        for n in range(1, 100)
        if guards.breach(guards.standings(guard, {k: v * n for k, v in counts.items()}))
    )
    assert at == after  # docs/rollout.md has the first two; never after a single row


def test_a_breach_says_how_many_rows_of_how_many() -> None:
    guard = GuardSettings(differs=0.2)
    why = guards.breach(guards.standings(guard, {"compared": 40, "differs": 30, "made": 50}))
    assert why == ("30 of 40 rows differ from the live version's; at most 0.2 of them may")
    found = guards.standings(guard, {"made": 50, "withheld_alone": 9, "withheld_live": 9})
    assert guards.breach(found) is None
    why = guards.breach(guards.standings(guard, {"withheld_alone": 30, "withheld_live": 2}))
    assert why is not None
    assert why.startswith("on 32 rows it and the live version differ in that they were withheld")


def test_nothing_is_watched_where_all_is_off() -> None:
    guard = GuardSettings(failed="off", withheld="off")
    assert guards.standings(guard, {"made": 9, "withheld": 9, "withheld_alone": 9}) == []
    assert guards.breach([]) is None


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ({"slow": 0.1}, "slow and slower_than go together"),
        ({"tokens": 9}, "costly and tokens go together"),
        ({"fields": ["category"]}, "fields are those that differs compares"),
        ({"differs": "live"}, "differs"),
        ({"withheld": 1.0}, "withheld"),
        ({"witheld": 0.1}, "witheld"),
    ],
)
def test_settings_that_watch_nothing_are_refused(written: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        GuardSettings.model_validate(written)


def test_fields_that_an_output_does_not_have_are_refused() -> None:
    guard = GuardSettings(differs=0.1)
    guard.fits({"category", "text"}, ["category"], "p")
    with pytest.raises(errors.SettingsError, match="has no enumeration and no boolean"):
        guard.fits({"text"}, [], "p")
    with pytest.raises(errors.SettingsError, match="has no 'kind' to compare"):
        GuardSettings(differs=0.1, fields=("kind",)).fits({"category"}, ["category"], "p")
