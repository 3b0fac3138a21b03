"""Alembic's environment: run on a store, or offline to print the SQL for a DBA.

`config.attributes` holds one of `connection` (a SQLAlchemy connection) and `url` (a libpq URL);
offline mode needs neither. The version table lives in `public`, because revision 0001 makes and
drops the schemas of the store.
"""

from collections.abc import Collection

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import (
    ColumnElement,
    Connection,
    column,
    create_engine,
    literal_column,
    make_url,
    table,
    text,
    update,
)
from sqlalchemy.pool import NullPool

VERSION_TABLE = "insights_schema_version"
LOCK_TIMEOUT = "5s"
# Two hosts that migrate at once take turns; the number is "insights" read as a big-endian integer.
MIGRATION_LOCK = int.from_bytes(b"insights")
SERVES_FROM = "0023"  # the first schema that says whom it serves
VERSIONS = table(
    VERSION_TABLE, *map(column, ("version_num", "serves", "serves_at")), schema="public"
)


def say_whom_it_serves(
    ctx: MigrationContext,
    step: object,  # noqa: ARG001 - Alembic passes it
    heads: Collection[str],
    run_args: object,  # noqa: ARG001 - the same
) -> None:
    """Record, in the transaction of each migration, the oldest program that its schema serves.

    A migration that says nothing serves the program that it came with and no other.
    """
    for revision in heads:
        if revision >= SERVES_FROM:
            script = context.script.get_revision(revision)
            serves = getattr(script and script.module, "serves", revision)
            # Printed for a DBA: nothing is bound.
            oldest: ColumnElement[str] = literal_column(f"'{serves}'")
            ctx.execute(update(VERSIONS).values(serves=oldest, serves_at=VERSIONS.c.version_num))


def online(connection: Connection) -> None:
    """Run each migration in a transaction of its own that waits only briefly for locks."""
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
    # lock_timeout comes after: waiting for another migrate is no error, blocking the daemon is.
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.commit()
    context.configure(
        connection=connection,
        version_table=VERSION_TABLE,
        version_table_schema="public",
        transaction_per_migration=True,
        on_version_apply=say_whom_it_serves,
    )
    try:
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})
        connection.execute(text("RESET lock_timeout"))
        connection.commit()


def offline() -> None:
    """Print the SQL for a DBA."""
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        version_table=VERSION_TABLE,
        version_table_schema="public",
        transaction_per_migration=True,
        on_version_apply=say_whom_it_serves,
        output_buffer=context.config.output_buffer,
    )
    context.get_context().impl.static_output(f"SET lock_timeout = '{LOCK_TIMEOUT}';")
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    offline()
elif (given := context.config.attributes.get("connection")) is not None:
    online(given)
else:
    url = make_url(context.config.attributes["url"]).set(drivername="postgresql+psycopg")
    with create_engine(url, poolclass=NullPool).connect() as opened:
        online(opened)
