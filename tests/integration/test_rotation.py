"""Rotating the credential `hash_key` is not a change of rows."""

import json
from pathlib import Path

import pytest

from insights import errors
from insights.ground import environment
from insights.model import Share
from insights.store.insights import Registry
from insights.store.postgres import Store
from insights.store.work import WorkQueue
from tests.helpdesk import Helpdesk
from tests.integration.test_first_load import Loading
from tests.site import Site

FORMER = "a key for tests"
INSIGHTS = "SELECT insight_id, row_id, generated_at FROM store.insight ORDER BY 1"
VERSIONS = "SELECT DISTINCT hash_version FROM store.ledger WHERE gone_at IS NULL"


@pytest.fixture
def rotated(site: Site) -> Site:
    """A site whose rows are done, about to run with a new key."""
    site.run_once()
    site.environment["INSIGHTS_CREDENTIAL_HASH_KEY"] = "a new key"
    site.environment["INSIGHTS_CREDENTIAL_HASH_KEY_FORMER"] = FORMER
    return site


def test_insights_are_kept_and_nothing_is_done_or_told_anew(rotated: Site, tmp_path: Path) -> None:
    insights = rotated.query(INSIGHTS)
    told = rotated.query("SELECT row_id, revision FROM store.outbox ORDER BY 1")
    rotated.run_once()
    assert rotated.query(INSIGHTS) == insights
    assert rotated.query("SELECT row_id, revision FROM store.outbox ORDER BY 1") == told
    assert rotated.query(VERSIONS) == [(2,)]
    rotated.assert_exactly_once(Helpdesk.of(tmp_path / "legacy.sqlite").keys())
    assert "may be removed" in rotated.insights("status").stdout
    del rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY_FORMER"]
    rotated.run_once()
    assert rotated.query(INSIGHTS) == insights


def test_a_changed_row_is_done_again_and_only_that(rotated: Site, tmp_path: Path) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    legacy.execute(
        "UPDATE ticket SET body = 'other', updated_at = '2026-01-02' WHERE ticket_id = 3"
    )
    before = len(rotated.query(INSIGHTS))
    rotated.run_once()
    assert len(rotated.query(INSIGHTS)) == before + 1
    rotated.assert_exactly_once(legacy.keys())


def test_pending_dead_and_missing_work_is_carried(rotated: Site) -> None:
    for row, state in ((1, "pending"), (2, "dead"), (3, "missing")):
        rotated.query(
            "UPDATE store.work SET state = %s, finished_at = NULL WHERE row_id = %s RETURNING 1",
            state,
            row,
        )
    rotated.insights("run", "--once", "--roles", "poll")
    found = rotated.query(
        "SELECT w.row_id, w.state FROM store.work w JOIN store.ledger l USING (row_id, input_hash)"
        " WHERE w.row_id <= 3 ORDER BY 1"
    )
    assert found == [(1, "pending"), (2, "dead"), (3, "pending")]  # what was missing is back
    assert rotated.query("SELECT count(*) FROM store.work") == [(40,)]


def test_claims_are_restamped_without_a_poll(rotated: Site, tmp_path: Path) -> None:
    Helpdesk.of(tmp_path / "legacy.sqlite").add(range(41, 45))
    rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY"] = FORMER
    rotated.insights("run", "--once", "--roles", "poll")
    rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY"] = "a new key"
    rotated.insights("run", "--once", "--roles", "enrich")
    assert rotated.query("SELECT count(*) FROM store.work WHERE state = 'done'") == [(44,)]
    rotated.run_once()
    rotated.assert_exactly_once({str(key) for key in range(1, 45)})
    assert rotated.query("SELECT count(*) FROM store.work") == [(44,)]


@pytest.mark.parametrize("failpoint", ["after-claim", "after-generate", "before-write"])
def test_claims_that_a_dead_daemon_held_are_done_once(
    rotated: Site, tmp_path: Path, failpoint: str
) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    legacy.add(range(41, 45))
    rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY"] = FORMER
    assert rotated.killed(failpoint)
    assert rotated.query("SELECT count(*) > 0 FROM store.work WHERE state = 'claimed'") == [(True,)]
    rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY"] = "a new key"
    rotated.run_once()
    rotated.assert_exactly_once(legacy.keys())
    assert rotated.query("SELECT count(*) FROM store.work") == [(44,)]
    assert rotated.query(VERSIONS) == [(2,)]


def test_doctor_tells_of_a_rotation_and_begins_none(rotated: Site) -> None:
    def told() -> list[str]:
        findings = json.loads(rotated.insights("doctor", "--json").stdout)
        return [found["what"] for found in findings if "hash_key" in found["what"]]

    assert told() == ["hash_key is new: the next `insights run` begins to rotate it"]
    assert rotated.query("SELECT count(*) FROM store.setting WHERE name ~ '^hash_key'") == [(1,)]
    assert rotated.killed("before-page-commit")
    assert told() == ["40 rows are still known by hash_key_former: keep it"]
    rotated.run_once()
    assert told() == ["no row needs hash_key_former any more"]


def test_a_crash_after_a_page_goes_on(rotated: Site) -> None:
    insights = rotated.query(INSIGHTS)
    assert rotated.killed("before-page-commit")
    assert rotated.killed("after-page-commit")
    rotated.run_once()
    assert rotated.query(INSIGHTS) == insights
    assert rotated.query(VERSIONS) == [(2,)]


def test_keys_that_do_not_fit_are_refused(rotated: Site) -> None:
    rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY_FORMER"] = "wrong"
    refused = rotated.insights("run", "--once", code=33)
    assert "hash_key_former" in refused.stdout + refused.stderr
    rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY_FORMER"] = FORMER
    assert rotated.killed("before-page-commit")
    rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY"] = "a third key"
    rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY_FORMER"] = "a new key"
    refused = rotated.insights("run", "--once", code=33)
    assert "has not ended: 40 rows" in refused.stdout + refused.stderr
    rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY"] = "a new key"
    del rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY_FORMER"]
    refused = rotated.insights("run", "--once", code=33)
    assert "40 rows" in refused.stdout + refused.stderr
    rotated.environment["INSIGHTS_CREDENTIAL_HASH_KEY"] = FORMER
    refused = rotated.insights("run", "--once", code=33)
    assert "left behind" in refused.stdout + refused.stderr


def test_a_daemon_that_runs_with_the_former_key_writes_no_more(store_url: str) -> None:
    store = Store(store_url).open()
    loading = Loading(store)
    assert loading.record(("a", "a")).new == 1
    queue = WorkQueue(store, "test", [loading.version], ttl_s=60, max_attempts=5)
    Registry(store).rotate("hash_key_check_2", "of another key")
    with pytest.raises(errors.Fenced, match="hash_key"):
        loading.record(("b", "b"))
    assert queue.claim([Share(loading.version, 10)]) == []
    store.close()


def test_an_embedded_store_makes_a_new_key_when_the_file_is_renamed(tmp_path: Path) -> None:
    key = environment.hash_key(tmp_path, embedded=True)
    assert environment.hash_key_former(tmp_path) is None
    (tmp_path / "hash_key").rename(tmp_path / "hash_key_former")
    assert environment.hash_key(tmp_path, embedded=True) != key
    assert environment.hash_key_former(tmp_path) == key
