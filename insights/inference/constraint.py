"""The only door to llguidance: which tokens may come next, and which must.

llguidance neither crashes nor raises: it enters an error state, and everything here asks for it
after construction, after each mask and after each token.
"""

import itertools
import json
import threading
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import llguidance
import numpy as np
from llguidance.llamacpp import lltokenizer_from_vocab

from insights import errors
from insights.inference import quotes
from insights.inference.confidence import confidences
from insights.inference.grammar import Grammar
from insights.inference.sampling import Choices, Mask, allows
from insights.inference.schema import has_quotes, refuse_unsupported
from insights.model import Json, Span
from insights.steps.choices import constants, fitting
from insights.steps.lengths import roomy
from insights.steps.schema import CITED, HEADING, KIND, QUOTE, closed, generable, parts, walk

_PROTOTYPES = (
    64  # compiled grammars kept; those of schemas without quotes are the same for all rows
)
_INNER_END = "lookarounds not supported yet; End in regex"  # llguidance's words
_SIBLINGS = "circular references with sibling keys"  # and these
_LONG, _SIGNS = 200, 64  # a text's length up to which a pattern is not tried; signs of a trial
_BYTES: Any = llguidance.LLTokenizer("byte")
_LONG_ENOUGH = 100  # words, for quotes of any length when a schema is tried


def check_schema(
    schema: Json, abstain: Sequence[str] = (), *, where: str = "output schema"
) -> list[str]:
    """Refuse an output schema that cannot be generated under constraint; return warnings.

    Raises:
        errors.SettingsError: Naming the place in the schema and what to do.
    """
    schema = refuse_unsupported(schema, where)
    quoted = [str(part[QUOTE]) for _, part in walk(schema) if QUOTE in part]
    schema = _of_any_kind(roomy(schema))
    text = "word " * _LONG_ENOUGH
    row = {name.removeprefix("row."): text for name in quoted}
    passages = dict.fromkeys(range(1, 9), text)
    failed, messages = _judged(Grammar(schema, abstain, row, passages).lark)
    if failed:
        place, reason = _worst(schema) or ("#", messages[0])
        raise errors.SettingsError(
            f"cannot be generated under constraint: {_said(reason)}",
            where=f"{where} {place}",
            fix=_way_out(reason),
        )
    _refuse_unwritable(schema, where)
    return [*messages, *_always_empty(schema)]


def _refuse_unwritable(schema: Json, where: str) -> None:
    """Refuse a pattern that compiles within its lengths, but of which nothing can be written."""
    for place, part in walk(schema):
        if "pattern" in part and max(part.get("maxLength", 0), part.get("minLength", 0)) > _LONG:
            if (reason := _stopped(part)) is None:
                continue
            raise errors.SettingsError(
                f"its pattern and its lengths together are too much to hold: {reason}",
                where=f"{where} {place}",
                fix=f"lower maxLength to {_LONG}, take it away, or write a simpler pattern",
            )


def _stopped(part: Json) -> str | None:
    """Write some signs of a text; return why it came to a stop, None if it went on."""
    said = {key: part[key] for key in ("type", "pattern", "minLength", "maxLength") if key in part}
    grammar = llguidance.LLMatcher.grammar_from_lark(f"start: j\nj: %json {json.dumps(said)}")
    matcher = llguidance.LLMatcher(_BYTES, grammar)
    for wanted in itertools.islice(itertools.cycle(b'"ab 1a'), _SIGNS):
        allowed = matcher.compute_logit_bias()
        if matcher.is_error() or matcher.is_stopped():
            break
        sign = wanted if allowed[wanted] else next((at for at, one in enumerate(allowed) if one), 0)
        matcher.consume_token(sign)
    return str(matcher.get_error()).splitlines()[0] if matcher.is_error() else None


def _always_empty(schema: Json) -> Iterator[str]:
    for place, part in walk(schema):
        if constants(part) and "type" in part and not fitting(part):
            yield f"{place}: none of its values is of its type, so that it never occurs"
        if part.get("items") is False and "prefixItems" not in part and part.get("maxItems") != 0:
            yield f"{place}: no value satisfies its items, so that the list is always empty"


def _of_any_kind(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a schema without what depends on a row's texts."""
    if isinstance(value, list):
        return [_of_any_kind(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    dropped = {KIND, HEADING} if QUOTE in value else set()
    return {key: _of_any_kind(inner) for key, inner in value.items() if key not in dropped}


def _judged(lark: str) -> tuple[bool, list[str]]:
    failed, messages = llguidance.LLMatcher.validate_grammar_with_warnings(
        llguidance.LLMatcher.grammar_from_lark(lark)
    )
    return bool(failed), list(messages)


def _worst(schema: Json) -> tuple[str, str] | None:
    """Return the place of the innermost part that cannot be generated, and why."""
    whole = generable(closed(schema))
    definitions = {"$defs": whole["$defs"]} if "$defs" in whole else {}
    found = None
    waiting = [("#", {key: value for key, value in whole.items() if key != "$defs"})]
    while waiting:  # what can be generated has no part that cannot
        place, part = waiting.pop()
        failed, messages = _judged(f"start: j\nj: %json {json.dumps({**definitions, **part})}")
        if failed:
            found = (place, messages[0])
            waiting = [(f"{place}{inner[1:]}", within) for inner, within in parts(part)][::-1]
    return found


def _way_out(reason: str) -> str:
    if _SIBLINGS in reason:
        return "put what stands beside such a $ref into the part that it refers to"
    if _INNER_END in reason:
        return "write `$` at the end of the whole pattern"
    if "oneOf" in reason:
        return "use anyOf, or give each alternative a required constant that tells it apart"
    return "say it with enum, anyOf, bounds or a simpler pattern"


def _said(message: str) -> str:
    """Return llguidance's reason without the place in a grammar that nobody has seen."""
    if "oneOf" in message:
        return "the alternatives of oneOf overlap: two of them take the same values"
    if _SIBLINGS in message:
        return "it refers to itself beside other conditions"
    if _INNER_END in message:
        return "`$` stands within a group of the pattern"
    lines = message.splitlines()
    first = lines[0].partition("JSON schema: ")[2] or lines[0]
    told = [line for line in lines if line.startswith("error: ")]
    return " ".join([first, *told])


class Compiler:
    """Makes constraints for one model's vocabulary.

    Args:
        vocab: llama.cpp's vocabulary pointer (`llama.Model.vocab`).
        ends: The tokens that end a generation, which are no part of its text.
    """

    def __init__(self, vocab: Any, ends: Collection[int] = ()) -> None:  # noqa: ANN401 - a ctypes pointer
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # llguidance's calls, not ours
            self.tokenizer: Any = lltokenizer_from_vocab(vocab)
        self.ends = frozenset((*ends, *self.tokenizer.eos_tokens))
        self._prototypes: dict[str, Any] = {}
        self._lock = threading.Lock()  # rows arrive in one thread and are narrowed in another

    def piece(self, token: int) -> bytes:
        """Return a token's bytes."""
        return bytes(self.tokenizer.decode_bytes([token]))

    def matcher(self, lark: str) -> Any:  # noqa: ANN401 - llguidance has no types
        """Return a fresh matcher for a grammar.

        Raises:
            errors.RowError: If llguidance refuses the grammar or it is too large.
        """
        if "\nQUOTE" in lark:  # of one row: never asked for again
            return self._compiled(lark)
        with self._lock:
            prototype = self._prototypes.get(lark)
            if prototype is None:
                prototype = self._compiled(lark)
                if len(self._prototypes) >= _PROTOTYPES:
                    self._prototypes.pop(next(iter(self._prototypes)))
                self._prototypes[lark] = prototype
            return prototype.deep_copy()

    def _compiled(self, lark: str) -> Any:  # noqa: ANN401 - llguidance has no types
        grammar = llguidance.LLMatcher.grammar_from_lark(lark)
        matcher = llguidance.LLMatcher(self.tokenizer, grammar, log_level=0)
        _refuse_error(matcher)
        return matcher

    def constraint(
        self,
        schema: Json,
        abstain: Sequence[str] = (),
        row: Mapping[str, str] | None = None,
        passages: Mapping[int, str] | None = None,
        headings: Mapping[int, str] | None = None,
    ) -> "Constraint":
        """Return the constraint of one generation."""
        return Constraint(self, schema, abstain, row or {}, passages or {}, headings or {})


class Constraint:
    """What one output may be, token by token; made by `Compiler.constraint`.

    When `cited_passages` closes, the grammar is made anew for the properties that follow, with only
    the cited passages to quote from; the tokens so far are consumed again, the KV cache stays.
    """

    def __init__(
        self,
        compiler: Compiler,
        schema: Json,
        abstain: Sequence[str],
        row: Mapping[str, str],
        passages: Mapping[int, str],
        headings: Mapping[int, str],
    ) -> None:
        self._compiler = compiler
        schema = roomy(schema)  # texts are closed within their limits when they are judged
        self._schema, self._row, self._passages = schema, row, passages
        self._headings = headings
        grammar = Grammar(schema, abstain, row, passages, headings=headings)
        self.impossible = grammar.impossible
        """Why only an abstention is possible; empty where an output is."""
        self._matcher = compiler.matcher(grammar.lark)
        self._tokens: list[int] = []
        self._bytes = b""
        self._cited: list[int] | None = None
        self._awaits_citations = bool(passages) and _quotes_after_citation(schema)

    @property
    def finished(self) -> bool:
        """Whether the output is complete."""
        return bool(self._matcher.is_stopped())

    @property
    def text(self) -> str:
        """The output so far."""
        return self._bytes.decode("utf-8", "replace")

    def consume(self, tokens: Sequence[int]) -> None:
        """Advance by tokens that the constraint allows, in order.

        Raises:
            errors.RowError: If llguidance refuses one.
        """
        for token in tokens:
            self._matcher.consume_token(token)
            _refuse_error(self._matcher)
            if token in self._compiler.ends:
                return
            piece = self._compiler.tokenizer.decode_bytes([token])
            self._tokens.append(token)
            self._bytes += piece
            if self._awaits_citations and b"]" in piece:
                self._narrow()

    def forced(self) -> list[int]:
        """Return the tokens that must come next, not consuming them; empty if there is a choice.

        A token that ends the generation is none of them: it is no part of the text.
        """
        tokens = [] if self.finished else list(self._matcher.compute_ff_tokens())
        _refuse_error(self._matcher)
        ends = self._compiler.ends
        return list(itertools.takewhile(lambda token: token not in ends, tokens))

    def mask(self) -> Mask:
        """Return the tokens allowed next as bits, one a token, little-endian.

        Raises:
            errors.RowError: If llguidance gives up, as on a grammar that grew too complex.
        """
        size = -(-self._compiler.tokenizer.vocab_size // 32) * 4
        mask = np.empty(size, np.uint8)
        self._matcher.unsafe_compute_mask_ptr(mask.ctypes.data, size)
        _refuse_error(self._matcher)
        return mask

    def masks(self, draft: Sequence[int]) -> tuple[list[int], list[Mask]]:
        """Return the allowed part of a draft, and the masks before each token and after."""
        masks = [self.mask()]
        taken: list[int] = []
        for token in draft:
            if not allows(masks[-1], token) or self._closes(token):
                break
            self._matcher.consume_token(token)
            if self._matcher.is_stopped():
                self._matcher.rollback(1)
                break
            taken.append(token)
            masks.append(self.mask())
        if taken:
            self._matcher.rollback(len(taken))
        _refuse_error(self._matcher)
        return taken, masks

    def spans(self) -> tuple[Span, ...]:
        """Return where every quote of the finished output stands in its source."""
        numbers = self._passages if self._cited is None else self._cited
        texts = {f"row.{column}": text for column, text in self._row.items()}
        texts |= {f"passage.{n}": self._passages[n] for n in numbers}
        return quotes.find_spans(json.loads(self._bytes), self._schema, texts, self._headings)

    def confidence(self, steps: Mapping[int, Choices]) -> dict[str, float]:
        """Return how sure the model was of the closed fields of the finished output."""
        piece = self._compiler.piece
        pieces = [piece(token) for token in self._tokens]
        return confidences(self._bytes, self._schema, pieces, steps, piece)

    def _closes(self, token: int) -> bool:
        return self._awaits_citations and b"]" in self._compiler.tokenizer.decode_bytes([token])

    def _narrow(self) -> None:
        found = _written_citations(self.text)
        if found is None:
            return
        written, self._cited = found
        self._awaits_citations = False
        lark = Grammar(
            self._schema,
            (),
            self._row,
            self._passages,
            written=written,
            cited=self._cited,
            headings=self._headings,
        ).lark
        self._matcher = self._compiler.matcher(lark)
        self._matcher.consume_tokens(self._tokens)
        _refuse_error(self._matcher)


def _written_citations(text: str) -> tuple[str, list[int]] | None:
    """Return the output up to the value of `cited_passages`, and that value, once it has closed."""
    decoder = json.JSONDecoder()
    at = 1
    try:
        while at < len(text):
            key, at = decoder.raw_decode(text, at)
            value, at = decoder.raw_decode(text, at + 1)  # one colon, no whitespace
            if key == CITED:
                return text[:at], value
            at += 1
    except ValueError:
        return None
    return None


def _quotes_after_citation(schema: Json) -> bool:
    names = list(schema.get("properties", {}))
    if CITED not in names:
        return False
    rest = {name: schema["properties"][name] for name in names[names.index(CITED) + 1 :]}
    return has_quotes({"properties": rest})


def _refuse_error(matcher: Any) -> None:  # noqa: ANN401 - llguidance has no types
    if matcher.is_error():
        reason = str(matcher.get_error()).splitlines()[0]
        raise errors.RowError(
            f"the output constraint failed: {reason}",
            fix="simplify the output schema, or shorten the quoted texts",
        )
