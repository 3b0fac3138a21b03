"""A schema with a set and a condition, from the model through the store to view and sink."""

from tests.helpdesk import Helpdesk
from tests.site import Site

_TAGS = {
    "type": "array",
    "items": {"enum": ["pump", "valve", "pipe"]},
    "uniqueItems": True,
    "minItems": 1,
}
_CASES = {
    "if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]},
    "then": {"required": ["extra"]},
    "else": {"properties": {"extra": False}},
}


def test_what_is_generated_keeps_to_a_condition_and_names_nothing_twice(site: Site) -> None:
    site.schema["properties"] |= {
        "tags": _TAGS,
        "kind": {"enum": ["a", "b"]},
        "extra": {"type": "integer", "minimum": 1, "maximum": 3},
    }
    site.schema["required"] = [*site.schema["required"], "tags", "kind"]
    site.schema["allOf"] = [_CASES]
    site.write()
    settings = site.folder / "pipelines" / "triage.toml"
    settings.write_text(settings.read_text().replace("max_tokens = 40", "max_tokens = 200"))
    legacy = Helpdesk.of(site.folder / "legacy.sqlite")
    for column in ("tags TEXT", "kind TEXT", "extra INTEGER"):
        legacy.execute(f"ALTER TABLE ai_insight ADD COLUMN {column}")
    site.insights("migrate")
    site.run_once()
    seen = site.query("SELECT status, tags, kind, extra FROM insights.triage")
    assert {status for status, *_ in seen} == {"ok"}
    assert {kind for _, _, kind, _ in seen} == {"a", "b"}
    for _, tags, kind, extra in seen:
        assert len(tags) == len(set(tags)) > 0
        assert (extra is not None) == (kind == "a")
    told = {
        (tags, kind, extra)
        for tags, kind, extra in legacy.execute("SELECT tags, kind, extra FROM ai_insight")
    }
    assert told == {("; ".join(tags), kind, extra) for _, tags, kind, extra in seen}
