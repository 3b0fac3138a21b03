"""Daemons of one release on the schema of the next: taken where it only adds, refused where not."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from insights import errors
from insights.store import migrate, revision
from insights.store.postgres import Store
from insights.store.queries import folder
from tests.answering import answering
from tests.integration.test_former_release import AT
from tests.site import Site

NEXT = '''"""What the next release adds.

Revision: {number}
Previous: {down}
"""

from alembic import op

revision = "{number}"
down_revision = "{down}"
branch_labels = None
depends_on = None
{serves}

def upgrade() -> None:
    op.execute("ALTER TABLE store.daemon ADD of_the_next_release{number} text")


def downgrade() -> None:
    op.execute("ALTER TABLE store.daemon DROP of_the_next_release{number}")
'''
TRIGGER = (
    "CREATE TRIGGER t BEFORE INSERT ON store.stream"
    " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
)
# What a program that was written before may count on: each line is a promise.
KEPT = """
SELECT format('column %s.%s.%s %s', n.nspname, c.relname, a.attname,
              format_type(a.atttypid, a.atttypmod))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname IN ('store', 'insights') AND attnum > 0 AND NOT attisdropped
  AND relkind IN ('r', 'p', 'v', 'm')
UNION ALL
SELECT format('default of %s.%s %s', adrelid::regclass, attname, pg_get_expr(adbin, adrelid))
FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
WHERE adrelid::regclass::text LIKE 'store.%'
UNION ALL
SELECT format('key %s %s', conrelid::regclass, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'store'::regnamespace AND contype IN ('p', 'u')
UNION ALL
SELECT format('function %s %s %s', p.oid::regprocedure, prorettype::regtype, proretset)
FROM pg_proc p WHERE pronamespace IN ('store'::regnamespace, 'insights'::regnamespace)
"""
# What a program that was written before must not meet on a table that it knows.
NEW = """
SELECT conrelid::regclass::text,
       format('constraint on %s: %s', conrelid::regclass, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'store'::regnamespace AND conrelid <> 0
  AND contype <> 'n'
UNION ALL
SELECT attrelid::regclass::text,
       format('not null without a default: %s.%s', attrelid::regclass, attname)
FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
WHERE relnamespace = 'store'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0
  AND attnotnull AND NOT atthasdef AND attidentity = ''
UNION ALL
SELECT indrelid::regclass::text, format('unique index on %s: %s', indrelid::regclass,
       regexp_replace(pg_get_indexdef(indexrelid), 'INDEX \\w+', 'INDEX'))
FROM pg_index JOIN pg_class c ON c.oid = indrelid
WHERE relnamespace = 'store'::regnamespace AND indisunique
UNION ALL
SELECT tgrelid::regclass::text, format('trigger on %s: %s', tgrelid::regclass, tgname)
FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
WHERE relnamespace = 'store'::regnamespace AND NOT tgisinternal
"""


def _promises(url: str) -> tuple[set[str], dict[str, set[str]]]:
    """Return what a program of this schema counts on, and the burdens of each of its tables."""
    with psycopg.connect(url) as link:
        kept = {line for (line,) in link.execute(KEPT)}
        tables = link.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND relnamespace = 'store'::regnamespace"
        )
        burdens: dict[str, set[str]] = {table: set() for (table,) in tables}
        for table, line in link.execute(NEW):
            burdens[table].add(line)
    return kept, burdens


def _broken(before: tuple[set[str], dict[str, set[str]]], url: str) -> set[str]:
    """Return what a program of the schema before would miss or stumble over in this one."""
    kept, burdens = _promises(url)
    new = {
        line
        for table, lines in burdens.items()
        if table in before[1]
        for line in lines - before[1][table]
    }
    return (before[0] - kept) | new


def _says(number: str) -> str:
    """Return the oldest revision whose programs a revision says it serves."""
    (file,) = (folder("migrations") / "versions").glob(f"{number}_*.py")
    found = re.search(r'^serves = "(\w+)"$', file.read_text("utf-8"), re.MULTILINE)
    return found[1] if found else number


def test_a_schema_that_says_it_serves_a_former_program_only_adds_to_what_that_one_knows(
    empty_store_url: str,
) -> None:
    head = revision.known()[-1]
    serves = _says(head)
    migrate.upgrade(empty_store_url, serves)
    before = _promises(empty_store_url)
    migrate.upgrade(empty_store_url)
    assert _broken(before, empty_store_url) == set()
    # The statements of that program are planned too: copy them, see test_former_release.py.
    assert serves in (head, AT)
    with psycopg.connect(empty_store_url) as link:
        found = link.execute("SELECT serves, serves_at FROM public.insights_schema_version")
        assert found.fetchall() == [(serves, head)]


@pytest.mark.parametrize(
    ("ddl", "broken"),
    [
        ("ALTER TABLE store.daemon ADD more text; CREATE TABLE store.more (n int PRIMARY KEY)", ""),
        ("ALTER TABLE store.daemon ADD more int NOT NULL DEFAULT 0", ""),
        ("CREATE INDEX ON store.daemon (roles)", ""),
        ("ALTER TABLE store.daemon ADD more int NOT NULL", "not null without a default"),
        ("ALTER TABLE store.daemon DROP threads", "column store.daemon.threads"),
        ("ALTER TABLE store.daemon RENAME threads TO wires", "column store.daemon.threads"),
        ("ALTER TABLE store.plan ALTER rows TYPE numeric", "column store.plan.rows"),
        ("ALTER TABLE store.stream ALTER lag_s SET NOT NULL", "not null without a default"),
        ("ALTER TABLE store.work ALTER attempts DROP DEFAULT", "default of store.work.attempts"),
        ("ALTER TABLE store.stream ADD CHECK (lag_s < 9)", "constraint on store.stream"),
        ("CREATE UNIQUE INDEX ON store.stream (overlap_s)", "unique index on store.stream"),
        (TRIGGER, "trigger on store.stream"),
        (
            "ALTER FUNCTION store.append_events(text, jsonb) RENAME TO appended",
            "function store.append_events",
        ),
    ],
)
def test_what_a_former_program_would_stumble_over_is_found(
    store_url: str, ddl: str, broken: str
) -> None:
    before = _promises(store_url)
    with psycopg.connect(store_url) as link:
        link.execute(ddl.encode())
    found = _broken(before, store_url)
    assert bool(found) == bool(broken), found
    assert any(line.startswith(broken) for line in found) or not broken, found


@pytest.fixture
def the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what migrates a store as the release after the next one, or the ones after, would."""
    copied = tmp_path / "migrations"
    shutil.copytree(folder("migrations"), copied, ignore=shutil.ignore_patterns("__pycache__"))

    def migrated(url: str, *serving: str | None) -> None:
        down = revision.known()[-1]
        for at, serves in enumerate(serving, start=1):
            number = f"99{at:02}"
            text = NEXT.format(
                number=number, down=down, serves=f'serves = "{serves}"\n' if serves else ""
            )
            (copied / "versions" / f"{number}_next.py").write_text(text)
            down = number
        with monkeypatch.context() as patched:
            patched.setattr(migrate, "folder", lambda _: copied)
            migrate.upgrade(url)

    return migrated


def test_a_daemon_works_on_the_schema_of_the_next_release_that_serves_it(
    site: Site, the_next: Callable[..., None]
) -> None:
    head = revision.known()[-1]
    with answering(site) as daemon:
        daemon.until(lambda: daemon.status("/readyz") == 200)
        the_next(site.store_url, head)  # under a daemon that runs
        daemon.until(lambda: daemon.checks()["schema"]["says"].startswith("newer"))
        assert daemon.status("/readyz") == 200
    site.run_once()  # and it begins there
    assert site.query("SELECT count(*) FROM store.insight") == [(40,)]
    found = site.query("SELECT version_num, serves FROM public.insights_schema_version")
    assert found == [("9901", head)]
    assert "newer than this program's, and serves it" in site.insights("doctor", code=0).stdout
    refused = site.insights("migrate", code=33)
    assert "newer than this program" in refused.stderr


def test_a_schema_that_serves_no_former_program_is_refused_and_a_daemon_on_it_not_ready(
    site: Site, the_next: Callable[..., None]
) -> None:
    with answering(site) as daemon:
        daemon.until(lambda: daemon.status("/readyz") == 200)
        the_next(site.store_url, revision.known()[-1], None, "9902")  # 9902 says nothing: itself
        daemon.until(lambda: daemon.checks()["schema"]["status"] == "failed")
        assert daemon.status("/readyz") == 503
    refused = site.insights("run", "--once", code=33).stderr
    assert "serves programs from 9902 on" in refused


@pytest.mark.parametrize(
    ("version_num", "serves", "serves_at", "refused"),
    [
        ("9999", "{head}", "9999", ""),
        ("9999", "0001", "9999", ""),  # every program there was
        ("9999", "{head}", "{head}", "newer"),  # somebody migrated who did not say whom it serves
        ("9999", "9999", "9999", "newer than this program's {head}, and serves programs from 9999"),
        ("9999", None, None, "newer"),
        ("9999", "", "9999", "newer"),
        ("0019", "0001", "0019", "this program needs {head}"),  # behind is behind
    ],
)
def test_what_the_schema_says_decides_and_nothing_else(
    store_url: str, version_num: str, serves: str | None, serves_at: str | None, refused: str
) -> None:
    head = revision.known()[-1]
    values = [one and one.format(head=head) for one in (version_num, serves, serves_at)]
    with psycopg.connect(store_url) as link:
        link.execute(
            "UPDATE public.insights_schema_version SET version_num = %s, serves = %s,"
            " serves_at = %s",
            values,
        )
    store = Store(store_url).open()
    try:
        said = ""
        try:
            assert not revision.check(store)
        except errors.StoreError as exc:
            said = str(exc)
        assert refused.format(head=head) in said
        assert bool(said) == bool(refused)
    finally:
        store.close()
