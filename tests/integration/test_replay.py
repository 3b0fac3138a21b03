"""`insights replay`: an insight made again, or which of row, passages and version has changed."""

import json
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from insights import cli
from insights.cli import replay
from insights.model import Passage
from tests.helpdesk import Helpdesk
from tests.site import Site


def _run(site: Site, insight: int, *options: str) -> Result:
    # In this process: a command's imports take longer than what it does.
    command = ["-c", str(site.config), "replay", str(insight), *options]
    return CliRunner().invoke(cli.app, command)


def _replayed(site: Site, insight: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run(site, insight, "--json").stdout)
    return found


def test_an_insight_is_made_again_or_what_changed_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.run_once()
    for variable, value in site.env().items():
        monkeypatch.setenv(variable, value)
    ((number, key),) = site.query(
        "SELECT i.insight_id, l.row_key FROM store.insight i JOIN store.ledger l USING (row_id)"
        " WHERE i.output IS NOT NULL ORDER BY 1 LIMIT 1"
    )
    before = site.query("SELECT i::text FROM store.insight i ORDER BY 1")
    same = _replayed(site, number)
    assert (same["same"], same["changed"], same["differences"]) == (True, [], [])
    told = site.query(
        "SELECT c.actor, e.details ->> 'insight' FROM store.audit_event e"
        " JOIN store.audit_chain c USING (chain_id) WHERE e.action = 'row read'"
    )
    assert told == [("insights replay", str(number))]
    assert site.query("SELECT i::text FROM store.insight i ORDER BY 1") == before

    field = next(iter(site.schema["properties"]))
    with psycopg.connect(site.store_url) as owner:  # as if another outcome had been written
        owner.execute(
            "UPDATE store.insight SET output = output || jsonb_build_object(%s::text, 'x'::text)"
            " WHERE insight_id = %s",
            (field, number),
        )
    other = _replayed(site, number)
    assert (other["same"], other["changed"]) == (False, [])
    assert [(one["what"], one["before"]) for one in other["differences"]] == [
        (f"output.{field}", "x")
    ]

    legacy = Helpdesk.of(site.folder / "legacy.sqlite")
    legacy.execute("UPDATE ticket SET subject = 'Quite another one' WHERE ticket_id = ?", int(key))
    row = _replayed(site, number)
    assert (row["same"], [one["what"] for one in row["changed"]]) == (None, ["row"])
    legacy.execute("DELETE FROM ticket WHERE ticket_id = ?", int(key))
    assert "gone from the replica" in _run(site, number).stdout

    site.prompt += "One more line.\n"
    site.write()
    version = _replayed(site, number)
    assert [one["what"] for one in version["changed"]] == ["prompt"]
    assert "+One more line." in version["changed"][0]["lines"]
    assert "there is no insight 999999" in str(_run(site, 999_999).exception)


@pytest.mark.parametrize("found", [[7], [7, 9], [9, 8], []])
def test_other_passages_are_told_and_the_model_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, found: list[int]
) -> None:
    passages = tuple(Passage(id_, at, "uri", "title", "text") for at, id_ in enumerate(found, 1))
    monkeypatch.setattr(replay, "passages_for", lambda *_: [passages])
    monkeypatch.setattr(replay, "examples_for", lambda *_: [()])
    made = SimpleNamespace(made={"version": "v", "prompt": "p", "passages": [[8, 0.5], [9, 0.4]]})
    nobody: Any = None  # neither the model nor the store is asked
    outcome = replay._again(nobody, nobody, nobody, 1, made)
    (change,) = outcome.changed
    assert (outcome.same, change.what, change.before) == (None, "passages", "8, 9")
    assert change.after == (", ".join(map(str, found)) or None)
