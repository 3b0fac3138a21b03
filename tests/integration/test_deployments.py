"""Versions and deployments: any number of pipelines on one stream, and no change regenerates."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from insights import errors
from insights.ground import environment
from insights.model import Bookmark, Page
from insights.store.deployments import Deployments
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.postgres import Store
from insights.store.work import WorkQueue
from tests.helpdesk import Helpdesk
from tests.site import PROMPT, Site

STREAM = 'table = "ticket"\nkey = ["ticket_id"]\ncursor = "updated_at"\noverlap = "0.5s"'
MADE = "SELECT count(*) FROM store.insight"
OPEN = "SELECT count(*) FROM store.work WHERE state = 'pending'"


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path) -> Site:
    """An installation with six tickets and a sink."""
    legacy = Helpdesk(tmp_path / "legacy.sqlite", 6)
    found = Site(tmp_path, store_url, legacy.odbc, stand_in, stream=STREAM).write()
    found.insights("migrate")
    return found


def legacy(site: Site) -> Helpdesk:
    return Helpdesk.of(site.folder / "legacy.sqlite")


def second_pipeline(site: Site, prompt: str) -> None:
    """Add a pipeline `tone` on the same stream, without a sink."""
    (site.folder / "tone.j2").write_text(prompt)
    (site.folder / "pipelines" / "tone.toml").write_text(
        'stream = "ticket"\nmodel = "stand_in"\nprompt = "../tone.j2"\nschema = "../schema.json"\n'
        "[sampling]\nmax_tokens = 40\n"
    )


def status(site: Site) -> dict[str, dict[str, Any]]:
    found = json.loads(site.insights("status", "--json").stdout)
    return {row["pipeline"]: row for row in found["pipelines"]}


def test_a_prompt_that_reads_one_more_column_regenerates_nothing(site: Site) -> None:
    site.run_once()
    told = site.query("SELECT row_id, revision, shows FROM store.outbox ORDER BY 1")
    site.prompt = PROMPT + "{{ row.updated_at }}\n"
    site.write()
    site.insights("migrate")
    counts = site.run_once()
    assert counts["insights"] == 0
    assert site.query(OPEN) == [(0,)]
    assert site.query("SELECT row_id, revision, shows FROM store.outbox ORDER BY 1") == told
    assert site.query(
        "SELECT count(DISTINCT hash_version), max(hash_version) FROM store.ledger"
    ) == [(1, 2)]
    assert site.query("SELECT columns, former_columns FROM store.stream") == [
        (["body", "subject", "updated_at"], None)
    ]
    legacy(site).execute("UPDATE ticket SET updated_at = '2026-02-01 00:00:00' WHERE ticket_id = 2")
    assert site.run_once()["insights"] == 1


def test_two_pipelines_follow_one_stream_and_each_minds_its_own_columns(site: Site) -> None:
    site.run_once()
    second_pipeline(site, "{{ row.subject }}\n")
    site.insights("migrate")
    assert site.run_once()["insights"] == 6  # the new one gets what is known already
    told = site.query("SELECT row_id, revision FROM store.outbox ORDER BY 1")
    legacy(site).execute(
        "UPDATE ticket SET body = 'only one reads this', updated_at = '2026-02-01' "
        "WHERE ticket_id = 3"
    )
    assert site.run_once()["insights"] == 1
    found = site.query(
        "SELECT pipeline, count(*) FROM insights.history WHERE row_key = '3' GROUP BY 1 ORDER BY 1"
    )
    assert found == [("tone", 1), ("triage", 2)]
    assert site.query("SELECT count(*) FROM insights.current WHERE stale") == [(0,)]
    now = site.query("SELECT row_id, revision FROM store.outbox ORDER BY 1")
    assert [one for one, two in zip(told, now, strict=True) if one != two] == [told[2]]
    columns = "ok + abstained + withheld + pending + dead + missing + gone + skipped"
    assert site.query(
        f"SELECT pipeline, rows_known, rows_known = {columns} FROM insights.completeness ORDER BY 1"
    ) == [("tone", 6, True), ("triage", 6, True)]


def test_a_prompt_rolled_back_while_rows_wait_strands_nothing(site: Site) -> None:
    site.run_once()
    site.prompt = PROMPT + "Be brief.\n"
    site.write()
    legacy(site).add(range(7, 12))
    site.insights("run", "--once", "--roles", "poll")  # the new version is live, its rows wait
    assert site.query(OPEN) == [(5,)]
    site.prompt = PROMPT
    site.write()
    refused = site.insights("run", "--once", code=78)
    assert "promote triage` makes the one here live" in refused.stderr
    assert status(site)["triage"]["pending"] == 5
    site.insights("promote", "triage", "--yes")
    assert site.run_once()["insights"] == 5
    site.assert_exactly_once(legacy(site).keys())
    versions = json.loads(site.insights("pipeline", "list", "--json").stdout)
    assert [(row["stage"], row["insights"]) for row in versions] == [("full", 11), ("retired", 0)]
    site.insights("rollback", "triage", "--yes")
    assert [row["stage"] for row in json.loads(
        site.insights("pipeline", "list", "--json").stdout
    )] == ["full", "retired"]  # fmt: skip
    assert site.query("SELECT count(*) FROM store.audit_event WHERE action = 'deployed'") == [(4,)]


def test_versions_are_shown_compared_and_told_when_they_were_live(site: Site) -> None:
    site.run_once()
    site.prompt = site.prompt.replace("{{ row.body }}", "{{ row.body | trim }}")
    site.write()
    before = json.loads(site.insights("pipeline", "diff", "triage", "--json").stdout)
    assert [change["what"] for change in before["changes"]] == ["prompt"]
    site.run_once()  # the files' version is live now: it is compared with the one before
    assert json.loads(site.insights("pipeline", "diff", "triage", "--json").stdout) == before
    told = site.insights("pipeline", "diff", "triage").stdout
    assert "    -{{ row.body }}" in told
    assert "    +{{ row.body | trim }}" in told
    old, new = before["before"], before["after"]
    back = json.loads(site.insights("pipeline", "diff", "triage", new, old[:8], "--json").stdout)
    assert (back["before"], back["after"]) == (new, old)
    shown = json.loads(site.insights("pipeline", "show", "triage", "--json").stdout)
    assert (shown["sha256"], shown["stage"]) == (new, "full")
    assert "{{ row.body }}" in site.insights("pipeline", "show", "triage", old[:8]).stdout
    refused = site.insights("pipeline", "show", "triage", "zz", code=78)
    assert "no versions of triage begin with 'zz'" in refused.stderr
    site.insights("rollback", "triage", "--yes")
    first, second, third = json.loads(
        site.insights("pipeline", "history", "triage", "--json").stdout
    )
    assert [one["pipeline_version"] for one in (first, second, third)] == [old, new, old]
    assert (first["insights"], second["insights"], third["insights"]) == (6, 0, 0)
    assert (first["until"], second["until"]) == (second["since"], third["since"])
    assert (third["until"], third["by"]) == (None, environment.user())


def test_backfill_says_what_it_costs_and_does_the_rest(site: Site) -> None:
    site.run_once()
    site.prompt = PROMPT + "Be brief.\n"
    site.write()
    assert site.run_once()["insights"] == 0
    told = site.insights("backfill", "triage", "--yes").stdout
    assert "6 rows; about" in told
    assert "6 rows are queued" in told
    assert site.run_once()["insights"] == 6
    assert "nothing to do" in site.insights("backfill", "triage", "--yes").stdout
    versions = site.query("SELECT DISTINCT pipeline_version FROM insights.current")
    assert len(versions) == 1


def test_a_host_that_polls_needs_neither_the_model_nor_a_pipeline(
    site: Site, tmp_path: Path
) -> None:
    other = Site(
        tmp_path / "poller", site.store_url, site.odbc, site.model, stream=STREAM, sink=False
    ).write()
    shutil.rmtree(other.folder / "pipelines")
    other.model = tmp_path / "nowhere.gguf"
    text = other.config.read_text().replace(str(site.model), str(other.model))
    other.config.write_text(text)
    refused = other.insights("run", "--once", "--roles", "poll", code=78)
    assert "no pipeline follows a stream" in refused.stderr
    site.run_once()
    legacy(site).add(range(7, 9))
    other.insights("run", "--once", "--roles", "poll")
    assert site.query(OPEN) == [(2,)]
    site.insights("run", "--once", "--roles", "enrich,publish")
    site.assert_exactly_once(legacy(site).keys())
    assert set(legacy(site).shown()) == set(range(1, 9))


def test_a_pipeline_that_cannot_be_read_stops_no_other(site: Site) -> None:
    second_pipeline(site, "{{ row.subject }}\n")
    site.insights("migrate")
    (site.folder / "tone.j2").write_text("{{ row.subject")
    done = site.insights("run", "--once", code=78)
    assert "tone.j2" in done.stderr
    site.assert_exactly_once(legacy(site).keys())


# --- the ledger by itself -----------------------------------------------------------------------


class Stream:
    """A stream of which two versions read `a`, and `a` and `b`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        deployments = Deployments(store)
        self.both = deployments.register(
            "both", "1" * 64, {}, stream="s", columns=("a", "b")
        ).version_id
        self.one = deployments.register("one", "2" * 64, {}, stream="s", columns=("a",)).version_id
        self.ledger = Ledger(store, "s", holder="test")
        lease = Leases(store, "test", ttl_s=60).take("stream s")
        assert lease is not None
        self.lease = lease

    def record(self, key: str, a: str, b: str) -> int:
        following = self.ledger.follow(self.lease)
        assert following.own == (("a",),)
        line = f"{key}\t{_hash(a + b)}\t1\t\\N\t{{{_hash(a)}}}\t\\N\n"
        page = Page(1, line.encode(), Bookmark(key=(key,)), complete=True, wide=True)
        return self.ledger.record(
            self.lease, following.stream_id, page, read_at=0.0, bookmark=False
        ).changed

    def work(self) -> list[tuple[int, str]]:
        with self.store.connection() as connection:
            return [
                (row.pipeline_version_id, row.state)
                for row in connection.execute(
                    "SELECT pipeline_version_id, state FROM store.work ORDER BY work_id"
                )
            ]


def _hash(text: str) -> str:
    return text.encode().hex().ljust(32, "0")


def test_only_the_version_that_reads_what_changed_gets_work(store_url: str) -> None:
    store = Store(store_url).open()
    stream = Stream(store)
    stream.record("k", "x", "y")
    assert stream.work() == [(stream.both, "pending"), (stream.one, "pending")]
    assert stream.record("k", "x", "z") == 1
    assert stream.work() == [
        (stream.both, "superseded"),
        (stream.one, "pending"),
        (stream.both, "pending"),
    ]
    assert stream.record("k", "x", "y") == 1
    assert sorted(stream.work()) == sorted(
        [(stream.both, "pending"), (stream.one, "pending"), (stream.both, "superseded")]
    )
    store.close()


def test_a_page_read_for_other_versions_is_not_recorded(store_url: str) -> None:
    store = Store(store_url).open()
    stream = Stream(store)
    stream.record("k", "x", "y")
    following = stream.ledger.follow(stream.lease)
    Deployments(store).register("one", "3" * 64, {}, stream="s", columns=("b",))
    page = Page(0, b"", None, complete=True)
    with pytest.raises(errors.Overloaded, match="deployed while"):
        stream.ledger.record(stream.lease, following.stream_id, page, read_at=0.0)
    stream.ledger.record(stream.lease, following.stream_id, page, read_at=0.0)
    assert (stream.one, "pending") not in stream.work()  # it waits for the live version now
    store.close()


def test_work_of_two_retired_versions_for_one_row_becomes_one(store_url: str) -> None:
    store = Store(store_url).open()
    deployments = Deployments(store)
    first, second, third = (
        deployments.register("p", digit * 64, {}, stream="s", columns=("a",)).version_id
        for digit in "123"
    )
    with store.connection() as connection:
        connection.execute(
            "INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version)"
            " SELECT stream_id, 'k', md5('a')::uuid, 1 FROM store.stream"
        )
        connection.execute(
            "INSERT INTO store.work (row_id, stream_id, input_hash, pipeline_version_id)"
            " SELECT row_id, stream_id, input_hash, version FROM store.ledger,"
            f" unnest(ARRAY[{first}, {second}]) AS version"
        )
    queue = WorkQueue(store, "test", [third], ttl_s=60, max_attempts=3)
    queue.expire()
    with store.connection() as connection:
        found = connection.execute(
            "SELECT pipeline_version_id, state FROM store.work ORDER BY work_id"
        ).fetchall()
    assert [tuple(row) for row in found] == [(first, "superseded"), (third, "pending")]
    store.close()
