"""What redaction finds is in neither store, log nor temporary file after a full run."""

from pathlib import Path

import psycopg
from psycopg import sql

from tests.helpdesk import Helpdesk
from tests.site import Site

PLANTED = ("zelda.quimby@planted.example", "DE89370400440532013000", "Quimbyville", "10.77.66.55")


def _everything(store_url: str) -> str:
    """Return every row of every table of the store as text."""
    with psycopg.connect(store_url) as link:
        tables = link.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'store'"
        ).fetchall()
        assert len(tables) > 10
        return "\n".join(
            str(row[0])
            for table in tables
            for row in link.execute(
                sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(*table))
            )
        )


def test_no_planted_value_is_left_anywhere(site: Site, tmp_path: Path) -> None:
    helpdesk = Helpdesk.of(tmp_path / "legacy.sqlite")
    helpdesk.execute("ALTER TABLE ticket ADD COLUMN requester VARCHAR(80) DEFAULT 'Quimbyville'")
    helpdesk.execute("UPDATE ticket SET body = ?", " ".join(PLANTED))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    site.sink = False
    site.stream += '\n[stream.ticket.redact]\ncolumns = ["requester"]'
    # A quote copies words of the row: were they not redacted, the output would hold them.
    site.schema = {
        "type": "object",
        "properties": {"quote": {"type": "string", "x-quote": "row.body"}},
        "required": ["quote"],
        "additionalProperties": False,
    }
    site.write()
    site.insights("migrate")
    done = site.insights(
        "run", "--once", env={"TMPDIR": str(temporary), "INSIGHTS_LOG__LEVEL": "debug"}
    )
    assert site.query("SELECT count(*) FROM store.insight WHERE status = 'ok'") == [(40,)]
    left = [_everything(site.store_url), done.stdout, done.stderr]
    for folder in (temporary, site.folder / "state"):
        left += [
            file.read_bytes().decode("latin-1") for file in folder.rglob("*") if file.is_file()
        ]
    assert [value for value in PLANTED for text in left if value in text] == []
    assert "<EMAIL_1>" in left[0]
