"""How far each sentence of an output is supported by the passages it cites and by the row.

A sentence's support is the share of its words, weighted by rarity, that those sources have; what
turns round what they say (`contradiction`) has none. It is a measure for people and analysts; where
a pipeline or a field sets a least, what has less is withheld. No row is lost for it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from insights import errors
from insights.model import Citation, Claims, Json, Passage, Support, Verdict
from insights.ports import Grounds
from insights.steps.contradiction import contradiction
from insights.steps.schema import CITED, SUPPORT, part_at

log = structlog.get_logger(__name__)


# The space after a full stop, unless what follows is no beginning ("e.g. this"), and line ends.
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W_a-z]|[^\w\s])|(?<=[\u3002\uff01\uff1f])|\n+")


class Judged(msgspec.Struct, frozen=True):
    """A verdict with what its output may stand on: the row's values and the prompt's passages."""

    verdict: Verdict
    row: Mapping[str, str | None]
    passages: tuple[Passage, ...]


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each sentence or line of a text begins and ends, without the space around it."""
    start = 0
    for end in (*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)):
        piece = text[start:end]
        if kept := piece.strip():
            begin = start + piece.index(kept)
            yield begin, begin + len(kept)
        start = end


def scored(
    judged: Sequence[Judged], grounds: Grounds, collections: Sequence[str]
) -> list[Verdict] | None:
    """Return the verdicts with the support of their sentences; None without an answer."""
    outputs = [_claims(one) for one in judged]
    verdicts = [one.verdict for one in judged]
    if not any(output.sentences for output in outputs):
        return verdicts
    try:
        found = grounds.support(outputs, collections)
    except errors.InsightsError as exc:
        log.warning("support not scored", outputs=len(outputs), reason=str(exc))
        return None
    return [_supported(*each) for each in zip(judged, outputs, found, strict=True)]


def enough(verdict: Verdict, schema: Json, least: float | None) -> Verdict:
    """Return the verdict, or `withheld` where a sentence has less support than is asked for.

    Args:
        verdict: With the support of its sentences.
        schema: The output schema; `x-min-support` of a field goes before `least`.
        least: The pipeline's `min_support`, 0 to 1; None asks for nothing.
    """
    for one in verdict.citations:
        if one.claim_start is None or one.support is None:
            continue
        wanted = part_at(verdict.output or {}, schema, one.field).get(SUPPORT, least)
        if wanted is not None and one.support < wanted:
            said = _at(verdict.output or {}, one.field)[one.claim_start : one.claim_end]
            reason = (
                f"{one.field} says {said!r}, which its sources support by {one.support:.2f}; at "
                f"least {wanted:.2f} is asked for"
            )
            return Verdict(status="withheld", output=None, reason=reason)
    return verdict


def _claims(judged: Judged) -> Claims:
    """Return sentences and sources; an output that cites nothing may stand on every passage."""
    output = judged.verdict.output or {}
    cited = set(output.get(CITED, ())) or {passage.number for passage in judged.passages}
    sources = {f"row.{column}": value for column, value in judged.row.items() if value}
    for passage in judged.passages:
        if passage.number in cited:
            sources[f"passage.{passage.number}"] = f"{passage.title}\n{passage.text}"
    return Claims(
        sentences=tuple(
            _at(output, one.field)[one.claim_start : one.claim_end]
            for one in judged.verdict.citations
            if one.claim_start is not None
        ),
        sources=sources,
    )


def _supported(judged: Judged, claims: Claims, supports: Sequence[Support]) -> Verdict:
    """Return the verdict with scores: of what turns its source round nothing is supported."""
    by_source = {f"passage.{passage.number}": passage for passage in judged.passages}
    sources = list(claims.sources.values())
    scores = zip(claims.sentences, supports, strict=True)
    citations, notes = [], list(judged.verdict.notes)
    for citation in judged.verdict.citations:
        if citation.claim_start is None:
            citations.append(citation)
            continue
        sentence, score = next(scores)
        wrong = score.share and contradiction(sentence, sources)
        if wrong:
            notes.append(f"{citation.field} may turn its source round: {wrong}")
            score = msgspec.structs.replace(score, share=0.0)
        citations.append(_based(citation, score, by_source.get(score.source)))
    return msgspec.structs.replace(judged.verdict, citations=tuple(citations), notes=tuple(notes))


def _based(citation: Citation, score: Support, passage: Passage | None) -> Citation:
    return msgspec.structs.replace(
        citation,
        source=score.source or citation.source,
        passage_id=passage.passage_id if passage else None,
        uri=passage.uri if passage else None,
        title=passage.title if passage else None,
        support=score.share,
    )


def _at(output: Json, pointer: str) -> str:
    value: Any = output
    for part in pointer.removeprefix("/").split("/"):
        if isinstance(value, list):
            value = value[int(part)]
        else:  # a property with a slash in its name is not found, and its sentences say nothing
            value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)
