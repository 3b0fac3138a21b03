"""What is made of one stream's rows: which passages each is given, and what the model is asked."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from insights.enriching.certain import Certain
from insights.enriching.guard import Guard
from insights.governance import redact
from insights.model import (
    Citation,
    Example,
    GenerateRequest,
    Generation,
    Json,
    Passage,
    Row,
    Sampling,
    Segment,
    StreamSpec,
    Verdict,
)
from insights.ports import Examples, Former, Generator, Retriever, Rows
from insights.steps.prompt import Template
from insights.steps.schema import SUPPORT, walk
from insights.steps.validate import validate

NOTHING_RELEVANT = "no relevant passage was found"
NOTHING_NEAR = "no labelled row is near"


class Baseline(msgspec.Struct, frozen=True):
    """What answers in the place of a model: the nearest labelled row, else columns, else values.

    `columns` are by property. With `withheld` it answers where an output was withheld, too.
    """

    nearest: bool = False
    columns: Mapping[str, str] = {}
    values: Json = {}
    withheld: bool = False


class Recipe(msgspec.Struct, frozen=True):
    """One version of a pipeline: its stream and what is made of its rows, bound to their adapters.

    `models` names what `generator` may go to: recipes that share one are never in flight beside a
    row of it that must be alone. With `without_model` the nearest of its `examples` is the answer.
    `former` are the generations that its rows may reuse; None where each has its own. `baseline`
    answers rows that would be dead letters because no model did. `larger` is this one with the
    model that rows go on to of which its own is not sure enough; where that is on a server, it
    `leaves`, and gets no row that is to stay here. With `keeps_prompts` the audit has what was
    asked of rows, not its hash alone.
    """

    name: str
    stream: StreamSpec
    source: Rows
    generator: Generator
    template: Template
    output_schema: Json
    abstain: tuple[str, ...]
    sampling: Sampling
    cut: tuple[str, ...]
    retriever: Retriever | None
    query_columns: tuple[str, ...]
    deadline_s: float
    version_id: int
    canonical_passages: bool = False
    filters: Mapping[str, str] = {}
    collections: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    min_support: float | None = None
    examples: Examples | None = None
    without_model: bool = False
    guard: Guard = Guard()
    certain: Certain = Certain()
    local_with: frozenset[str] = frozenset()
    former: Former | None = None
    baseline: Baseline | None = None
    larger: "Recipe | None" = None
    leaves: bool = False
    keeps_prompts: bool = False

    def keeps(self, redactions: Mapping[str, int]) -> bool:
        """Whether what was found in a row keeps it on this machine."""
        wanted = self.local_with
        return bool(redactions) if "any" in wanted else not wanted.isdisjoint(redactions)

    @property
    def asks_support(self) -> bool:
        """Whether what is made needs support to be shown."""
        asked = any(SUPPORT in part for _, part in walk(self.output_schema))
        return asked or self.min_support is not None

    @property
    def title(self) -> str:
        """What logs and reasons call it."""
        return f"{self.name} (version {self.version_id})"

    @property
    def shared(self) -> tuple[str, ...]:
        """The models, by name; one that nobody named is known by what it is."""
        return self.models or (f"{type(self.generator).__name__} {id(self.generator)}",)

    @property
    def touches(self) -> tuple[str, ...]:
        """All models that its rows may be at, the larger one too."""
        return self.shared if self.larger is None else (*self.shared, *self.larger.shared)

    def waits(self, rows: int, seconds: float) -> str:
        """Say what rows that were sent to the generator wait for, the first of them so long."""
        asked = getattr(self.generator, "tokens", None)
        tokens = asked() if callable(asked) else None
        worked = "" if tokens is None else f", {tokens:,} tokens done since it started"
        return (
            f"{self.name}: {rows} rows wait for {' or '.join(self.touches)}{worked}; the first for "
            f"{seconds:.0f} s, each may be written for {self.deadline_s:.0f} s"
        )


def passages_for(recipe: Recipe, rows: Sequence[Row]) -> list[tuple[Passage, ...]]:
    """Return each row's passages, numbered in the order they take in its prompt.

    In canonical order rows that were given the same passages share a prompt's beginning, and pay
    for it once (`insights.inference.prefixes`).
    """
    if recipe.retriever is None:
        return [() for _ in rows]
    queries = [
        "\n".join(row.values.get(column) or "" for column in recipe.query_columns) for row in rows
    ]
    filters = [
        {name: row.values.get(column) or "" for name, column in recipe.filters.items()}
        for row in rows
    ]
    found = recipe.retriever.retrieve(queries, filters)
    if not recipe.canonical_passages:
        return found
    return [
        tuple(
            msgspec.structs.replace(passage, number=number)
            for number, passage in enumerate(sorted(some, key=lambda p: p.passage_id), start=1)
        )
        for some in found
    ]


def examples_for(recipe: Recipe, rows: Sequence[Row]) -> list[tuple[Example, ...]]:
    """Return each row's labelled neighbours, nearest first."""
    if recipe.examples is None:
        return [() for _ in rows]
    return recipe.examples.nearest(rows)


def lacking(recipe: Recipe, passages: Sequence[Passage], examples: Sequence[Example]) -> str | None:
    """Return why nothing can be asked for a row, which abstains then; None where it can."""
    if recipe.retriever is not None and not passages:
        return NOTHING_RELEVANT
    if recipe.without_model and not examples:
        return NOTHING_NEAR
    return None


def unasked(
    recipe: Recipe,
    passages: Sequence[Passage],
    examples: Sequence[Example],
    orders: Sequence[str],
) -> Verdict:
    """Return the verdict on a row that no model was asked about: it gave orders, or lacks all."""
    refusal = recipe.guard.refusal(orders)
    if refusal is not None:
        return Verdict(status="withheld", output=None, reason=refusal)
    reason = lacking(recipe, passages, examples)
    return Verdict(status="abstained", output=None, reason=reason)


def judged(
    recipe: Recipe, row: Row, passages: Sequence[Passage], generation: Generation
) -> Verdict:
    """Return what is thought of an output before its sentences are scored."""
    verdict = validate(generation, recipe.output_schema, row.values, passages)
    verdict = recipe.guard.judged(verdict)
    asked = recipe if generation.first is None else recipe.larger or recipe
    verdict = asked.certain.judged(verdict, generation.confidence)
    return redact.judged(verdict, shown(recipe, row, passages), recipe.stream.redaction)


def beside(passages: Sequence[Passage], examples: Sequence[Example]) -> list[str]:
    """Return the texts that stood beside the row's own: each numbers its placeholders by itself."""
    return [*(passage.text for passage in passages), *(example.text for example in examples)]


def cited(verdict: Verdict, examples: Sequence[Example]) -> Verdict:
    """Return the verdict with the examples that the prompt showed: cited as such, as no source."""
    shown = tuple(
        Citation(
            field="",
            source=f"example.{example.number}",
            passage_id=example.passage_id,
            uri=example.uri,
            title=example.title,
        )
        for example in examples
    )
    return msgspec.structs.replace(verdict, citations=(*verdict.citations, *shown))


def request_for(
    recipe: Recipe,
    row: Row,
    passages: Sequence[Passage],
    examples: Sequence[Example] = (),
) -> GenerateRequest:
    """Return the generation that a row asks for; only the prompt's columns go along.

    Examples are in the prompt and nowhere else: quotes are never taken from them.
    """
    inputs = {column: row.values.get(column) for column in recipe.stream.inputs}
    schema = msgspec.json.encode(recipe.output_schema).decode()
    return GenerateRequest(
        messages=recipe.guard.marked(recipe.template.render(inputs, passages, schema, examples)),
        output_schema=recipe.output_schema,
        abstain=recipe.abstain,
        row={column: value for column, value in inputs.items() if value is not None},
        passages={passage.number: passage.text for passage in passages},
        headings={passage.number: passage.title for passage in passages},
        cut=recipe.cut,
        decided=examples[0].output if recipe.without_model and examples else {},
        agreement=agreement(examples) if recipe.without_model else {},
        sampling=recipe.sampling,
        sensitive=recipe.stream.sensitive,
        personal=recipe.keeps(row.redactions),
        deadline_s=recipe.deadline_s,
        weight=recipe.stream.weight,
    )


def agreement(examples: Sequence[Example]) -> dict[str, float]:
    """Return how sure the nearest labelled row is of each field it says, 0 to 1.

    That is its similarity, times the share (by similarity) of all that are near and say the same.
    """
    if not examples:
        return {}
    nearest, total = examples[0], sum(max(one.similarity, 0.0) for one in examples)
    return {
        name: max(nearest.similarity, 0.0)
        * sum(max(one.similarity, 0.0) for one in examples if one.output.get(name) == value)
        / (total or 1.0)
        for name, value in nearest.output.items()
    }


def prompt_sha256(request: GenerateRequest) -> str:
    """Return the SHA-256 of what the model is asked, as JSON; a source too long is cut later."""
    return hashlib.sha256(msgspec.json.encode(request.messages)).hexdigest()


def prompt_text(request: GenerateRequest) -> str:
    """Return what the model is asked, as the audit keeps it where it is told to.

    What came from passages and examples stands as its name: it is other rows', and goes with those.
    """
    return "\n".join(
        f"{message.role}: " + "".join(map(_kept, message.segments)) for message in request.messages
    )


def _kept(segment: Segment) -> str:
    beside = segment.source.startswith(("passage.", "example."))
    return f"[{segment.source}]" if beside else segment.text


def shown(recipe: Recipe, row: Row, passages: Sequence[Passage]) -> Iterator[str]:
    """Yield every text that a row's prompt showed and an output may repeat: no example."""
    yield from (row.values.get(column) or "" for column in recipe.stream.inputs)
    for passage in passages:
        yield from (passage.uri, passage.title, passage.text)
    yield recipe.template.text
    yield msgspec.json.encode(recipe.output_schema).decode()
