"""The ready recipes of `insights init`: prompt, schema and limits, made for one table."""

import hashlib
import json
import re
import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from string import Template as Text
from typing import Any, NamedTuple

from insights import errors
from insights.model import TableProfile
from insights.site import candidates

_FOLDER = Path(__file__).parent / "templates"
_PROSE = 6.0  # mean words of a text from which on a quote has to have some
_LEAST = 3
_LONGEST = 40  # characters of a name that others are made of: indexes, sinks, views
# What every sink has beside the output's own columns (`sinks.ddl`).
_FIXED = frozenset(
    [
        "citations",
        "insight_id",
        "revision",
        "status",
        "source_cursor",
        "pipeline_version",
        "model",
        "generated_at",
    ]
)


class Recipe(NamedTuple):
    """What is made of a row: the files of a pipeline, and its limits."""

    name: str
    about: str
    prompt: str
    schema: str
    max_tokens: int
    abstain: tuple[str, ...]
    cut: tuple[str, ...]


def names() -> tuple[str, ...]:
    """Return the names of the recipes."""
    return tuple(_known())


def about(name: str) -> str:
    """Return what a recipe does, in a sentence."""
    return str(_known()[name]["about"])


def suited(table: TableProfile, hidden: Collection[str]) -> str:
    """Return the recipe that a table is offered first."""
    prose = candidates.texts(table, hidden)
    if not prose:
        return "review"
    words = {word for column in table.columns for word in candidates.tokens(column.name)}
    if words & {"asset", "equipment", "machine", "workorder", "maintenance"}:
        return "workorder"
    if table.column(prose[0]).words > 60:  # noqa: PLR2004 - long enough to be summed up
        return "summary"
    return "triage"


def made(
    name: str,
    table: TableProfile,
    shown: Sequence[str],
    text: str | None,
    *,
    key: Collection[str],
    knowledge: bool,
) -> Recipe:
    """Return a recipe made for a table.

    Args:
        name: Which one.
        table: The table.
        shown: The columns of the prompt.
        text: The column that quotes are taken from, if there is one.
        key: The key's columns: no output may be called like one.
        knowledge: Whether passages are shown and cited.

    Raises:
        errors.SettingsError: If there is no such recipe, or it needs text that the table lacks.
    """
    known = _known()
    if name not in known:
        raise errors.SettingsError(
            f"there is no recipe {name!r}", where="--recipe", fix="one of " + ", ".join(known)
        )
    settings = known[name]
    if text is None and settings.get("text", True):
        raise errors.SettingsError(
            f"the recipe {name} quotes from a text, and the table has no column of text",
            where="--recipe",
            fix="name the column with --text, or take --recipe review",
        )
    schema = json.loads(
        template(f"{name}.json").substitute(
            text=quoted(f"row.{text}"),
            least=_LEAST if text and table.column(text).words >= _PROSE else 1,
            columns=json.dumps([*map(_label, shown), "none of them"], ensure_ascii=False),
        )
    )
    if knowledge:
        more = json.loads(template("knowledge.json").substitute())
        schema["properties"] = {**more, **schema["properties"]}
        schema["required"] = list(schema["properties"])
    _rename(schema, {*map(str.casefold, key), *_FIXED})
    prompt = template("prompt.j2").substitute(
        task=settings["task"],
        and_passages=" and the passages; cite the passage that answers it" if knowledge else "",
        passages=template("passages.j2").substitute() if knowledge else "",
        columns="\n".join(map(prompt_line, shown)),
    )
    return Recipe(
        name=name,
        about=settings["about"],
        prompt=prompt + "\n",
        schema=json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        max_tokens=settings["max_tokens"] + (120 if knowledge else 0),
        abstain=("not enough information", *(("no passage answers",) if knowledge else ())),
        cut=() if text is None else (f"row.{text}",),
    )


def labelled(
    table: TableProfile, shown: Sequence[str], labels: Sequence[str], *, key: Collection[str]
) -> tuple[Recipe, dict[str, str]]:
    """Return a recipe that decides as people did, and which property says which column.

    Args:
        table: The table.
        shown: The columns of the prompt.
        labels: The columns that hold what people decided.
        key: The key's columns: no output may be called like one.
    """
    properties = {plain(column): column for column in labels}
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What people would decide",
        "type": "object",
        "properties": {
            name: {"enum": list(table.column(column).values)} for name, column in properties.items()
        },
        "required": list(properties),
        "additionalProperties": False,
    }
    _rename(schema, {*map(str.casefold, key), *_FIXED})
    what = ", ".join(map(_label, labels))
    prompt = template("labelled.j2").substitute(
        task=f"Choose the {what} of the last record as people did for records like it.",
        columns="\n".join(map(prompt_line, shown)),
    )
    made = Recipe(
        name="labels",
        about=f"Decides {what} as people did, who decided the rows that are nearest to it.",
        prompt=prompt,
        schema=json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        max_tokens=60 * len(labels),
        abstain=(),
        cut=("examples",),
    )
    return made, dict(zip(schema["properties"], labels, strict=True))


def plain(name: str) -> str:
    """Return a name as settings and sinks take it: small letters, digits, underscores."""
    made = re.sub(r"[^a-z0-9_]", "_", name.lower()).lstrip("_0123456789") or "t"
    if len(made) > _LONGEST:
        made = f"{made[:_LONGEST]}_{hashlib.blake2b(name.encode(), digest_size=3).hexdigest()}"
    return made


def prompt_line(column: str) -> str:
    """Return the prompt's line of a column, whatever it is called."""
    plain = column.isidentifier() and column.isascii() and not hasattr(dict, column)
    value = f"row.{column}" if plain else f"row[{quoted(column)}]"
    return f"{_label(column)}: {{{{ {value} }}}}"


def template(file: str) -> Text:
    """Return a template by its file's name."""
    return Text((_FOLDER / file).read_text(encoding="utf-8"))


def _known() -> dict[str, dict[str, Any]]:
    return tomllib.loads((_FOLDER / "recipes.toml").read_text(encoding="utf-8"))


def _label(column: str) -> str:
    return re.sub(r"[\s{}#%]+", " ", column).strip()


def quoted(value: str) -> str:
    """Return a text as TOML, JSON and Jinja write it: all take JSON's escapes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _rename(schema: dict[str, Any], taken: Collection[str]) -> None:
    """Call a property `ai_…` whose name is that of another column of the sink."""
    renamed = {
        name: f"ai_{name}" if name.casefold() in taken else name for name in schema["properties"]
    }
    schema["properties"] = {renamed[name]: part for name, part in schema["properties"].items()}
    schema["required"] = [renamed[name] for name in schema["required"]]
