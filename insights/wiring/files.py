"""Files as a door: what the command `enrich` and watched folders send with."""

from collections.abc import Sequence

from insights import errors
from insights.doors.accepting import Doors
from insights.doors.sending import Sending, digest
from insights.service.daemon import Daemon
from insights.wiring.app import App
from insights.wiring.daemon import build


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


def worker(app: App, pipeline: str) -> Daemon:
    """Return a daemon that works off one pipeline's rows, once; no other's from now on."""
    found = {pipeline: app.settings.pipeline[pipeline]}
    app.settings = app.settings.model_copy(update={"pipeline": found})
    return build(app, ("enrich",), once=True)
