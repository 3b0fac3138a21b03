"""Files as a door: what the command `enrich` and watched folders send with."""

from collections.abc import Sequence

from insights import errors
from insights.doors.accepting import Doors
from insights.doors.checking import fields_of
from insights.doors.folder import FolderDoor, Place, Shape
from insights.doors.records import Layout
from insights.doors.sending import Sending, digest
from insights.doors.standing import Standing, standing
from insights.service.daemon import Job
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


def jobs(app: App, *, once: bool) -> list[Job]:
    """Return a job for each watched folder."""
    if not app.settings.door:
        return []
    door = doors.doors(app, app.holder)
    return [_job(app, door, name, once=once) for name in app.settings.door]


def standings(settings: Settings) -> list[Standing]:
    """Return how each watched folder stands, as it is seen from here."""
    return [standing(_place(settings, name)) for name in settings.door]


def _job(app: App, door: Doors, name: str, *, once: bool) -> FolderDoor:
    found = app.settings.door[name]
    client = f"door {name}"
    sending(app, door, found.pipeline, client, ())  # a pipeline that takes none is told at once
    stream = door.entrances[found.pipeline].stream
    layout = Layout(
        form=found.format,
        encoding=found.encoding,
        delimiter=found.delimiter,
        most=stream.max_text_chars,
    )
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
