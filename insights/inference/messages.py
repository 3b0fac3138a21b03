"""What supervisor and generator child say to each other, beyond `insights.model`."""

from typing import Literal

from insights.model import Json, Value

KvType = Literal["f16", "q8_0", "f32"]


class EngineSettings(Value, frozen=True):
    """How the model is run; None means: chosen from the hardware and the model.

    `parallel` rows at once; `context` tokens one row may take, prompt and output; `batch` and
    `micro_batch` tokens a step and a pass; `memory_mb` what weights and cache may take together;
    `unified` is one KV cache for all rows instead of one each; `flash` is flash attention, of which
    None lets what was measured say.
    """

    parallel: int | None = None
    context: int | None = None
    threads: int | None = None
    batch: int | None = None
    micro_batch: int | None = None
    kv_type: KvType | None = None
    gpu_layers: int | None = None
    memory_mb: int | None = None
    drafting: bool = True
    unified: bool | None = None
    flash: bool | None = None


class AdapterFile(Value, frozen=True):
    """A LoRA adapter's GGUF file and its hash; `where` is the setting that names it."""

    path: str
    sha256: str
    where: str = ""


class GeneratorInit(Value, frozen=True):
    """The generator child's first frame: the model and how to run it.

    `path` is a GGUF file, `sha256` its hash ("" takes any file, for stand-ins only); `adapters` are
    loaded beside it;
    `chat_template` replaces the file's own; `shrink` is how often memory ran out: each halves
    the plan; `tuned` is the folder where `insights tune` keeps what it measured; `confined` bounds
    what the process can reach.
    """

    path: str
    sha256: str = ""
    engine: EngineSettings = EngineSettings()
    chat_template: str = ""
    shrink: int = 0
    tuned: str = ""
    confined: bool = True
    adapters: tuple[AdapterFile, ...] = ()


class RemoteInit(Value, frozen=True):
    """The remote child's first frame: one OpenAI-compatible server.

    `url` is its base (".../v1"), `model` the name it serves; `parallel` requests are out at once.
    Each is asked `retries` more times at most, `timeout_s` each, all within its own deadline.
    `proxy` is the only proxy; `ca_file` is trusted instead of the system's authorities, and
    `client_cert` (certificate and key in PEM) is shown to the server. `section` is where the
    settings say so.
    """

    name: str
    url: str
    model: str
    api_key: str = ""
    timeout_s: float = 120.0
    retries: int = 3
    parallel: int = 16
    context: int = 8_192
    proxy: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    section: str = "model"


class CheckRequest(Value, frozen=True):
    """What a pipeline will ask for, to be refused at start-up rather than at its first row.

    `roles` are those of its prompt's messages, in order: the chat template must say them all.
    `adapter` is the SHA-256 of the one that its rows are made under; "" is none.
    """

    output_schema: Json
    abstain: tuple[str, ...] = ()
    where: str = "output schema"
    roles: tuple[str, ...] = ()
    adapter: str = ""


class Checked(Value, frozen=True):
    """The schema can be generated under constraint. `notes` says what is not enforced."""

    notes: tuple[str, ...] = ()


class Trial(Value, frozen=True):
    """One measurement of the tuner; None is what the planner would choose."""

    threads: int | None
    parallel: int
    micro_batch: int | None = None
    kv_type: KvType | None = None
    flash: bool | None = None


class Speeds(Value, frozen=True):
    """A way to run the model and its tokens per second; `decode` is of all rows together.

    `flash` is flash attention, None what llama.cpp chooses. `second` is what a second token of each
    row adds to a pass, as a share of it, and `run` how many forced tokens of one row are worth a
    pass of their own; 0 where they were not measured.
    """

    threads: int
    parallel: int
    micro_batch: int
    kv_type: KvType
    prompt: float = 0.0
    decode: float = 0.0
    memory_bytes: int = 0
    flash: bool | None = None
    second: float = 0.0
    run: int = 0


class Built(Value, frozen=True):
    """What llama.cpp was compiled for, in its own words, and what of that this processor has."""

    version: str = ""
    compiled: tuple[str, ...] = ()
    cpu: tuple[str, ...] = ()


class Counters(Value, frozen=True):
    """What the engine has done since its start: tokens, rows, and seconds by phase.

    `worked_tokens` were evaluated, also for rows that are not done; all others are of ended rows.
    `threads` are those it works with now, `threads_why` says why so many. Of the `cells` of its KV
    cache, a token each, `cells_used` hold one, also of rows that are done: their beginnings serve
    those that come.
    """

    rows: int = 0
    steps: int = 0
    prompt_tokens: int = 0
    evaluated_prompt_tokens: int = 0
    reused_tokens: int = 0
    forced_tokens: int = 0
    sampled_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    shared_rows: int = 0
    cancelled_rows: int = 0
    decode_s: float = 0.0
    busy_s: float = 0.0
    adapter_switches: int = 0
    worked_tokens: int = 0
    peak_memory_mb: float = 0.0
    threads: int = 0
    threads_why: str = ""
    cells: int = 0
    cells_used: int = 0
