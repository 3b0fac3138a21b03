"""Guards: what a version makes is counted once, and one that breaks a guard loses its share."""

from collections.abc import Iterator

import psycopg
import pytest

from insights.model import Verdict
from insights.store.rollout import Step
from insights.store.watches import Measure, Watches
from tests.rolling import Rolling

KEYS = [str(number) for number in range(1, 41)]
WITHHELD = Verdict(status="withheld", output=None, reason="a citation points nowhere")
SAME = Verdict(status="ok", output={"category": "same"})
OTHER = Verdict(status="ok", output={"category": "other"})
MEASURE = Measure(slow_ms=1000, tokens=100, fields=("category",))


@pytest.fixture
def rolling(store_url: str) -> Iterator[Rolling]:
    """Version 1 has done forty rows, and version 2 is to be shown for half of the keys."""
    found = Rolling(store_url, KEYS)
    found.work(1)
    found.add("2", shadow=True)
    yield found
    found.close()


def watches(rolling: Rolling) -> Watches:
    return Watches(rolling.store, "test")


def counts(rolling: Rolling) -> dict[str, int]:
    """Look, and keep what is counted for good."""
    ((watched, found),) = watches(rolling).watched({2: MEASURE})
    watches(rolling).keep(watched, "words")
    return found


def later(rolling: Rolling) -> None:
    """Let an hour pass for all that was made."""
    for table, column in (
        ("insight", "generated_at"), ("deployment", "watched_from"), ("work", "finished_at"),
        ("watch", "since"), ("watch", "counted_to"),
    ):  # fmt: skip
        rolling.query(f"UPDATE store.{table} SET {column} = {column} - interval '1 hour'")


def test_what_was_made_since_the_promotion_is_counted_once_however_often_one_looks(
    rolling: Rolling,
) -> None:
    rolling.wrong = {1: SAME, 2: SAME}
    rolling.step(2, Step("canary", 0.5))
    assert counts(rolling) == {}  # what was made before is not
    rolling.poll("second")
    rolling.work(1)
    rolling.wrong[2] = OTHER
    made = rolling.work(2)
    assert made > 5
    both = {"made": made, "compared": made, "differs": made}
    assert counts(rolling) == counts(rolling) == both
    later(rolling)
    assert counts(rolling) == counts(rolling) == both
    (kept,) = rolling.query("SELECT counts, nearest FROM store.watch")
    assert kept == (both, "words")
    rolling.poll("third")
    rolling.wrong[2] = WITHHELD
    again = rolling.work(2)
    rolling.work(1)  # the later of a pair may be either
    assert again == made
    assert counts(rolling) == {
        **both,
        "made": made + again,
        "withheld": again,
        "withheld_alone": again,
    }


def test_a_pair_is_of_one_text_of_a_row(rolling: Rolling) -> None:
    rolling.wrong = {1: WITHHELD, 2: SAME}
    rolling.step(2, Step("canary", 0.5))
    rolling.poll("second")
    rolling.work(1)
    rolling.poll("third")
    made = rolling.work(2)
    assert counts(rolling) == {"made": made}
    rolling.work(1)
    assert counts(rolling) == {"made": made, "withheld_live": made}


def test_dead_letters_are_counted_beside_the_live_version_s(rolling: Rolling) -> None:
    rolling.step(2, Step("canary", 0.5))
    rolling.poll("second")
    rolling.work(1)
    rolling.query(
        "UPDATE store.work SET state = 'dead', finished_at = now(), reason = 'r'"
        " WHERE pipeline_version_id = 2 AND state = 'pending'"
    )
    (dead,) = rolling.query("SELECT count(*) FROM store.work WHERE state = 'dead'")
    assert dead[0] > 5
    assert counts(rolling) == dict.fromkeys(("failed", "failed_alone", "dead"), dead[0])


def test_rows_that_no_model_answered_are_failures(rolling: Rolling) -> None:
    rolling.step(2, Step("canary", 0.5))
    rolling.poll("second")
    made = rolling.work(2)
    rolling.query("UPDATE store.insight SET route = 'baseline' WHERE pipeline_version_id = 2")
    assert counts(rolling) == {"made": made, "failed": made}
    rolling.work(1)
    found = counts(rolling)
    assert (found["failed"], found["failed_alone"]) == (made, made)
    assert ("failed_live" in found, "dead" in found) == (False, False)


def test_slow_and_costly_rows_are_counted(rolling: Rolling) -> None:
    rolling.step(2, Step("canary", 0.5))
    rolling.poll("second")
    made = rolling.work(1, 2) - len(KEYS)
    rolling.query(
        "UPDATE store.insight SET prompt_ms = 800, decode_ms = 300, prompt_tokens = 101"
        " WHERE pipeline_version_id = 2"
    )
    found = counts(rolling)
    assert {name: found[name] for name in ("slow", "slow_alone", "costly", "costly_alone")} == {
        "slow": made, "slow_alone": made, "costly": made, "costly_alone": made,
    }  # fmt: skip


def test_what_people_said_to_be_wrong_is_counted_an_insight_once(rolling: Rolling) -> None:
    rolling.step(2, Step("canary", 0.5))
    rolling.poll("second")
    made = rolling.work(1, 2) - len(KEYS)
    say = (
        "INSERT INTO insights.verdict (insight_id, verdict) SELECT insight_id, 'wrong'"
        " FROM insights.current WHERE pipeline_version = repeat(%s, 64) ORDER BY 1 LIMIT 3"
    )
    rolling.query(say, "2")
    rolling.query(say, "1")  # is the live version's affair
    rolling.query(
        "INSERT INTO store.feedback SELECT insight_id, given_at, pipeline_version_id,"
        " verdict, corrected, 'another' FROM store.feedback"
    )
    found = counts(rolling)
    assert (found["made"], found["wrong"]) == (made, 3)
    assert "wrong_alone" not in found
    rolling.step(2, Step("canary", 0.6))
    assert "wrong" not in counts(rolling)  # of what was made before the promotion


def test_a_withdrawn_version_is_a_shadow_and_what_the_live_one_made_is_shown(
    rolling: Rolling,
) -> None:
    rolling.wrong[2] = WITHHELD
    rolling.step(2, Step("gradual", 0.5, (1.0,), 3600))
    rolling.poll("second")
    made = rolling.work(1, 2) - len(KEYS)
    assert len(rolling.shown()) == len(KEYS)
    shown = "SELECT pipeline_version, count(*) FROM insights.current GROUP BY 1 ORDER BY 1"
    assert rolling.query(shown) == [("1" * 64, len(KEYS) - made), ("2" * 64, made)]
    assert watches(rolling).withdraw(2, "too many are withheld", hold=False)
    assert not watches(rolling).withdraw(2, "another daemon was first", hold=False)
    assert rolling.query(shown) == [("1" * 64, len(KEYS))]
    assert all(shows == "current" for _, shows in rolling.told().values())
    (row,) = rolling.query(
        "SELECT stage, shown_upto, shares, held_reason, changed_by FROM store.deployment"
        " WHERE pipeline_version_id = 2"
    )
    assert row == ("shadow", 0.0, [], "too many are withheld", "test")
    (event,) = rolling.query(
        "SELECT details FROM store.audit_event WHERE action = 'deployed' ORDER BY at DESC LIMIT 1"
    )
    told = {name: event[0][name] for name in ("stage", "was", "why", "version")}
    assert told == {
        "stage": "shadow", "was": "gradual", "why": "too many are withheld", "version": "2" * 64,
    }  # fmt: skip
    rolling.poll("third")
    rolling.work(2)
    rolling.work(1)
    assert rolling.query(shown) == [("1" * 64, len(KEYS))]
    assert watches(rolling).watched({2: MEASURE}) == []  # nothing of it is shown


def test_a_held_version_keeps_its_share_which_grows_no_more_until_it_is_promoted_again(
    rolling: Rolling,
) -> None:
    rolling.wrong[2] = WITHHELD
    rolling.step(2, Step("gradual", 0.5, (1.0,), 3600))
    rolling.poll("second")
    rolling.work(1, 2)
    assert counts(rolling)["withheld"] > 5
    assert watches(rolling).withdraw(2, "too many are withheld", hold=True)
    assert not watches(rolling).withdraw(2, "another daemon was first", hold=True)
    rolling.query("UPDATE store.deployment SET next_at = now() WHERE stage = 'gradual'")
    raised = "SELECT new_stage, new_share FROM store.raise_shares('test')"
    assert rolling.query(raised) == []
    assert watches(rolling).watched({2: MEASURE}) == []
    (event,) = rolling.query("SELECT details FROM store.audit_event WHERE action = 'held'")
    assert event[0]["why"] == "too many are withheld"
    rolling.step(2, Step("gradual", 0.5, (1.0,), 3600))
    assert counts(rolling) == {}  # it is watched anew
    rolling.query("UPDATE store.deployment SET next_at = now() WHERE stage = 'gradual'")
    assert rolling.query(raised) == [("full", 1.0)]


def test_a_share_that_grows_by_its_schedule_goes_on_being_watched(rolling: Rolling) -> None:
    rolling.wrong[2] = WITHHELD
    rolling.step(2, Step("gradual", 0.5, (0.9, 1.0), 3600))
    rolling.poll("second")
    rolling.work(1, 2)
    before = counts(rolling)
    rolling.query("UPDATE store.deployment SET next_at = now() WHERE stage = 'gradual'")
    rolling.query("SELECT store.raise_shares('test')")
    assert counts(rolling) == before


def test_a_version_that_is_full_or_a_shadow_is_not_withdrawn(rolling: Rolling) -> None:
    before = rolling.query("SELECT * FROM store.deployment ORDER BY 1")
    for version in (1, 2, 3):
        for hold in (True, False):
            assert not watches(rolling).withdraw(version, "why", hold=hold)
    assert rolling.query("SELECT * FROM store.deployment ORDER BY 1") == before
    rolling.step(2, Step("canary", 0.5))
    with pytest.raises(psycopg.errors.RaiseException, match="withdrawn for a reason"):
        rolling.query("SELECT store.withdraw_version(2, 'test', '', false)")


def test_of_two_daemons_that_look_at_once_one_counts(rolling: Rolling) -> None:
    rolling.wrong[2] = WITHHELD
    rolling.step(2, Step("canary", 0.5))
    rolling.poll("second")
    made = rolling.work(1, 2) - len(KEYS)
    counts(rolling)
    later(rolling)
    looks = [watches(rolling).watched({2: MEASURE}) for _ in range(2)]
    for ((watched, found),) in looks:
        assert found["withheld"] == made
        watches(rolling).keep(watched, "words")
    assert counts(rolling)["withheld"] == made
