"""From settings to how a stream's marked rows are told."""

from insights.model import MarkChange, MarkSpec, StreamSpec
from insights.site.settings import MarkSettings, Settings


def marks(settings: Settings, stream: StreamSpec) -> MarkSpec | None:
    """Return how a stream's marked rows are told; None where they are not."""
    found = settings.stream[stream.name]
    first = found.acknowledge or found.reject
    if first is None:
        return None
    table = first.table or stream.table
    assert table is not None  # noqa: S101 - settings say so
    return MarkSpec(
        stream=stream.name,
        source=first.source,
        table=table,
        key=stream.key,
        schema=first.schema_ if first.table else first.schema_ or stream.schema,
        acknowledge=_change(found.acknowledge),
        reject=_change(found.reject),
    )


def _change(found: MarkSettings | None) -> MarkChange | None:
    if found is None:
        return None
    return MarkChange(column=found.column, old=found.from_, new=found.to)
