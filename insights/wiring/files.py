"""Files as a door: what the command `enrich` and watched folders send with."""

from collections.abc import Sequence

import msgspec

from insights import errors
from insights.doors import results
from insights.doors.accepting import Doors
from insights.doors.checking import fields_of
from insights.doors.folder import FolderDoor, Place, Shape
from insights.doors.layouts import Column, Layout
from insights.doors.sending import Sending, digest
from insights.doors.standing import Standing, standing
from insights.model import StreamSpec
from insights.site.doors import DoorSettings
from insights.site.settings import Settings
from insights.wiring import doors
from insights.wiring.app import App


def sending(app: App, door: Doors, pipeline: str, client: str, parts: Sequence[bytes]) -> Sending:
    """Return what sends one file; `parts` are what it is known by, none if by its rows alone.

    Raises:
        errors.SettingsError: If nothing can be sent to the pipeline.
    """
    made = app.definition(pipeline)
    if pipeline not in door.entrances:
        raise errors.SettingsError(
            f"its stream {made.stream.name!r} is polled: nothing can be sent to it",
            where=f"pipeline {pipeline}",
            fix='let it follow a stream with source = "inbox"',
        )
    named = digest(app.hash_keys.key, *parts) if parts else None
    return Sending(door, pipeline, client=client, digest=named)


def output(app: App, pipeline: str) -> tuple[str, ...]:
    """Return the fields of a pipeline's output, in its schema's order."""
    return tuple(app.definition(pipeline).written_schema.get("properties", {}))


def jobs(app: App, *, once: bool) -> list[FolderDoor]:
    """Return a job for each watched folder."""
    if not app.settings.door:
        return []
    door = doors.doors(app, app.holder)
    return [_job(app, door, name, once=once) for name in app.settings.door]


def standings(settings: Settings) -> list[Standing]:
    """Return how each watched folder stands, as it is seen from here."""
    return [standing(_place(settings, name)) for name in settings.door]


def layout_of(found: DoorSettings) -> Layout:
    """Return how files of a folder are written, as its settings say."""
    return Layout(
        form=found.format,
        encoding=found.encoding,
        delimiter=found.delimiter,
        record=found.record or "",
        fields=found.fields,
        columns=tuple(Column(one.name, one.width, one.at) for one in found.columns),
        unit=found.unit,
        result=tuple(Column(one.name, one.width) for one in found.result),
    )


def checked_layout(app: App, pipeline: str, layout: Layout, stream: StreamSpec) -> Layout:
    """Return a layout with the stream's limit, once it names what the pipeline takes and makes.

    Raises:
        errors.SettingsError: If `fields` or `columns` leave a field out or name another, or if
            `result` names what no outcome has.
    """
    wanted = fields_of(stream)
    where = f"door of the pipeline {pipeline}"
    named = tuple(layout.fields) or tuple(one.name for one in layout.columns)
    fix = f"fields or columns name {', '.join(wanted)}"
    if named and (missing := [name for name in wanted if name not in named]):
        raise errors.SettingsError(f"nothing says where {missing[0]!r} is", where=where, fix=fix)
    if extra := [name for name in named if name not in wanted]:
        raise errors.SettingsError(f"there is no field {extra[0]!r}", where=where, fix=fix)
    made = results.names(stream.key, output(app, pipeline))
    if unknown := [one.name for one in layout.result if one.name not in made]:
        raise errors.SettingsError(
            f"an outcome has no {unknown[0]!r}", where=where, fix=f"result: {', '.join(made)}"
        )
    return msgspec.structs.replace(layout, most=stream.max_text_chars)


def _job(app: App, door: Doors, name: str, *, once: bool) -> FolderDoor:
    found = app.settings.door[name]
    client = f"door {name}"
    sending(app, door, found.pipeline, client, ())  # a pipeline that takes none is told at once
    stream = door.entrances[found.pipeline].stream
    layout = checked_layout(app, found.pipeline, layout_of(found), stream)
    shape = Shape(layout, stream.key, fields_of(stream), output(app, found.pipeline))

    def made(parts: Sequence[bytes]) -> Sending:
        return sending(app, door, found.pipeline, client, parts)

    return FolderDoor(_place(app.settings, name), shape, made, once=once)


def _place(settings: Settings, name: str) -> Place:
    found = settings.door[name]
    folder = settings.resolve(found.folder)
    return Place(
        name=name,
        folder=folder,
        pattern=found.pattern,
        complete=found.complete,
        still_s=found.still,
        marker=found.marker,
        every_s=found.every,
        out=folder / found.out,
        done=folder / found.done,
        failed=folder / found.failed,
    )
