"""How far the sentences of outputs are supported, by words whose weight the store knows.

The share of a sentence's words, weighted by rarity, that its sources have, and the source that has
most. The store stems and weighs; each text is asked about once, however many outputs it stands by.
"""

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

import msgspec

from insights.model import Claims, Support
from insights.store.postgres import Store
from insights.store.queries import load

_Lexemes = frozenset[str]
_NOTHING = Support(share=None, source="")
_texts = msgspec.json.Decoder(list[_Lexemes])
_weights = msgspec.json.Decoder(dict[str, float])
_names = msgspec.json.Decoder(list[str])


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
        said = dict.fromkeys(text for output in outputs for text in output.sentences)
        shown = dict.fromkeys(text for output in outputs for text in output.sources.values())
        texts = [*dict.fromkeys((*said, *shown))]
        values = {
            "collections": list(collections),
            "sentences": len(said),
            # As JSON: psycopg writes an array text by text. No text of the store has NUL.
            "texts": msgspec.json.encode([text.replace("\0", " ") for text in texts]).decode(),
            "names": list(dict.fromkeys(name for output in outputs for name in output.sources)),
        }
        with self._store.connection() as connection:
            row: Any = connection.execute(self._sql["support"], values).fetchone()
        words = dict(zip(texts, _texts.decode(row.lexemes or "[]"), strict=True))
        weights = _weights.decode(row.weights or "{}")
        rank = {name: at for at, name in enumerate(_names.decode(row.names or "[]"))}
        made = []
        for output in outputs:
            sources = {
                name: words[output.sources[name]]
                for name in sorted(output.sources, key=rank.__getitem__)
            }
            made.append(tuple(_share(words[one], sources, weights) for one in output.sentences))
        return made


def _share(
    words: _Lexemes, sources: Mapping[str, _Lexemes], weights: Mapping[str, float]
) -> Support:
    """Return how far one sentence is supported; of two sources that have as much, the first."""
    if not words:
        return _NOTHING
    for name, known in sources.items():
        if words <= known:  # each word weighs something: none before it has as much
            return Support(share=1.0, source=name)
    weigh = weights.__getitem__
    by_name = {name: words & known for name, known in sources.items()}
    had = frozenset().union(*by_name.values())
    sums = {name: fsum(map(weigh, some)) for name, some in by_name.items() if some}
    most = max(sums, key=sums.__getitem__, default="")
    return Support(share=fsum(map(weigh, had)) / fsum(map(weigh, words)), source=most)
