"""The role `publish`: a job for each sink, and for each stream whose marked rows are told."""

from insights.publishing.marks import Acknowledging
from insights.publishing.sinks import Publishing
from insights.service.daemon import Job
from insights.store.outbox import SinkOutbox
from insights.wiring.adapters import open_marks, open_sink
from insights.wiring.app import App
from insights.wiring.polling import requests


def jobs(app: App) -> list[Job]:
    """Return the jobs."""
    made = app.definitions.values()
    marks = {one.marks.stream: one.marks for one in made if one.marks is not None}
    found: list[Job] = []
    for spec in (one.sink for one in made if one.sink is not None):
        sink = app.stack.enter_context(open_sink(app.settings, spec))
        app.sinks[f"sink {spec.name}"] = sink
        found.append(Publishing(spec.name, sink, SinkOutbox(app.store, app.leases, spec.name)))
    for stream, marked in marks.items():
        client = app.stack.enter_context(open_marks(app.settings, marked))
        app.sinks[f"marks of {stream}"] = client
        found.append(Acknowledging(stream, client, requests(app, marked)))
    return found
