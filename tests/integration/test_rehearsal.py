"""`insights doctor` believes in a pipeline once a made-up row went through its prompt and model."""

import json

from tests.site import Site


def _said(site: Site) -> list[tuple[str, str]]:
    found = json.loads(site.insights("doctor", "--json").stdout)
    return [
        (one["level"], one["what"])
        for one in found
        if one["place"] == "pipeline triage" and "made-up row" in one["what"]
    ]


def test_a_made_up_row_goes_through_prompt_schema_and_model(site: Site) -> None:
    ((level, what),) = _said(site)
    assert level == "ok"
    assert what.startswith("a made-up row went through its prompt: ")
    assert what.endswith(" s, ok")
    assert int(what.split(": ")[1].split()[0]) > 3
    assert site.query("SELECT count(*) FROM store.insight") == [(0,)]


def test_an_output_that_would_be_withheld_is_told(site: Site) -> None:
    site.schema["properties"]["story"] = {"type": "string", "minLength": 2000}
    site.schema["required"].append("story")
    site.sink = False  # its table has no such column
    site.write()
    site.insights("migrate")
    ((level, what),) = _said(site)
    assert level == "note"
    assert "withheld: the output reached max_tokens" in what
