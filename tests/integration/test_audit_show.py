"""Each decision has its event, `audit show` tells it, and an insight that was changed is found."""

import json
import re
import uuid
from types import SimpleNamespace

import psycopg
import pytest

from insights.model import Claim, Generation, Insight, Verdict
from insights.store.insights import _decision
from insights.store.postgres import Store
from insights.store.trail import Trail
from tests.site import Site

SHA = re.compile(r"[0-9a-f]{64}")
WITHHOLD = """
UPDATE store.insight SET status = 'withheld', output = NULL, reason = 'mine' WHERE insight_id = %s
"""


def test_an_insight_tells_its_story_and_whether_it_was_changed(site: Site) -> None:
    site.write().run_once()
    ((number, key, status, output, version, input_hash),) = site.query(
        "SELECT i.insight_id, l.row_key, i.status, i.output, v.sha256, i.input_hash"
        " FROM store.insight i JOIN store.ledger l USING (row_id)"
        " JOIN store.pipeline_version v USING (pipeline_version_id)"
        " WHERE i.output IS NOT NULL ORDER BY 1 LIMIT 1"
    )
    ((told,),) = site.query(
        "SELECT details FROM store.audit_event WHERE action = 'insight' AND insight_id = %s", number
    )
    assert SHA.fullmatch(told["prompt"])
    assert SHA.fullmatch(told["output"])
    wanted = {"key": key, "version": version, "input": input_hash.hex, "status": status}
    assert told | wanted | {"stage": "full", "route": "local"} == told
    assert len(told["ms"]) == 3
    assert not [value for value in output.values() if f'"{value}"' in json.dumps(told)]
    # Other rows were asked other things: the hash is of the prompt.
    ((prompts,),) = site.query(
        "SELECT count(DISTINCT details ->> 'prompt') FROM store.audit_event"
        " WHERE action = 'insight'"
    )
    assert prompts > 20

    words = site.insights("audit", "show", str(number)).stdout
    for part in (key, version, told["prompt"], told["output"], "it stands as it was made"):
        assert part in words
    assert f"insight {number}, by test" in words
    store = Store(site.store_url).open()
    trail = Trail(store)
    assert trail.verify().findings == []
    with psycopg.connect(site.store_url, autocommit=True) as owner:
        for statement, what in (
            ("UPDATE store.insight SET output = '{}' WHERE insight_id = %s", "is not what was"),
            (WITHHOLD, "is not what was"),
            ("UPDATE store.insight SET reason = 'mine' WHERE insight_id = %s", "is not what was"),
            ("DELETE FROM store.insight WHERE insight_id = %s", "is gone"),
        ):
            with owner.transaction():
                owner.execute("DELETE FROM store.current_insight WHERE insight_id = %s", (number,))
                owner.execute("DELETE FROM store.citation WHERE insight_id = %s", (number,))
                owner.execute("DELETE FROM store.outbox WHERE insight_id = %s", (number,))
                owner.execute(statement, (number,))
            (found,) = trail.verify().findings
            assert (found.where, what in found.what) == (f"insight {number}", True), found
            story = trail.show(number)
            assert story is None or story.changed is True
    store.close()
    assert "there is no insight" in site.insights("audit", "show", "0", code=30).stderr


@pytest.mark.parametrize("asked", [True, False])
def test_an_event_has_what_was_shown_and_no_text(*, asked: bool) -> None:
    claim = Claim(1, 2, "t", "s", "k", b"", 1, 1, 1)
    generation = Generation(text="secret words", finish="stop", model="m", prompt_tokens=9)
    insight = Insight(
        claim=claim,
        verdict=Verdict(status="withheld", output=None, reason="secret reason"),
        generation=generation if asked else None,
        source_cursor="secret cursor",
        notes=("secret note",),
        prompt_sha256="ab" * 32 if asked else None,
        shown=((7, 0.123456), (3, 0.1)),
    )
    row = SimpleNamespace(
        shown_key="k",
        input_hash=uuid.UUID(int=5),
        version="cd" * 32,
        stage="canary",
        status="withheld",
        output_sha256=None,
        reason_sha256="ef" * 32,
    )
    told = _decision(row, insight)
    assert told["passages"] == [[7, 0.1235], [3, 0.1]]
    assert told["stage"] == "canary"
    assert ("prompt" in told, "model" in told, "ms" in told) == (asked, asked, asked)
    assert "output" not in told
    assert told["why"] == "ef" * 32
    assert "secret" not in json.dumps(told)
