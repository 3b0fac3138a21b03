"""Prompts, generations, and what validation makes of them."""

from typing import Literal

from insights.model.base import InsightStatus, Json, Value


class Segment(Value, frozen=True):
    """A stretch of a prompt: template text, or data.

    Template text may hold control tokens; data never does, and is tokenised apart.

    `source` names where data came from (`row.<column>`, `passage.<number>`), empty for anything
    else.
    """

    text: str
    is_template: bool
    source: str = ""


class Message(Value, frozen=True):
    """One chat message as segments."""

    role: str
    segments: tuple[Segment, ...]


class Sampling(Value, frozen=True):
    """How tokens are chosen. Temperature 0 is greedy. `max_tokens` bounds the output, in tokens."""

    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 512


class GenerateRequest(Value, frozen=True):
    """One constrained generation.

    `output_schema` is JSON Schema draft 2020-12 of the object to make; `abstain` lists the reasons
    the model may give instead (the alternative output `{"abstain": reason}`). Quote fields draw on
    `row` (column to text, as in the prompt) and `passages` (number to text, as in the prompt, with
    `headings`, their titles).
    `cut` names the data sources that may be shortened, first to last, when the prompt does not fit.
    `decided` is what people decided about the nearest labelled row, where that is the answer, and
    `agreement` how sure that is by property, 0 to 1.
    `sensitive` rows never leave the machine, nor do `personal` ones: what was found in them keeps
    them here. `deadline_s` is the time allowed from submission, seconds. Where rows wait for a
    model, those of more `weight` have more turns. `barred` names a model whose budget is used up.
    """

    messages: tuple[Message, ...]
    output_schema: Json
    abstain: tuple[str, ...] = ()
    row: dict[str, str] = {}
    passages: dict[int, str] = {}
    headings: dict[int, str] = {}
    cut: tuple[str, ...] = ()
    decided: Json = {}
    agreement: dict[str, float] = {}
    sampling: Sampling = Sampling()
    sensitive: bool = False
    personal: bool = False
    deadline_s: float = 300.0
    weight: int = 1
    barred: str | None = None

    @property
    def characters(self) -> int:
        """How long the prompt is."""
        return sum(len(part.text) for message in self.messages for part in message.segments)


class Adapter(Value, frozen=True):
    """A LoRA adapter of a local model, known by its file's SHA-256, and how strongly it works."""

    sha256: str
    scale: float = 1.0


class AdaptedRequest(GenerateRequest, frozen=True):
    """A generation under an adapter, or under none: what a local model is asked."""

    adapter: Adapter | None = None


class Span(Value, frozen=True):
    """Where a quote stands.

    `field` is a JSON pointer in the output, `source` is `row.<column>` or `passage.<n>`.

    `start` and `end` count Unicode code points of the source's text as it stood in the prompt.
    """

    field: str
    source: str
    start: int
    end: int


class Generation(Value, frozen=True):
    """What a generator made and what it cost: times in milliseconds, counts in tokens.

    `confidence` is of closed fields, by JSON pointer: see `inference.confidence`. `compute_ms` is
    the row's share of its model's time; of a server, how long the request took. With `reused_from`
    it is that earlier insight's: it cost nothing, and counts no token. `first` is what the
    pipeline's own model had made where the row went on to a larger one, and `escalated` says why.
    """

    text: str
    finish: Literal["stop", "length"]
    model: str
    route: str = "local"
    quotes: tuple[Span, ...] = ()
    quotes_by: Literal["construction", "check"] = "construction"
    confidence: dict[str, float] = {}
    cut: tuple[str, ...] = ()
    shared: bool = False
    reused_from: int | None = None
    prompt_tokens: int = 0
    reused_tokens: int = 0
    sampled_tokens: int = 0
    forced_tokens: int = 0
    queue_ms: float = 0.0
    prompt_ms: float = 0.0
    decode_ms: float = 0.0
    compute_ms: float = 0.0
    first: "Generation | None" = None
    escalated: str = ""

    @property
    def both(self) -> tuple["Generation", ...]:
        """What was made for the row, the last first: two where it went on to a larger model."""
        return (self,) if self.first is None else (self, self.first)

    @property
    def tokens(self) -> int:
        """All tokens that were read and written for the row."""
        return sum(one.prompt_tokens + one.sampled_tokens + one.forced_tokens for one in self.both)


class ModelInfo(Value, frozen=True):
    """A loaded generator: tokens of `context` a sequence may hold, `parallel` sequences at once.

    `threads` are those it works with now: fewer while others keep the cores busy.

    `chat_template` says where its chat template comes from.
    """

    name: str
    sha256: str
    chat_template_sha256: str
    context: int
    parallel: int
    device: str
    threads: int = 0
    description: str = ""
    chat_template: str = ""


class Verdict(Value, frozen=True):
    """The outcome of validation: a status, and the output or the reason why there is none.

    `notes` say what is to be known of an output, as that a text reached its limit.
    """

    status: InsightStatus
    output: Json | None
    reason: str | None = None
    citations: tuple["Citation", ...] = ()
    notes: tuple[str, ...] = ()


class Citation(Value, frozen=True):
    """What one output field stands on: a passage or a row column, with offsets where quoted.

    With `claim_start` and `claim_end` it is about that sentence of the field: `source` has most of
    its words (`prompt` before that is known), and `support` is the share that any source has.
    """

    field: str
    source: str
    passage_id: int | None = None
    uri: str | None = None
    title: str | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    support: float | None = None
    claim_start: int | None = None
    claim_end: int | None = None


class Claims(Value, frozen=True):
    """The sentences of one output and the sources they may stand on, by the sources' names."""

    sentences: tuple[str, ...]
    sources: dict[str, str]


class Support(Value, frozen=True):
    """How far a sentence is supported, 0 to 1 (None: it has no word to go by), and mostly by what.

    `source` is empty where no source has a word of it.
    """

    share: float | None
    source: str
