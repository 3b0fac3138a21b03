"""A request that was answered before is answered by that generation, where its pipeline reuses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from insights.model import Citation, Claim, Insight, Share, Span, Verdict
from insights.store.insights import InsightStore
from insights.store.postgres import Store
from insights.store.reuse import FormerGenerations
from tests import claiming
from tests.claiming import finished, queue
from tests.forgetting import OTHERS, ZELDA, persons, say
from tests.site import Site

SAME = "nothing to complain"
LATER = ("nils.ahlgren", "ruta.petrauskaite")
ASKED = bytes(range(32))
MADE = (
    "SELECT l.row_key, i.reused_from, i.insight_id, i.prompt_tokens, i.shared, i.output, i.status"
    " FROM store.insight i JOIN store.ledger l USING (row_id) ORDER BY i.insight_id"
)


def made(site: Site, *names: str) -> dict[str, Any]:
    return {row[0]: row[1:] for row in site.query(MADE) if row[0] in names}


def test_what_was_asked_before_asks_no_model_and_says_whose_it_is(
    site: Site, tmp_path: Path
) -> None:
    site.pipeline = 'reuse = "30d"\n'
    desk = persons(site, tmp_path)
    site.run_once()
    first = made(site, *OTHERS)
    assert {row[0] for row in first.values()} == {None}
    for name in LATER:
        say(desk, name, SAME, "2026-01-02 00:00:00")
    site.run_once()
    later, origins = made(site, *LATER), {row[1]: row for row in first.values()}
    for origin, number, tokens, shared, output, status in later.values():
        assert (tokens, shared, status) == (None, True, "ok")
        assert output == origins[origin][4]
        ((told,),) = site.query(
            "SELECT details FROM store.audit_event WHERE action = 'insight' AND insight_id = %s",
            number,
        )
        assert (told["reused"], told["tokens"]) == (origin, [0, 0])
    assert f"the generation of insight {origin}" in (
        site.insights("audit", "show", str(number)).stdout.replace("\n", " ")
    )
    assert json.loads(site.insights("replay", str(number), "--json").stdout)["same"]
    # The quote stands where it stood, in the row's own text, and in the sink.
    assert site.query(
        "SELECT count(DISTINCT (quote, quote_start, quote_end, field, source)), count(*)"
        " FROM store.citation c JOIN store.insight i USING (insight_id)"
        " JOIN store.ledger l USING (row_id) WHERE quote_start IS NOT NULL AND l.row_key <> %s",
        ZELDA,
    ) == [(1, len(OTHERS) + len(LATER))]
    assert desk.execute(
        "SELECT count(DISTINCT quote), count(*) FROM ai_insight WHERE login <> ?", ZELDA
    ) == [(1, len(OTHERS) + len(LATER))]

    # Who reused it keeps what is of the same words; nobody reuses it any more.
    with psycopg.connect(site.store_url, autocommit=True) as owner:
        for name in OTHERS:
            owner.execute("SELECT store.forget('ticket', %s, '{}')", (name,))
    say(desk, "jana.kovac", SAME, "2026-01-03 00:00:00")
    site.run_once()
    assert made(site, *LATER) == later
    assert made(site, *OTHERS) == {}
    assert made(site, "jana.kovac")["jana.kovac"][0] is None
    assert site.insights("audit", "verify").returncode == 0


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    claiming.fill(store_url, 6, 2)
    opened = Store(store_url).open()
    yield opened
    opened.close()


def claims(store: Store, version: int = 1) -> list[Claim]:
    return queue(store, "d", [version]).claim([Share(pipeline_version_id=version, rows=6)])


def write(store: Store, *insights: Insight) -> None:
    assert InsightStore(store, "d").write(insights) == len(insights)


def quoting(claim: Claim) -> Insight:
    verdict = Verdict(
        status="ok",
        output={"b": 1.5, "a": "dark"},
        citations=(
            Citation(field="/a", source="row.body", quote="dark", start=3, end=7),
            Citation(field="/a", source="prompt", claim_start=0, claim_end=4),
        ),
    )
    one = finished(claim)
    assert one.generation is not None
    generation = msgspec.structs.replace(one.generation, confidence={"/a": 0.5})
    return msgspec.structs.replace(
        one,
        verdict=verdict,
        generation=generation,
        asked=ASKED,
        notes=("row.body was cut",),
    )


def test_a_generation_comes_back_whole(store: Store) -> None:
    one, other, *_ = claims(store)
    write(store, quoting(one))
    found = FormerGenerations(store, 1, 60.0).made({other.work_id: ASKED})[other.work_id]
    assert json.loads(found.text) == {"a": "dark", "b": 1.5}
    assert found.quotes == (Span(field="/a", source="row.body", start=3, end=7),)
    assert (found.confidence, found.cut, found.model) == ({"/a": 0.5}, ("row.body",), "m")
    assert (found.shared, found.prompt_tokens, found.compute_ms) == (True, 0, 0.0)


def test_only_what_is_the_same_in_time_and_was_answered_is_reused(
    store: Store, store_url: str
) -> None:
    one, two, three, four, *_ = claims(store)
    former = FormerGenerations(store, 1, 3600.0)
    wanted = {four.work_id: ASKED}
    assert former.made(wanted) == {}
    withheld = Verdict(status="withheld", output=None, reason="no")
    write(store, msgspec.structs.replace(finished(one), asked=ASKED, verdict=withheld))
    assert former.made(wanted) == {}
    write(store, msgspec.structs.replace(finished(two), asked=ASKED))
    made = former.made(wanted)[four.work_id]
    write(store, msgspec.structs.replace(finished(three), generation=made))
    assert former.made(wanted)[four.work_id].reused_from == made.reused_from  # not the reuse
    assert former.made({four.work_id: bytes(32)}) == {}
    assert FormerGenerations(store, 2, 3600.0).made(wanted) == {}  # another version's
    with psycopg.connect(store_url, autocommit=True) as owner:
        assert owner.execute("SELECT reused_from FROM insights.reuse").fetchall() == [
            (made.reused_from,)
        ]
        owner.execute("UPDATE store.work SET request = 1 WHERE work_id = %s", (four.work_id,))
        assert former.made(wanted) == {}  # it was asked for again
        owner.execute("UPDATE store.work SET request = 0")
        owner.execute("UPDATE store.insight SET generated_at = now() - interval '61 min'")
    assert former.made(wanted) == {}
