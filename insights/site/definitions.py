"""From settings to what rooms work with: specs, and the version of a pipeline. Reads files only."""

import hashlib
from pathlib import Path

import msgspec

from insights import errors
from insights.model import Json, MarkSpec, Sampling, SinkSpec, StreamSpec
from insights.site import calibrations
from insights.site.calibrations import Certificates
from insights.site.files import sensitive_stream
from insights.site.fitting import fit
from insights.site.marks import marks
from insights.site.redaction import names_model, redaction
from insights.site.settings import (
    NEAREST,
    CollectionSettings,
    PipelineSettings,
    Settings,
    StreamSettings,
)
from insights.steps.prompt import Template, json
from insights.steps.schema import columns, kind, made_normal, walk

_FILES = 100  # rows a page whose files the database digests in one statement


class Definition(msgspec.Struct, frozen=True):
    """A pipeline with its files read and checked.

    `output_schema` is in normal form; `written_schema` is as in its file, and in the version.
    `labels` maps output properties to the label columns of its examples.
    """

    name: str
    settings: PipelineSettings
    template: Template
    output_schema: Json
    written_schema: Json
    stream: StreamSpec
    sink: SinkSpec | None
    marks: MarkSpec | None
    labels: dict[str, str] = {}
    certificates: Certificates | None = None

    @property
    def pipeline(self) -> str:
        """The pipeline that it is a version of, by the name that the store knows."""
        return self.settings.version_of or self.name

    @property
    def example_columns(self) -> tuple[str, ...]:
        """The columns whose text labelled rows are compared with."""
        found = self.settings.examples
        return (found.columns if found else ()) or tuple(sorted(self.template.columns()))

    @property
    def query_columns(self) -> tuple[str, ...]:
        """The columns whose text is the retrieval query."""
        return self.settings.retrieval.columns or tuple(sorted(self.template.columns()))

    @property
    def sampling(self) -> Sampling:
        """How tokens are chosen."""
        return msgspec.convert(self.settings.sampling.model_dump(), Sampling)


def read(settings: Settings, name: str) -> Definition:
    """Read one pipeline's prompt and schema and bind them to its stream and sink.

    Raises:
        errors.SettingsError: If a file is missing or wrong, or the two do not fit.
    """
    pipeline = settings.pipeline[name]
    template, written = _template(pipeline), _schema(pipeline.schema_)
    schema = made_normal(written, str(pipeline.schema_))
    shown = template.columns()
    # What retrieval asks with decides the output as what is shown does: a change makes a new one.
    asked = {*pipeline.retrieval.columns, *pipeline.retrieval.filters.values()}
    if (found := pipeline.examples) is not None:
        asked |= {*found.columns, *found.filters.values(), *([found.time] if found.time else [])}
    if pipeline.baseline is not None:
        asked |= {*pipeline.baseline.columns.values()}
    if not shown | set(pipeline.retrieval.columns):
        raise errors.SettingsError(
            "the prompt uses no column of the row",
            where=str(pipeline.prompt),
            fix="write {{ row.<column> }} where the row's text belongs",
        )
    for field, part in walk(schema):
        quoted = str(part.get("x-quote", "")).removeprefix("row.")
        if quoted and quoted != "passages" and quoted not in shown:
            raise errors.SettingsError(
                f"{field} quotes the column {quoted!r}, which the prompt does not show",
                where=str(pipeline.schema_),
                fix=f"use one of {', '.join(sorted(shown))}",
            )
    stream = _stream(settings, pipeline.stream, _read(settings, pipeline.stream, shown | asked))
    if sensitive_stream(settings, pipeline):  # what its prompts show may not leave either
        stream = msgspec.structs.replace(stream, sensitive=True)
    if pipeline.sink is not None and settings.sink[pipeline.sink].restore:
        stream = msgspec.structs.replace(stream, restored=_restored(settings, pipeline, stream))
    labels = _labels(settings, pipeline, template, schema)
    fit(settings, name, schema, labels, polled=not stream.of_inbox)
    return Definition(
        name=name,
        settings=pipeline,
        template=template,
        output_schema=schema,
        written_schema=written,
        stream=stream,
        sink=_sink(settings, pipeline, stream, schema),
        marks=marks(settings, stream),
        labels=labels,
        certificates=calibrations.certificates(pipeline.confidence, schema),
    )


def version(
    settings: Settings,
    definition: Definition,
    embedding_sha256: str,
    *,
    reranker_sha256: str | None = None,
) -> tuple[str, Json]:
    """Return a pipeline's version and what it was taken over.

    The version is the SHA-256 of canonical JSON: template, output schema, retrieval, embedding and
    reranking model, generator, sampling, redaction. Not in it: hardware, speed, and the passages
    themselves.
    """
    pipeline = definition.settings
    facts: Json = {
        "template": definition.template.text,
        # As text: the order of properties decides what is written first, and canonical JSON sorts.
        "schema": msgspec.json.encode(definition.written_schema).decode(),
        "abstain": pipeline.abstain,
        "cut": pipeline.cut,
        "retrieval": pipeline.retrieval.model_dump(),
        "embedding": embedding_sha256 if pipeline.collections else None,
        # Only where there is one: versions made before it was part of them stay what they are.
        **({"reranker": reranker_sha256} if reranker_sha256 else {}),
        **generator(settings, pipeline.model),
        **({} if pipeline.larger is None else {"larger": generator(settings, pipeline.larger)}),
        **({} if pipeline.adapter is None else {"adapter": pipeline.adapter.decides}),
        **_examples(settings, definition),
        **({} if pipeline.min_support is None else {"min_support": pipeline.min_support}),
        **({"injection": told} if (told := pipeline.injection.decides) else {}),
        **({} if pipeline.baseline is None else {"baseline": pipeline.baseline.model_dump()}),
        "sampling": pipeline.sampling.model_dump(),
        "redaction": msgspec.to_builtins(definition.stream.redaction),
        **({"names": list(names.rules)} if (names := definition.stream.names) else {}),
        **_file(definition.stream),
    }
    if definition.certificates is not None:
        least, larger = definition.certificates.of(definition.name, _sha256(facts))
        facts["confidence"] = least
        if larger:
            facts["larger"]["confidence"] = larger
    canonical = msgspec.json.encode(facts, order="deterministic")
    return _sha256(facts), msgspec.json.decode(canonical)


def _sha256(facts: Json) -> str:
    return hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()


def knowledge_stream(settings: Settings, name: str) -> StreamSpec:
    """Return the stream of a collection: everything it uses is hashed, so that it is followed."""
    found = settings.collection[name]
    single = (found.title, found.time, found.attachment, found.attachment_name)
    used = {*found.text, *found.filters, *found.labels, *(name for name in single if name)}
    made = _stream(settings, str(found.stream), tuple(sorted(used)))
    if found.attachment in made.redaction.columns:
        raise errors.SettingsError(
            "a file is no personal value: it is redacted as a text",
            where=f"stream.{made.name}.redact.columns",
            fix=f"take {found.attachment} out of it",
        )
    return msgspec.structs.replace(made, **_attachment(found, made.page_rows))


def followed_stream(settings: Settings, name: str) -> StreamSpec:
    """Return a stream as polls know it: what its rows are read for, the deployed versions say."""
    return _stream(settings, name, ())


def _read(settings: Settings, stream: str, columns: set[str]) -> tuple[str, ...]:
    """Return the columns that a pipeline reads: where it asks for a file, the file's name too."""
    found = settings.stream[stream]
    if found.attachment in columns and found.attachment_name is not None:
        columns = {*columns, found.attachment_name}
    return tuple(sorted(columns))


def _attachment(found: StreamSettings | CollectionSettings, page_rows: int) -> Json:
    """Return which column holds a file, and how many rows a page has then."""
    if found.attachment is None:
        return {"attachment": None, "attachment_bytes": 0, "ocr_pages": 0, "page_rows": page_rows}
    return {
        "attachment": found.attachment,
        "attachment_bytes": found.attachment_mib * 1024**2,
        "ocr_pages": found.ocr_pages,
        "page_rows": min(page_rows, _FILES),
    }


def _file(stream: StreamSpec) -> Json:
    """Return what decides which file's text a prompt shows; of a prompt without one nothing."""
    if stream.attachment not in stream.inputs:
        return {}
    ocr = {"ocr_pages": stream.ocr_pages} if stream.ocr_pages else {}
    return {"attachment": {"column": stream.attachment, "bytes": stream.attachment_bytes, **ocr}}


def _restored(
    settings: Settings, pipeline: PipelineSettings, stream: StreamSpec
) -> tuple[str, ...]:
    """Return the kinds of placeholders that a pipeline's sink shows the values of."""
    policy = stream.redaction
    names = {name for name, _ in policy.patterns}
    known = {*policy.kinds, *names, *(column.casefold() for column in policy.columns)} - {"secret"}
    wanted = {kind.casefold() for kind in settings.sink[str(pipeline.sink)].restore}
    if unknown := sorted(wanted - known):
        raise errors.SettingsError(
            f"the stream {stream.name} has no kind {unknown[0]!r} that could be restored",
            where=f"sink.{pipeline.sink}.restore",
            fix=f"kinds: {', '.join(sorted(known)) or 'none'}",
        )
    return tuple(sorted(wanted))


def _stream(settings: Settings, name: str, inputs: tuple[str, ...]) -> StreamSpec:
    found = settings.stream[name]
    redacted = redaction(found.redact)
    if found.key_personal:  # what names a person in the key names it in the row's texts too
        columns = tuple(dict.fromkeys((*redacted.columns, *found.key)))
        redacted = msgspec.structs.replace(redacted, columns=columns)
    return StreamSpec(
        name=name,
        source=found.source,
        key=found.key,
        inputs=inputs,
        table=found.table,
        schema=found.schema_,
        query=found.query,
        where=found.where,
        cursor=found.cursor,
        pending=found.pending,
        extra=tuple(sorted(set(redacted.columns) - set(inputs))),
        redaction=redacted,
        names=names_model(settings, found.redact),
        grade=found.grade,
        start=found.start,
        overlap_s=found.overlap,
        longest_s=found.longest_transaction,
        time_zone=found.time_zone,
        poll_null_cursors=found.poll_null_cursors,
        max_text_chars=found.max_text_chars,
        rows_per_second=found.rows_per_second,
        accept_scan=found.accept_scan,
        key_personal=found.key_personal,
        sensitive=found.sensitive,
        weight=found.turns,
        **_attachment(found, min(found.page_rows, found.rows_per_second or found.page_rows)),
    )


def _template(pipeline: PipelineSettings) -> Template:
    """Return a pipeline's prompt; without one it shows what labelled rows are compared with."""
    if pipeline.prompt is not None:
        return Template(_text(pipeline.prompt), where=str(pipeline.prompt))
    columns = pipeline.examples.columns if pipeline.examples else ()
    return Template("\n".join(f"{{{{ row[{json(name)}] }}}}" for name in columns))


def _labels(
    settings: Settings, pipeline: PipelineSettings, template: Template, schema: Json
) -> dict[str, str]:
    """Return which label column says what of an output.

    Raises:
        errors.SettingsError: If examples are not shown, are not there, or cannot say it.
    """
    found, where = pipeline.examples, str(pipeline.prompt or pipeline.schema_)
    if found is None:
        if template.shows_examples:
            raise errors.SettingsError(
                "the prompt shows examples, and the pipeline has none",
                where=where,
                fix="add [examples], or take them out of the prompt",
            )
        return {}
    if pipeline.model != NEAREST and not template.shows_examples:
        raise errors.SettingsError(
            "the pipeline has examples, and its prompt shows none",
            where=where,
            fix="write {% for example in examples %} … {{ example.text }} {{ example.output }}",
        )
    known, parts = settings.collection[found.collection].labels, columns(schema)
    labels = found.labels or {name: name for name in known if name in parts}
    usable = sorted(name for name, part in parts.items() if kind(part) != "json")
    for name, column in labels.items():
        if name not in usable or column not in known:
            raise errors.SettingsError(
                f"{name} = {column!r} is no label of an output",
                where="examples.labels",
                fix=f"map one of {', '.join(usable)} to one of {', '.join(known)}",
            )
    if not labels:
        raise errors.SettingsError(
            "no label has the name of a property of the output",
            where="examples.labels",
            fix=f"map one of {', '.join(usable)} to one of {', '.join(known)}",
        )
    lacking = sorted(set(schema.get("required", ())) - labels.keys())
    if pipeline.model == NEAREST and lacking:
        raise errors.SettingsError(
            f"no label says {lacking[0]!r}, which the schema requires",
            where=str(pipeline.schema_),
            fix="ask for what labelled rows say, or name a model",
        )
    return labels


def _examples(settings: Settings, definition: Definition) -> Json:
    """Return what decides a pipeline's examples; of one without them nothing, as it was."""
    found = definition.settings.examples
    if found is None:
        return {}
    collection = settings.collection[found.collection]
    made = {"labels": definition.labels, "decided": collection.time, "text": collection.text}
    return {"examples": {**found.model_dump(), **made}}


def generator(settings: Settings, name: str) -> Json:
    """Return what writes a pipeline's outputs."""
    if name == NEAREST:
        return {"generator": NEAREST}
    model = settings.model[name]
    return {
        "generator": model.sha256 or {"url": model.url, "model": model.model},
        **_chat_template(settings, name),
    }


def _chat_template(settings: Settings, name: str) -> Json:
    """Return what the settings put in the place of the model's own chat template."""
    if (value := settings.model[name].chat_template) is None:
        return {}
    path = settings.resolve(Path(value))
    return {"chat_template": _text(path) if path.is_file() else value}


def _sink(
    settings: Settings, pipeline: PipelineSettings, stream: StreamSpec, schema: Json
) -> SinkSpec | None:
    if pipeline.sink is None or pipeline.version_of is not None:  # its pipeline's own files say it
        return None
    found = settings.sink[pipeline.sink]
    return SinkSpec(
        name=pipeline.sink,
        source=found.source,
        table=found.table,
        key=stream.key,
        output_schema=schema,
        schema=found.schema_,
        view=found.view,
        legacy_table=stream.table,
        legacy_schema=stream.schema,
        text=found.text,
        confidence=found.confidence,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise errors.SettingsError(
            f"the file cannot be read: {exc.__class__.__name__}", where=str(path)
        ) from exc


def _schema(path: Path) -> Json:
    try:
        return dict(msgspec.json.decode(_text(path), type=dict))
    except msgspec.DecodeError as exc:
        raise errors.SettingsError(f"not valid JSON: {exc}", where=str(path)) from exc
