"""The door to Alembic: bring a store's schema up to this program's, print the SQL, compare.

Only the `migrate` command imports this module; the daemon compares revisions with plain SQL
(`insights.store.revision`).
"""

import io
import re

import alembic.command
import alembic.config
import alembic.util
import psycopg

from insights import errors
from insights.store.postgres import translate
from insights.store.queries import folder
from insights.store.revision import known

_UNKNOWN = re.compile(r"Can't locate revision identified by '(\w+)'")
_OLDEST = 15  # records by which rules of sorting a database was made


def _config(output: io.StringIO | None = None) -> alembic.config.Config:
    config = alembic.config.Config(output_buffer=output)
    config.set_main_option("script_location", str(folder("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade the store that `url` names, as the schema's owner.

    Raises:
        errors.StoreError: If pgvector is missing, a lock is held, a right is lacking, or the schema
            is a newer program's.
    """
    config = _config()
    config.attributes["url"] = url
    _require_server(url)
    try:
        alembic.command.upgrade(config, revision)
    except alembic.util.CommandError as exc:
        if (unknown := _UNKNOWN.search(str(exc))) is None:
            raise
        raise errors.StoreError(
            f"the store's schema is at revision {unknown[1]}, newer than this program's "
            f"{known()[-1]}",
            where="store",
            fix="nothing is to be done here; the release that made it migrates it",
        ) from exc
    except Exception as exc:
        cause: BaseException | None = exc
        while cause is not None and not isinstance(cause, psycopg.Error):
            cause = cause.__cause__
        if cause is None:
            raise
        raise translate(cause) from exc


def downgrade(url: str, revision: str) -> None:
    """Downgrade the store to `revision` (`base` drops everything)."""
    config = _config()
    config.attributes["url"] = url
    alembic.command.downgrade(config, revision)


def offline_sql(from_revision: str = "base") -> str:
    """Return the SQL that brings a store from `from_revision` to this program's, for a DBA."""
    output = io.StringIO()
    alembic.command.upgrade(_config(output), f"{from_revision}:head", sql=True)
    return output.getvalue()


def _require_server(url: str) -> None:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
            ).fetchone()
            version = connection.info.server_version // 10_000
    except psycopg.Error as exc:
        raise translate(exc) from exc
    if version < _OLDEST:
        raise errors.StoreError(
            f"the server is PostgreSQL {version}",
            where="store.url",
            fix=f"use PostgreSQL {_OLDEST} or newer",
        )
    if found is None:
        raise errors.StoreError(
            "the PostgreSQL server has no pgvector",
            where="store.url",
            fix="install it on the server (Debian: postgresql-NN-pgvector)",
        )
