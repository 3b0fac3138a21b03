"""`insights init`: look at a table, write commented settings for it."""

import hashlib
import json
import re
from pathlib import Path
from string import Template as Text
from typing import Annotated

import typer

from insights import errors
from insights.cli.output import shown, stdout
from insights.ground.connections import without_password
from insights.model import TableShape
from insights.wiring.adapters import describe_table

_FOLDER = Path(__file__).parent
_CURSOR_NAMES = re.compile(
    r"(?i)^(updated|modified|changed|last_?(updated?|modified|changed?)|row_?version|ts)"
)
_MOMENT = re.compile(r"(?i)(_at|_on|date|time|stamp)$")
_TEXT_TYPES = re.compile(r"(?i)char|text|clob|string")
_PERSONAL = re.compile(r"(?i)name|mail|phone|address|street|birth|iban|card|ssn")


def init(
    ctx: typer.Context,
    odbc: Annotated[str, typer.Argument(help="ODBC connection string of the read replica")],
    table: Annotated[str, typer.Argument(help="The table to read, with its schema if needed")],
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="A GGUF file; its SHA-256 is written")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files")] = False,
) -> None:
    """Inspect a table and write a commented configuration for it.

    Writes insights.toml, pipelines/insight.toml, prompts/insight.j2 and schemas/insight.json beside
    the file that --config names. A password in the connection string is not written: it becomes a
    credential.
    """
    target: Path = ctx.obj
    shape = describe_table(odbc, table)
    name = re.sub(r"[^a-z0-9_]", "_", table.rpartition(".")[2].lower()).lstrip("_0123456789") or "t"
    safe, password = without_password(odbc, "source_password")
    files = {target.name: _settings(name, table, safe, shape, model)} | _pipeline(name, shape)
    for file in files:
        if (target.parent / file).exists() and not force:
            raise errors.SettingsError(
                "the file exists",
                where=str(target.parent / file),
                fix="--force, or another --config",
            )
    for file, content in files.items():
        path = target.parent / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        stdout.print(f"wrote {shown(path)}", highlight=False)
    if password:
        stdout.print(
            "The password was left out: give it as the credential [bold]source_password[/] "
            "(INSIGHTS_CREDENTIAL_SOURCE_PASSWORD, or LoadCredential= in the unit)."
        )
    if not shape.key:
        stdout.print("[yellow]The table has no primary key:[/] put a unique key into `key`.")
    stdout.print(
        "Next: insights migrate, insights doctor, insights sink ddl legacy, insights try KEY"
    )


def _settings(name: str, table: str, odbc: str, shape: TableShape, model: Path | None) -> str:
    schema, _, bare = table.rpartition(".")
    cursors = [column for column in shape.columns if _CURSOR_NAMES.match(column)]
    personal = [column for column in shape.columns if _PERSONAL.search(column)]
    digest = _sha256(model) if model else "0" * 64
    return _template("insights.toml").substitute(
        name=name,
        odbc=_text(odbc),
        table=_text(bare),
        schema=f"schema = {_text(schema)}\n" if schema else "",
        key=_array(shape.key or ("id",)),
        cursor=f"cursor = {_text(cursors[0])}" if cursors else '# cursor = "updated_at"',
        personal=_array(personal),
        columns="\n".join(
            f"#   {' '.join(column.split())}  {type_}" for column, type_ in shape.columns.items()
        ),
        model=_text(str(model.resolve()) if model else "/var/lib/insights/models/model.gguf"),
        sha256=digest,
    )


def _pipeline(name: str, shape: TableShape) -> dict[str, str]:
    texts = [
        column
        for column, type_ in shape.columns.items()
        if _TEXT_TYPES.search(type_)
        and not _PERSONAL.search(column)
        and not _MOMENT.search(column)  # a new stamp alone is no new content
        and column not in shape.key
    ]
    lines = "\n".join(_shown(column) for column in texts[:6])
    return {
        "pipelines/insight.toml": _template("pipeline.toml").substitute(name=name),
        "prompts/insight.j2": _template("prompt.j2").substitute(columns=lines),
        "schemas/insight.json": _template("schema.json").substitute(),
    }


def _template(file: str) -> Text:
    return Text((_FOLDER / "templates" / file).read_text(encoding="utf-8"))


def _array(names: tuple[str, ...] | list[str]) -> str:
    return "[" + ", ".join(map(_text, names)) + "]"


def _text(value: str) -> str:
    """Return a text as TOML and Jinja write it: both take JSON's escapes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _shown(column: str) -> str:
    """Return the prompt's line of a column, whatever it is called."""
    label = re.sub(r"[\s{}#%]+", " ", column).strip()
    plain = column.isidentifier() and column.isascii() and not hasattr(dict, column)
    return f"{label}: {{{{ {f'row.{column}' if plain else f'row[{_text(column)}]'} }}}}"


def _sha256(model: Path) -> str:
    try:
        with model.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise errors.ModelError("there is no such file", where=str(model)) from exc
