"""What a pipeline's files make of it: inputs, its version, the schema as everybody reads it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from insights import errors
from insights.site import definitions, files
from insights.site.definitions import Definition
from insights.site.former import former
from insights.site.versions import Version

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
    pipeline: str = "",
) -> tuple[Definition, str]:
    (folder / "pipelines").mkdir(exist_ok=True)
    (folder / "insights.toml").write_text(settings)
    (folder / "pipelines" / "triage.toml").write_text(PIPELINE + pipeline)
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


ADAPTER = f"""
[adapter]
path = "../triage.lora.gguf"
sha256 = "{"1" * 64}"
"""


def test_an_adapter_is_part_of_the_version_by_its_hash_and_scale(tmp_path: Path) -> None:
    bare, version = read(tmp_path)
    loaded = files.load(tmp_path / "insights.toml")
    assert "adapter" not in definitions.version(loaded, bare, "e")[1]  # as before there were any
    made, one = read(tmp_path, pipeline=ADAPTER)
    assert made.settings.adapter is not None
    assert made.settings.adapter.path == tmp_path / "triage.lora.gguf"  # from the pipeline's file
    _, moved = read(tmp_path, pipeline=ADAPTER.replace("triage.lora", "other"))
    _, other = read(tmp_path, pipeline=ADAPTER.replace("1" * 64, "2" * 64))
    _, softer = read(tmp_path, pipeline=ADAPTER + "scale = 0.5\n")
    assert moved == one
    assert len({version, one, other, softer}) == 4


@pytest.mark.parametrize(
    ("settings", "pipeline", "said"),
    [
        (
            SETTINGS.partition("[model.local]")[0]
            + '[model.local]\nurl = "https://gpu1:8000/v1"\nmodel = "m"\n',
            ADAPTER,
            "beside a model that is a file",
        ),
        (SETTINGS, ADAPTER.replace("1" * 64, "1" * 63), "should match pattern"),
        (SETTINGS, ADAPTER.partition("sha256")[0], "required"),
        (SETTINGS, ADAPTER + "scale = 0\n", "greater than 0"),
    ],
)
def test_an_adapter_that_cannot_be_is_refused(
    tmp_path: Path, settings: str, pipeline: str, said: str
) -> None:
    with pytest.raises(errors.SettingsError, match=said):
        read(tmp_path, settings=settings, pipeline=pipeline)


def test_a_former_version_is_made_under_its_own_adapter_or_refused(tmp_path: Path) -> None:
    def version_now() -> Version:
        sha256, facts = definitions.version(loaded, made, "e")
        return Version(sha256, "retired", datetime.now(UTC), facts)

    made, _ = read(tmp_path, pipeline=ADAPTER + "scale = 0.5\n")
    loaded = files.load(tmp_path / "insights.toml")
    adapted = version_now()
    made, _ = read(tmp_path)
    loaded = files.load(tmp_path / "insights.toml")
    bare, facts = version_now(), definitions.version(loaded, made, "e")[1]
    assert former(loaded, made, facts, bare)[0].settings.adapter is None
    with pytest.raises(errors.SettingsError, match="its adapter is not here: 1111"):
        former(loaded, made, facts, adapted)
    made, _ = read(tmp_path, pipeline=ADAPTER)  # at another scale, by now
    loaded = files.load(tmp_path / "insights.toml")
    facts = definitions.version(loaded, made, "e")[1]
    found = former(loaded, made, facts, adapted)[0].settings.adapter
    assert found is not None
    assert (found.sha256, found.scale) == ("1" * 64, 0.5)
    assert former(loaded, made, facts, bare)[0].settings.adapter is None
