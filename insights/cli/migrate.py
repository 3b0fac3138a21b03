"""`insights migrate`: bring the store to this program's schema, or print the SQL for a DBA."""

from contextlib import nullcontext
from typing import Annotated

import typer

from insights.cli import logins
from insights.cli.logins import PasswordStdin
from insights.cli.output import Json, emit_json, next_step, shown, stdout
from insights.site.files import load
from insights.wiring.adapters import client_of, derived_objects, store_url
from insights.wiring.commands import derive


def migrate(
    ctx: typer.Context,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the statements instead of running them")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(
            help="Log in as the owner by this URL; - reads it from stdin [default: store.url]",
            metavar="URL",
        ),
    ] = None,
    password_stdin: PasswordStdin = False,
    from_revision: Annotated[
        str, typer.Option("--from", help="With --sql: the revision the store is at")
    ] = "base",
    as_json: Json = False,
) -> None:
    """Create or upgrade the store's schema, then what depends on the settings.

    The daemon itself needs no right to do this: run it as the schema's owner, or hand a DBA what
    --sql prints.
    """
    from insights.store import migrate as door  # noqa: PLC0415 - Alembic, which nobody else needs

    settings = load(ctx.obj)
    if sql:
        print(door.offline_sql(from_revision))
        for thing in derived_objects(settings, None):
            for statement in thing.statements():
                print(statement.as_string(None) + ";\n")
        return
    named = url or (settings.store.url if password_stdin else None)
    login = named and logins.taken(named, "--url", "store", password_stdin=password_stdin)
    with nullcontext(login.revealed) if login else store_url(settings) as owner:
        door.upgrade(owner)
        made = derive(settings, owner)
    names = [f"{thing.schema}.{thing.name}" for thing in made]
    if as_json:
        emit_json({"schema": "current", "made": names})
    else:
        stdout.print("The store's schema is current.")
        for name in names:
            stdout.print(f"Made {shown(name)}.")
        if sinks := list(settings.sink):
            next_step("sink", "ddl", *sinks[-1:], then=client_of(settings, sinks[-1]))
        else:
            next_step("doctor")
