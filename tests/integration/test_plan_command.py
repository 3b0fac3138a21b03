"""`insights plan` before anything is spent, and how right it was afterwards in `status`."""

import json
from pathlib import Path
from typing import Any

from tests.helpdesk import Helpdesk
from tests.site import Site

TARIFFS = """
[model.far]
url = "http://localhost:9/v1"
tariff = { prompt = 1.0, output = 2.0 }
"""


def planned(site: Site, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(site.insights("plan", "--json", *arguments).stdout)
    return found


def test_a_plan_is_within_a_fifth_of_what_is_then_spent_and_the_next_is_from_that(
    site: Site,
) -> None:
    site.extra = TARIFFS
    own, far = planned(site.write(), "--sample", "20")
    assert (own["model"], own["rows"], own["basis"]) == ("stand_in", 40, "a sample of 20 rows")
    assert own["seconds"] > 0
    assert (far["model"], far["seconds"], far["tokens"]) == ("far", None, own["tokens"])
    assert far["money"] > 0
    assert site.query("SELECT count(*) FROM store.insight")[0][0] == 0  # nothing was made
    site.run_once()
    (told,) = json.loads(site.insights("status", "--json").stdout)["plans"]
    assert told["done_rows"] == 40
    spent = site.query(
        "SELECT sum(prompt_tokens + sampled_tokens + forced_tokens) FROM store.insight"
    )[0][0]
    assert told["done_tokens"] == spent
    assert abs(own["tokens"] / spent - 1) < 0.2
    assert abs(told["off"]["tokens"]) < 0.2
    said = " ".join(site.insights("status").stdout.split())
    assert "plan for triage" in said
    assert "40 of them took, against the plan: tokens" in said
    site.query("UPDATE store.work SET state = 'pending', finished_at = NULL RETURNING 1")
    site.query(
        "INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, output,"
        " model, route, prompt_tokens, reused_tokens, sampled_tokens, forced_tokens, queue_ms,"
        " prompt_ms, decode_ms, compute_ms) SELECT 1, pipeline_version_id,"
        " gen_random_uuid(), 'ok', '{}', 'm', 'local', 70, 0, 20, 10, 0, 0, 0, 36.0"
        " FROM store.pipeline_version, generate_series(1, 1000) RETURNING 1"
    )
    (much,) = [one for one in planned(site, "triage") if one["own"]]
    assert much["basis"] == "its last 1,000 rows"
    assert (round(much["tokens"]), round(much["seconds"], 2)) == (4000, 1.44)


def test_a_sample_stands_for_rows_far_behind_the_first(site: Site, tmp_path: Path) -> None:
    """Work orders of which those behind the first thousand are longer: more is asked of them."""
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    legacy.add(range(41, 1_301))
    legacy.execute("DELETE FROM ticket WHERE ticket_id BETWEEN 200 AND 299")
    legacy.execute(
        "UPDATE ticket SET body = replace(hex(zeroblob(8)), '00', body || ' Stops under load. ')"
        " WHERE ticket_id > 1100"
    )
    (own,) = planned(site.write())
    assert (own["rows"], own["basis"]) == (1_200, "a sample of 38 rows")  # two fell into the gap
    site.run_once()
    (told,) = json.loads(site.insights("status", "--json").stdout)["plans"]
    assert told["done_rows"] == 1_200
    assert abs(told["off"]["tokens"]) < 0.2
