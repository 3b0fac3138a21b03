"""Support is what it was when the store counted all of it, as the former release still does.

It goes with the statement: once `former/` has the present one, nothing is left to compare with.
"""

import random
from collections.abc import Sequence

import msgspec
import pytest
from psycopg.types.json import Jsonb

from insights.model import Claims, Support
from insights.store.postgres import Store
from insights.store.support import SupportStore
from tests.integration.test_former_release import FORMER

_WORDS = (
    "printer printers spooler queue the it's a stuck job fuser \\ ' \" Straße 42 10.0.0.7 x-ray"
)
_FORMER = (FORMER / "support.sql").read_text(encoding="utf-8")


def _formerly(
    store: Store, outputs: Sequence[Claims], collections: Sequence[str]
) -> list[tuple[Support, ...]]:
    sources = [
        {"output": at, "name": name, "text": text}
        for at, output in enumerate(outputs)
        for name, text in output.sources.items()
    ]
    sentences = [
        {"output": number, "sentence": at, "text": text}
        for number, output in enumerate(outputs)
        for at, text in enumerate(output.sentences)
    ]
    values = {
        "collections": list(collections),
        "sources": Jsonb(sources, dumps=_dumps),
        "sentences": Jsonb(sentences, dumps=_dumps),
    }
    with store.connection() as connection:
        rows = connection.execute(_FORMER, values).fetchall()
    found = {(r.output, r.sentence): Support(share=r.share, source=r.name or "") for r in rows}
    nothing = Support(share=None, source="")
    return [
        tuple(found.get((number, at), nothing) for at in range(len(output.sentences)))
        for number, output in enumerate(outputs)
    ]


@pytest.mark.parametrize("collections", [[], ["kb"]])
def test_random_outputs_are_supported_as_before(store_url: str, collections: list[str]) -> None:
    draw = random.Random(17)
    store = Store(store_url, connections=1).open()
    with store.transaction() as connection:
        made = connection.execute(
            "INSERT INTO store.collection (name, passages, language) VALUES ('kb', 9, 'english')"
            " RETURNING collection_id"
        ).fetchone()
        connection.execute(
            "INSERT INTO store.lexeme (collection_id, lexeme, passages)"
            " VALUES (%(id)s, 'printer', 7), (%(id)s, 'queue', 2), (%(id)s, 'stuck', 9)",
            {"id": made[0]},  # type: ignore[index]
        )
    outputs = [
        Claims(
            sentences=tuple(_drawn(draw, 8) for _ in range(draw.randint(0, 3))),
            sources={
                name: _drawn(draw, 9)
                for name in ("row.B", "row.a", "passage.1", "passage.2", "passage.10")
                if draw.random() < 0.7
            },
        )
        for _ in range(60)
    ]
    found = SupportStore(store).support(outputs, collections)
    former = _formerly(store, outputs, collections)
    store.close()
    assert [[one.source for one in some] for some in found] == [
        [one.source for one in some] for some in former
    ]
    for mine, other in zip(found, former, strict=True):
        assert [one.share is None for one in mine] == [one.share is None for one in other]
        shares = [one.share or 0.0 for one in other]
        assert [one.share or 0.0 for one in mine] == pytest.approx(shares, rel=1e-12)
    assert len({one.source for some in found for one in some}) > 5


def _drawn(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(_WORDS.split(), k=draw.randint(0, words))) + "\0"


def _dumps(value: object) -> bytes:
    return msgspec.json.encode(value).replace(b"\\u0000", b" ")
