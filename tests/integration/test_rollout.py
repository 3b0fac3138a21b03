"""Stages: nobody sees what a shadow makes, its keys see a canary, and there is a way back."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from insights import errors
from insights.model.deployments import key_point
from insights.store import migrate
from insights.store.rollout import Step
from tests.rolling import Rolling, Screen

KEYS = [str(number) for number in range(1, 41)]


@pytest.fixture
def rolling(store_url: str) -> Iterator[Rolling]:
    """Version 1 has done forty rows."""
    found = Rolling(store_url, KEYS)
    found.work(1)
    yield found
    found.close()


def below(share: float) -> set[str]:
    return {key for key in KEYS if key_point(key) < share}


def by(rolling: Rolling, version: int) -> set[str]:
    return {key for key, text in rolling.shown().items() if text.startswith(f"{version} ")}


def test_a_shadow_is_made_and_stored_and_the_published_table_stays_as_it_was(
    rolling: Rolling, tmp_path: Path, empty_store_url: str
) -> None:
    screen = Screen(rolling, tmp_path / "with")
    before, revisions = screen.bytes(), rolling.revisions()
    shadow = rolling.add("2", shadow=True)
    assert rolling.open() == []  # rows that are known already are not its work unasked
    assert rolling.step(shadow, Step("shadow", backfill=True)).queued == len(KEYS)
    assert rolling.work(shadow) == len(KEYS)
    assert rolling.query("SELECT count(*) FROM store.insight") == [(2 * len(KEYS),)]
    assert rolling.revisions() == revisions
    assert screen.bytes() == before
    # Beside one without a shadow, row after row changes: both are told the same.
    migrate.upgrade(empty_store_url)
    alone = Rolling(empty_store_url, KEYS)
    alone.work(1)
    other = Screen(alone, tmp_path / "without")
    for one in (rolling, alone):
        one.poll("second", *KEYS[:7])
        one.work(shadow)
        one.work(1)
        one.poll("first", *KEYS[:3])
        one.work(1)
        one.work(shadow)
    assert screen.rows() == other.rows()
    assert rolling.open() == []
    for closing in (screen, other, alone):
        closing.close()


def test_a_shadow_is_not_shown_for_rows_that_show_nothing_yet(rolling: Rolling) -> None:
    shadow = rolling.add("2", shadow=True)
    rolling.poll("first", "new")
    assert rolling.work(shadow) == 1
    for text in ("second", "third", "second"):  # back to what the shadow alone has done
        rolling.poll(text, "new")
        rolling.work(shadow)
        assert "new" not in rolling.shown()
        assert "new" not in rolling.told()
    rolling.work(1)
    assert rolling.shown()["new"] == "1 second"


def test_a_canary_is_shown_for_its_keys_and_the_other_version_for_the_rest(
    rolling: Rolling,
) -> None:
    version = rolling.add("2", shadow=True)
    rolling.step(version, Step("shadow", backfill=True))
    rolling.work(version)
    assert by(rolling, 2) == set()
    done = rolling.step(version, Step("canary", 0.3))
    assert 0 < len(below(0.3)) < len(KEYS)
    assert (done.shown, done.queued, done.of_share) == (len(below(0.3)), 0, len(below(0.3)))
    assert by(rolling, 2) == below(0.3)
    rolling.poll("second")
    assert rolling.open() == [(1, len(KEYS)), (version, len(below(0.3)))]  # work of both
    rolling.work(1)
    assert by(rolling, 1) == set(KEYS)  # until the new one has done its own, nothing is missing
    rolling.work(version)
    assert by(rolling, 2) == below(0.3)
    rolling.work(1)
    assert rolling.told() == {
        key: (f"{2 if key in below(0.3) else 1} second", "current") for key in KEYS
    }
    rolling.poll("third")
    rolling.work(version, 1)
    assert by(rolling, 2) == below(0.3)  # whichever comes first
    assert rolling.query("SELECT count(*) FROM insights.current WHERE stale") == [(0,)]
    assert rolling.query("SELECT ok, pending FROM insights.completeness") == [(len(KEYS), 0)]


def test_rolling_back_shows_the_old_insights_at_once_and_queues_the_rest(
    rolling: Rolling,
) -> None:
    version = rolling.add("2")  # full at once, without a rollout
    rolling.poll("second", *KEYS[:10])
    rolling.work(version)
    rolling.step(version, Step("full", backfill=True))
    rolling.work(version)
    assert by(rolling, 2) == set(KEYS)
    told = {row[0]: row[1] for row in rolling.revisions()[:-1]}
    taken, instead = rolling.rollout.back("p")
    assert (taken.version_id, instead and instead.version_id) == (version, 1)
    done = rolling.step(1, Step("full", back=True, why="it was rude"))
    assert (done.shown, done.queued, done.reread) == (30, 0, 10)
    assert rolling.told() == {
        key: ("2 second", "stale") if key in KEYS[:10] else ("1 first", "current") for key in KEYS
    }
    assert all(row[1] > told[row[0]] for row in rolling.revisions()[:-1])
    stale = rolling.query("SELECT row_key FROM insights.current WHERE stale")
    assert {key for (key,) in stale} == set(KEYS[:10])
    assert rolling.query("SELECT ok, pending FROM insights.completeness") == [(30, 10)]
    assert rolling.work(1) == 10
    assert by(rolling, 1) == set(KEYS)
    events = rolling.query(
        "SELECT details ->> 'user', details ->> 'why', details ->> 'was' FROM store.audit_event"
        " WHERE action = 'deployed' ORDER BY at DESC LIMIT 1"
    )
    assert events == [("anna", "it was rude", "retired")]


def test_what_was_begun_before_a_rollback_is_never_shown_and_its_row_is_done(
    rolling: Rolling,
) -> None:
    version = rolling.add("2")
    rolling.poll("second", "new")
    late = rolling.claim(version)
    rolling.poll("second")
    late += rolling.claim(version, 15)
    assert [len(late), late[0].row_key] == [16, "new"]
    rolling.step(1, Step("full", back=True))
    assert rolling.claim(version, expire=False) == []  # nothing of a retired version is begun
    rolling.write(late)
    assert by(rolling, 2) == set()
    assert "new" not in rolling.shown()
    assert rolling.work(1) == len(KEYS) + 1
    assert set(rolling.shown().values()) == {"1 second"}
    assert rolling.open() == []


def test_a_canary_rolled_back_or_without_its_files_strands_nothing(rolling: Rolling) -> None:
    version = rolling.add("2", shadow=True)
    rolling.step(version, Step("canary", 0.5, backfill=True))
    rolling.poll("second")
    rolling.work(1)  # no daemon has the files of the other
    assert set(rolling.shown().values()) == {"1 second"}
    assert {shows for _, shows in rolling.told().values()} == {"current"}
    late = rolling.claim(version, 5)
    taken, instead = rolling.rollout.back("p")
    assert (taken.version_id, instead) == (version, None)
    done = rolling.step(version, Step("retired", back=True))
    assert (done.shown, done.queued) == (0, 0)
    rolling.work(1)
    rolling.write(late)
    assert set(rolling.shown().values()) == {"1 second"}
    assert rolling.open() == []
    with pytest.raises(errors.SettingsError, match="was live before"):
        rolling.rollout.back("p")


def test_versions_that_read_other_columns_are_shown_after_a_look_without_a_model(
    store_url: str,
) -> None:
    rolling = Rolling(store_url, KEYS)
    rolling.work(1)
    version = rolling.add("2", ("a", "b"), shadow=True)
    rolling.poll()  # the form of the hashes changes with it
    rolling.step(version, Step("canary", 1.0, backfill=True))
    assert rolling.work(version) == len(KEYS)
    assert by(rolling, 2) == set(KEYS)
    done = rolling.step(version, Step("retired", back=True))
    assert done.shown == 0
    assert done.reread == len(KEYS)
    made = rolling.query("SELECT count(*) FROM store.insight")
    rolling.work(1)
    assert by(rolling, 1) == set(KEYS)
    assert rolling.query("SELECT count(*) FROM store.insight") == made
    rolling.close()


def test_a_share_that_becomes_smaller_gives_its_keys_back(rolling: Rolling) -> None:
    version = rolling.add("2", shadow=True)
    rolling.step(version, Step("canary", 0.6, backfill=True))
    rolling.work(version)
    assert by(rolling, 2) == below(0.6)
    rolling.step(version, Step("canary", 0.2))
    assert by(rolling, 2) == below(0.2)
    rolling.step(version, Step("full"))
    assert by(rolling, 2) == below(0.6)  # all that it has made; nothing is made anew unasked
    assert rolling.open() == []


def test_a_gradual_version_takes_its_shares_by_its_schedule_and_ends_full(
    rolling: Rolling,
) -> None:
    version = rolling.add("2", shadow=True)
    rolling.step(version, Step("gradual", 0.1, (0.5, 1.0), 3600, backfill=True))
    raised = "SELECT new_stage, new_share FROM store.raise_shares('test')"
    due = "UPDATE store.deployment SET next_at = now() WHERE stage = 'gradual'"
    rolling.work(version)
    assert by(rolling, 2) == below(0.1)
    assert rolling.query(raised) == []  # not yet
    rolling.query(due)
    assert rolling.query(raised) == [("gradual", 0.5)]
    assert rolling.query(raised) == []
    rolling.work(version)
    assert by(rolling, 2) == below(0.5)
    rolling.query(due)
    assert rolling.query(raised) == [("full", 1.0)]
    rolling.work(version)
    assert by(rolling, 2) == set(KEYS)
    live = rolling.query("SELECT stage, share, shown_from FROM store.deployment ORDER BY 1")
    assert live == [("full", 1.0, 0.0), ("retired", 0.0, 0.0)]


def test_five_percent_of_the_keys_are_the_same_five_percent_everywhere(store_url: str) -> None:
    keys = [f"{number}" for number in range(1, 100_001)]
    with psycopg.connect(store_url) as link:
        found = link.execute(
            "SELECT key FROM unnest(%s::text[]) AS key WHERE store.covers(0, 0.05, key)", (keys,)
        ).fetchall()
    assert {key for (key,) in found} == {key for key in keys if key_point(key) < 0.05}
    assert 0.048 <= len(found) / len(keys) <= 0.052
    assert key_point("4711") == 0.868729435140267  # the same next year


def test_steps_that_make_no_sense_are_refused_and_change_nothing(rolling: Rolling) -> None:
    version, other = rolling.add("2", shadow=True), rolling.add("3", shadow=True)
    stages = "SELECT stage, share FROM store.deployment ORDER BY pipeline_version_id"
    before = rolling.query(stages)
    for which, step, why in (
        (1, Step("canary", 0.1), "goes when another is made full"),
        (1, Step("retired"), "goes when another is made full"),
        (version, Step("canary", 0.0), "more than 0"),
        (version, Step("canary", 1.5), "more than 0"),
    ):
        with pytest.raises(errors.StoreError, match=why):
            rolling.rollout.change(which, step)
    assert rolling.query(stages) == before
    rolling.step(version, Step("canary", 0.1))
    with pytest.raises(errors.StoreError, match="another version has a share already"):
        rolling.rollout.change(other, Step("canary", 0.1))
