"""A store restored from a `pg_dump`, beside a sink that is newer: nothing doubled, nothing lost."""

from pathlib import Path

from tests import servers
from tests.helpdesk import Helpdesk
from tests.site import Site

LATER = "2026-02-01 00:00:00"


def _told(legacy: Helpdesk) -> dict[int, tuple[object, ...]]:
    """Return what the legacy application sees, by ticket."""
    rows = legacy.execute("SELECT ticket_id, status, category, urgent FROM ai_insight")
    return {int(str(key)): tuple(rest) for key, *rest in rows}


def _current(site: Site) -> dict[int, tuple[object, ...]]:
    """Return the same from the store."""
    rows = site.query(
        "SELECT row_key, status, output ->> 'category', (output ->> 'urgent')::boolean::int"
        " FROM insights.current WHERE gone_at IS NULL"
    )
    return {int(key): tuple(rest) for key, *rest in rows}


def _works(site: Site, legacy: Helpdesk) -> tuple[int, int]:
    """Work everything off; return how many insights were made, and rows declared gone.

    A row is gone when two sweeps did not see it, on a replica that moved on in between.
    """
    made = site.run_once()
    legacy.execute("UPDATE ticket SET subject = subject WHERE ticket_id = 1")
    again = site.run_once()
    return made["insights"] + again["insights"], made["deleted"] + again["deleted"]


def test_a_backup_restored_beside_a_newer_sink_catches_up(
    site: Site, store_server: servers.Postgres, tmp_path: Path
) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    legacy.execute("DELETE FROM ticket WHERE ticket_id > 12")
    assert site.run_once()["insights"] == 12
    dump = store_server.folder / "backup.dump"
    programs = store_server.programs
    former = site.store_url.rpartition("/")[2]
    store_server.run(programs / "pg_dump", "-Fc", "-f", dump, "-d", site.store_url)
    # A day of work that the backup does not know: new, changed and deleted rows, all told.
    legacy.add(range(100, 105))
    legacy.execute(
        "UPDATE ticket SET body = 'It changed.', updated_at = ? WHERE ticket_id <= 3", LATER
    )
    legacy.execute("DELETE FROM ticket WHERE ticket_id = 12")
    legacy.execute("UPDATE ticket SET updated_at = '2026-02-01 00:00:01' WHERE ticket_id >= 100")
    assert _works(site, legacy) == (8, 1)
    newest = legacy.execute("SELECT max(revision) FROM ai_insight")[0][0]
    restored = f"{former}_restored"
    store_server.create_database(restored)
    site.store_url = store_server.url(restored)
    try:
        store_server.run(programs / "pg_restore", "-d", site.store_url, dump)
        # What was made since the backup is made once more: five new rows, three changed ones.
        assert _works(site, legacy) == (8, 1)
        site.assert_exactly_once(legacy.keys())
        shown = _told(legacy)
        assert {key for key, (status, *_) in shown.items() if status == "ok"} == set(
            map(int, legacy.keys())
        )
        current = _current(site)
        assert {key: shown[key] for key in current} == current
        assert 12 not in current
        assert shown.get(12, ("tombstoned",))[0] != "ok"
        # Revisions go on after what the sink has seen, so that it takes what comes.
        assert site.query("SELECT last_value > %s FROM store.revision", newest) == [(True,)]
        assert site.query("SELECT count(*) FROM store.outbox WHERE delivered_at IS NULL") == [(0,)]
    finally:
        store_server.drop_database(restored)
