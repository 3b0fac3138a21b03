"""What a pipeline's files make of it: inputs, its version, the schema as everybody reads it."""

import json
from pathlib import Path

import pytest

from insights import errors
from insights.site import definitions, files
from insights.site.definitions import Definition

SETTINGS = """
[source.legacy]
odbc = "Driver=SQLite3;Database=x"
[stream.ticket]
source = "legacy"
table = "ticket"
key = ["id"]
cursor = "changed"
[stream.ticket.redact]
columns = ["customer"]
[collection.kb]
folder = "kb"
filters = { product = "text" }
[model.local]
path = "model.gguf"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
"""
PIPELINE = """
stream = "ticket"
model = "local"
prompt = "../triage.j2"
schema = "../triage.json"
[retrieval]
collections = ["kb"]
filters = { product = "device" }
"""
SCHEMA = {
    "$defs": {"Kind": {"enum": ["a", "b"]}},
    "properties": {"kind": {"$ref": "#/$defs/Kind"}},
    "required": ["kind"],
}


def read(
    folder: Path,
    *,
    settings: str = SETTINGS,
    prompt: str = "{{ row.body }}",
    schema: object = SCHEMA,
) -> tuple[Definition, str]:
    (folder / "pipelines").mkdir(exist_ok=True)
    (folder / "insights.toml").write_text(settings)
    (folder / "pipelines" / "triage.toml").write_text(PIPELINE)
    (folder / "triage.j2").write_text(prompt)
    (folder / "triage.json").write_text(json.dumps(schema))
    loaded = files.load(folder / "insights.toml")
    made = definitions.read(loaded, "triage")
    return made, definitions.version(loaded, made, "e")[0]


def test_columns_that_retrieval_filters_by_are_inputs_and_no_query(tmp_path: Path) -> None:
    made, _ = read(tmp_path)
    assert made.stream.inputs == ("body", "device")  # a change of either is a changed row
    assert made.query_columns == ("body",)
    assert made.stream.extra == ("customer",)


def test_a_reranker_is_a_part_of_the_version_and_pinned(tmp_path: Path) -> None:
    made, version = read(tmp_path)
    loaded = files.load(tmp_path / "insights.toml")
    one = definitions.version(loaded, made, "e", reranker_sha256="1" * 64)
    other = definitions.version(loaded, made, "e", reranker_sha256="2" * 64)
    assert len({version, one[0], other[0]}) == 3
    for setting in ('reranker = "/srv/judge"', 'path = "/srv/model"'):
        (tmp_path / "insights.toml").write_text(f"{SETTINGS}\n[embedding]\n{setting}\n")
        with pytest.raises(errors.SettingsError, match="a model's folder needs its"):
            files.load(tmp_path / "insights.toml")


def test_the_schema_is_in_normal_form_and_the_version_over_it_as_written(tmp_path: Path) -> None:
    made, version = read(tmp_path)
    assert made.output_schema["properties"] == {"kind": {"enum": ["a", "b"]}}
    plain = {"type": "object", "properties": {"kind": {"enum": ["a", "b"]}}, "required": ["kind"]}
    same, other = read(tmp_path, schema=plain)
    assert same.output_schema == made.output_schema
    assert other != version


def test_a_chat_template_of_the_settings_is_part_of_the_version(tmp_path: Path) -> None:
    _, version = read(tmp_path)
    _, named = read(tmp_path, settings=SETTINGS + 'chat_template = "gemma"\n')
    own = tmp_path / "own.jinja"
    own.write_text("one")
    _, one = read(tmp_path, settings=SETTINGS + 'chat_template = "own.jinja"\n')
    own.write_text("two")
    _, two = read(tmp_path, settings=SETTINGS + 'chat_template = "own.jinja"\n')
    assert len({version, named, one, two}) == 4


def test_a_quote_of_a_column_that_the_prompt_does_not_show_is_refused(tmp_path: Path) -> None:
    quote = {"type": "string", "x-quote": "row.device"}
    schema = {"properties": {"list": {"type": "array", "items": {
        "type": "object", "properties": {"q": quote}}}}}  # fmt: skip
    with pytest.raises(errors.SettingsError, match="'device', which the prompt does not show"):
        read(tmp_path, schema=schema)
