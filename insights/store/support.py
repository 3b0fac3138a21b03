"""How far the sentences of outputs are supported, by words whose weight the store knows."""

from collections.abc import Sequence

import msgspec
from psycopg.types.json import Jsonb

from insights.model import Claims, Support
from insights.store.postgres import Store
from insights.store.queries import load


class SupportStore:
    """Implements `ports.Grounds` on PostgreSQL, in one statement for any number of outputs.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("support")

    def support(
        self, outputs: Sequence[Claims], collections: Sequence[str]
    ) -> list[tuple[Support, ...]]:
        """Return, for each output, the support of its sentences in order."""
        sources = [
            {"output": number, "name": name, "text": text}
            for number, output in enumerate(outputs)
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
        with self._store.connection() as connection:
            rows = connection.execute(self._sql["support"], values).fetchall()
        found = {
            (row.output, row.sentence): Support(share=row.share, source=row.name or "")
            for row in rows
        }
        nothing = Support(share=None, source="")
        return [
            tuple(found.get((number, at), nothing) for at in range(len(output.sentences)))
            for number, output in enumerate(outputs)
        ]


def _dumps(value: object) -> bytes:
    return msgspec.json.encode(value).replace(b"\\u0000", b" ")  # jsonb has no NUL
