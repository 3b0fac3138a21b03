"""The files that `insights init` writes: settings of a new site, or more for one there is."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from insights import errors
from insights.cli.recipes import Recipe, quoted, template
from insights.ground.environment import DEFAULT_CONFIG
from insights.model import TableProfile

_LONGEST_NAME = 60  # characters that PostgreSQL (63) and MariaDB (64) take, with some to spare


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """Labels of a table's own rows, by output property, and what tells that they came before."""

    labels: dict[str, str]
    text: tuple[str, ...]
    decided: str
    asked: str
    why: str


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen for one table. `odbc` and `writer` hold no password; a writer may be None."""

    name: str
    table: str
    schema: str
    source: str
    odbc: str
    writer: str | None
    key: tuple[str, ...]
    key_why: str
    cursor: str | None
    cursor_why: str
    sweep: str
    sweep_why: str
    personal: dict[str, str]
    accept_scan: bool
    model: Path
    sha256: str
    folder: Path | None
    sink_table: str
    examples: Decided | None = None


class Site(NamedTuple):
    """The settings file as it is: empty where there is none."""

    path: Path
    found: dict[str, dict[str, dict[str, object]]]

    def free(self, section: str, wanted: str) -> str:
        """Return a name that the section does not have yet."""
        taken, name, number = self.found.get(section, {}), wanted, 2
        while name in taken:
            name, number = f"{wanted}_{number}", number + 1
        return name

    def named(self, section: str, setting: str, value: object, *, but: str = "") -> str | None:
        """Return what in a section, but for one, has a setting of this value already."""
        for name, values in self.found.get(section, {}).items():
            if name != but and values.get(setting) == value:
                return name
        return None


_LATER = "# Where people decided such rows, they can be examples: init --labels, docs/knowledge.md."


def files(site: Site, made: Choices, table: TableProfile, recipe: Recipe) -> dict[Path, str]:
    """Return what is to be written: whole files, the settings with what they had before."""
    folder, name = site.path.parent, made.name
    text = site.path.read_text(encoding="utf-8") if site.found else _head(site.path)
    if made.source not in site.found.get("source", {}):
        text += _filled("source.toml", name=made.source, odbc=quoted(made.odbc))
    text += _filled(
        "stream.toml",
        columns="\n".join(f"#   {_told(c.name)}  {c.type}" for c in table.columns),
        name=name,
        source=quoted(made.source),
        schema=_schema(made.schema),
        table=quoted(made.table),
        key_why=_sentence(made.key_why),
        key=_array(made.key),
        cursor=f"# New rows: {made.cursor_why}.\n"
        + (f"cursor = {quoted(made.cursor)}" if made.cursor else '# cursor = "updated_at"'),
        sweep=made.sweep,
        sweep_why=made.sweep_why,
        extra=_extra(made),
        personal_why="\n".join(
            f"#   {_told(column)}: {why}" for column, why in made.personal.items()
        )
        or "# None was seen.",
        personal=_array(made.personal),
    )
    model = site.named("model", "sha256", made.sha256)
    if model is None:
        model = site.free("model", "default")
        text += _filled("model.toml", name=model, path=quoted(str(made.model)), sha256=made.sha256)
    collections = "# collections = []"
    if made.folder is not None:
        collection = site.named("collection", "folder", str(made.folder))
        if collection is None:
            collection = site.free("collection", "manuals")
            text += _filled("collection.toml", name=collection, folder=quoted(str(made.folder)))
        collections = f"collections = {_array((collection,))}"
    examples = _LATER
    if made.examples is not None:
        collection = site.free("collection", f"{name}_decided")
        text += _labelled(made, made.examples, collection)
        examples = _examples(made.examples, collection)
    source = made.source
    if made.writer is not None:
        source = site.named("source", "odbc", made.writer, but=made.source) or ""
        if not source:
            source = site.free("source", f"{made.source}_writer")
            note = (
                ", with a login of its own."
                if made.writer != made.odbc
                else (".\n# For a trial: the reader's login. Give it one of its own (sql/grants/).")
            )
            text += _filled("writer.toml", name=source, note=note, odbc=quoted(made.writer))
    text += _filled(
        "sink.toml",
        name=name,
        source=quoted(source),
        schema=_schema(made.schema),
        table=quoted(made.sink_table),
    )
    pipelines = site.found.get("pipelines_dir", "pipelines")
    pipeline = _filled(
        "pipeline.toml",
        about=recipe.about,
        stream=quoted(name),
        model=quoted(model),
        sink=quoted(name),
        prompt=quoted(f"../prompts/{name}.j2"),
        schema=quoted(f"../schemas/{name}.json"),
        abstain=_array(recipe.abstain),
        cut=_array(recipe.cut),
        collections=collections,
        examples=examples,
        max_tokens=recipe.max_tokens,
    )
    return {
        site.path: text.replace("\n\n\n", "\n\n"),
        folder / str(pipelines) / f"{name}.toml": pipeline,
        folder / "prompts" / f"{name}.j2": recipe.prompt,
        folder / "schemas" / f"{name}.json": recipe.schema,
    }


def sink_table(name: str) -> str:
    """Return what a stream's sink is called: a name that every engine takes."""
    whole = f"ai_insight_{name}"
    if len(whole) <= _LONGEST_NAME:
        return whole
    digest = hashlib.blake2b(whole.encode(), digest_size=3).hexdigest()
    return f"{whole[: _LONGEST_NAME - len(digest) - 1]}_{digest}"


def write(contents: dict[Path, str], *, replaced: Path, force: bool) -> None:
    """Write files; those that are there are kept, but for the settings, which only grow.

    Raises:
        errors.SettingsError: If a file is there, or cannot be written; nothing is written then.
    """
    for path in contents:
        if path.exists() and path != replaced and not force:
            raise errors.SettingsError(
                "the file exists", where=str(path), fix="--name another, or --force"
            )
    for path, content in contents.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            partial.write_text(content, encoding="utf-8")
            if path.exists():
                partial.chmod(path.stat().st_mode & 0o777)
            partial.replace(path)
        except OSError as exc:
            raise errors.SettingsError(
                f"cannot be written: {exc.strerror}",
                where=str(path),
                fix="name another place: insights --config ./insights/insights.toml init …",
            ) from None


def _labelled(made: Choices, found: Decided, collection: str) -> str:
    return _filled(
        "labelled.toml",
        name=collection,
        why=found.why,
        stream=quoted(made.name),
        text=_array(found.text),
        labels=_array(dict.fromkeys(found.labels.values())),
        time=quoted(found.decided),
    )


def _examples(found: Decided, collection: str) -> str:
    labels = ", ".join(f"{name} = {quoted(column)}" for name, column in found.labels.items())
    return _filled(
        "examples.toml",
        collection=quoted(collection),
        text=_array(found.text),
        labels=labels,
        time=quoted(found.asked),
    ).rstrip()


def _head(path: Path) -> str:
    state = "/var/lib/insights" if path.parent == DEFAULT_CONFIG.parent else "state"
    return _filled("insights.toml", state_dir=quoted(state))


def _extra(made: Choices) -> str:
    lines = []
    if made.accept_scan:
        lines.append(
            "# A page of this view scans it, and no index can help from here: accepted by init.\n"
            "accept_scan = true\n"
        )
    if set(made.key) & set(made.personal):
        lines.append(
            "# The key itself is personal: logs show only its keyed hash.\nkey_personal = true\n"
        )
    return "".join(lines)


def _schema(name: str) -> str:
    return f"schema = {quoted(name)}\n" if name else ""


def _filled(file: str, **values: object) -> str:
    return template(file).substitute(values)


def _told(name: str) -> str:
    """Return a name for a comment of TOML, which takes no control character."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(name.split()))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _array(names: object) -> str:
    return "[" + ", ".join(map(quoted, names)) + "]"  # type: ignore[call-overload]
