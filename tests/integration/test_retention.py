"""What is too old goes by itself, where the daemon's login may do that; and not else."""

from collections.abc import Iterator

import psycopg
import pytest

from insights import errors
from insights.store.postgres import Store
from insights.store.queries import folder
from insights.store.trail import Trail
from insights.wiring.app import open_app
from insights.wiring.forgetting import Retains
from tests import servers
from tests.auditing import fill
from tests.site import Site


def grants(name: str) -> str:
    return (folder("sql") / "grants" / f"{name}.sql").read_text(encoding="utf-8")


@pytest.fixture
def daemon(store_server: servers.Postgres, site: Site) -> Iterator[str]:
    """A login with the rights of a daemon on the site's store, and no more; its URL."""
    name = psycopg.conninfo.conninfo_to_dict(site.store_url)["dbname"]
    assert isinstance(name, str)
    store_server.execute("CREATE ROLE insights_daemon LOGIN PASSWORD 'only-in-tests'")
    store_server.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO insights_daemon")
    store_server.execute(grants("store_daemon"), database=name)
    yield psycopg.conninfo.make_conninfo(
        site.store_url, user="insights_daemon", password="only-in-tests"
    )
    for role in ("insights_daemon", "insights_retention"):
        store_server.execute(f"DROP OWNED BY {role}", database=name)
        store_server.execute(f"DROP ROLE {role}")


def test_what_is_too_old_goes_where_the_login_may(
    site: Site, daemon: str, store_server: servers.Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.extra = '[retention]\ndeleted_rows = "30d"\ninsights = "30d"\naudit = "1d"'
    site.write()
    for variable, value in site.env(INSIGHTS_STORE__URL=daemon).items():
        monkeypatch.setenv(variable, value)
    name = psycopg.conninfo.conninfo_to_dict(site.store_url)["dbname"]
    owner = Store(site.store_url).open()
    fill(owner, "daemon", 5)
    with owner.connection() as link:
        link.execute("INSERT INTO store.stream (name) VALUES ('ticket')")
        link.execute(
            "INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version, gone_at)"
            " SELECT 1, n, gen_random_uuid(), 1, now() - make_interval(days => n)"
            " FROM generate_series(21, 40) n"
        )
    with open_app(site.config, begin=True) as app:
        job = Retains(app)
        with pytest.raises(errors.StoreError, match="may not take anything away") as refused:
            job.run_once()
        assert "GRANT insights_retention TO insights_daemon" in refused.value.fix
        store_server.execute(grants("store_retention"), database=str(name))
        store_server.execute("GRANT insights_retention TO insights_daemon")
        with owner.connection() as link:
            link.execute(
                "UPDATE store.lease SET holder = 'another', token = gen_random_uuid(),"
                " expires_at = now() + interval '1 h' WHERE name = 'retention'"
            )
        assert not job.run_once()  # another daemon does it
        with owner.connection() as link:
            assert link.execute("SELECT count(*) FROM store.ledger").fetchone() == (20,)
            link.execute("UPDATE store.lease SET expires_at = now() WHERE name = 'retention'")
        job.batch = 6
        assert [job.run_once(), job.run_once()] == [True, False]
        assert not job.run_once()
        while job._forgetting.go_on():
            pass
    with owner.connection() as link:
        found = link.execute("SELECT count(*), max(row_key::int) FROM store.ledger").fetchone()
    assert found == (9, 29)  # 30 and older went
    assert Trail(owner).verify().findings == []
    owner.close()
