"""Settings of one pipeline: the file `pipelines/<name>.toml`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from insights import errors
from insights.site.adapters import AdapterSettings
from insights.site.baselines import BaselineSettings
from insights.site.columns import FeedbackSettings
from insights.site.guards import GuardSettings
from insights.site.values import Duration, Name, Section, seconds
from insights.steps.certifying import LEVEL

NEAREST = "nearest"
"""In the place of a model: the nearest labelled row answers, and no model is called."""


class RetrievalSettings(Section):
    """`[retrieval]` of a pipeline: which passages a row is given."""

    collections: tuple[Name, ...] = ()
    columns: tuple[str, ...] = ()
    passages: int = Field(default=3, ge=1, le=20)
    order: Literal["canonical", "relevance"] = "canonical"
    max_tokens: int = Field(default=800, ge=50)
    filters: dict[Name, str] = Field(default_factory=dict)
    min_similarity: float = Field(default=0.3, ge=0, le=1)
    rerank: bool = False

    @model_validator(mode="after")
    def _filters_need_collections(self) -> "RetrievalSettings":
        if self.filters and not self.collections:
            raise ValueError("filters need collections to search")
        return self


class ExamplesSettings(Section):
    """`[examples]` of a pipeline: labelled rows near the row, as worked examples.

    `labels` maps properties of the output to label columns of the collection; those of the same
    name if not set. `time` is the row's own column that tells when it was there.
    """

    collection: Name
    columns: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    k: int = Field(default=3, ge=1, le=20)
    time: str | None = None
    filters: dict[Name, str] = Field(default_factory=dict)
    min_similarity: float = Field(default=0.3, ge=0, le=1)


class InjectionSettings(Section):
    """`[injection]` of a pipeline: what is done about rows that give orders to the model.

    With `canary` the instruction has a word that an output may not hold.
    """

    action: Literal["flag", "withhold", "off"] = "flag"
    canary: bool = False

    @property
    def decides(self) -> dict[str, object]:
        """What of it decides an outcome, and so is in the pipeline's version: no mere mark."""
        made: dict[str, object] = {}
        if self.action == "withhold":
            made["action"] = self.action
        if self.canary:
            made["canary"] = True
        return made


class SamplingSettings(Section):
    """`[sampling]` of a pipeline. Temperature 0 is greedy; `max_tokens` bounds the output."""

    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    seed: int = 0
    max_tokens: int = Field(default=512, ge=8, le=8192)


class ConfidenceSettings(Section):
    """`[confidence]` of a pipeline: how often its closed fields may be wrong.

    `max_error` is that share by property; rows that are less sure than the calibration certifies
    abstain, or go on to the model `escalate_to`, which may be sure enough. `level` is how sure the
    certificate is.
    """

    calibration: Path
    max_error: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(min_length=1)
    level: float = Field(default=LEVEL, ge=0.5, lt=1)
    escalate_to: Name | None = None

    @model_validator(mode="after")
    def _of_one_field(self) -> "ConfidenceSettings":
        if self.escalate_to is not None and len(self.max_error) > 1:
            raise ValueError("two models are certified together of one field: leave one max_error")
        return self


def confidence_of(larger: str | None) -> ConfidenceSettings | None:
    """Return the settings of a pipeline with a larger model and no target yet; None without one."""
    if larger is None:
        return None
    return ConfidenceSettings.model_construct(
        calibration=Path(), max_error={}, level=LEVEL, escalate_to=larger
    )


class PipelineSettings(Section):
    """`pipelines/<name>.toml`: what is made of a stream's rows.

    With `version_of` it is another version of that pipeline, served beside it: a new one begins as
    a shadow, and `insights promote` gives it a share. `reuse` is how long the generation of a row
    may be another's whose request is the same; without, each row has its own. With
    `budget_fallback` rows go to the other of two models once the budget of the one is used up.
    `adapter` is of `model`: what another model makes is made without it.
    """

    version_of: Name | None = None
    stream: Name
    model: Name
    adapter: AdapterSettings | None = None
    fallback: Name | None = None
    budget_fallback: bool = False
    local_with: tuple[str, ...] = ()
    remote_from: int | None = Field(default=None, ge=1)
    prompt: Path | None = None
    schema_: Path = Field(alias="schema")
    sink: Name | None = None
    abstain: tuple[str, ...] = ("not enough information",)
    cut: tuple[str, ...] = ()
    retrieval: RetrievalSettings = RetrievalSettings()
    examples: ExamplesSettings | None = None
    sampling: SamplingSettings = SamplingSettings()
    injection: InjectionSettings = InjectionSettings()
    timeout: Duration = seconds("5min")
    reuse: Annotated[Duration, Field(gt=0)] | None = None
    min_support: float | None = Field(default=None, ge=0, le=1)
    confidence: ConfidenceSettings | None = None
    guard: GuardSettings | None = None
    feedback: FeedbackSettings | None = None
    baseline: BaselineSettings | None = None

    def beside(self, folder: Path) -> "PipelineSettings":
        """Return them with the paths of their files whole; they are written from this folder."""
        found, adapter = self.confidence, self.adapter
        if found is not None:
            path = (folder / found.calibration).resolve()
            found = found.model_copy(update={"calibration": path})
        if adapter is not None:
            adapter = adapter.model_copy(update={"path": (folder / adapter.path).resolve()})
        return self.model_copy(
            update={
                "prompt": self.prompt and (folder / self.prompt).resolve(),
                "schema_": (folder / self.schema_).resolve(),
                "confidence": found,
                "adapter": adapter,
            }
        )

    @property
    def routes(self) -> tuple[str, ...]:
        """The models that its rows may begin with; none where labelled rows answer."""
        found = (self.model, self.fallback)
        return tuple(name for name in found if name is not None and name != NEAREST)

    @property
    def larger(self) -> str | None:
        """The model that rows go on to that the first is not sure enough of."""
        return None if self.confidence is None else self.confidence.escalate_to

    def taught(self, model: str) -> str:
        """Return the SHA-256 of the adapter that one of its models works under; "" is none."""
        return self.adapter.sha256 if self.adapter and model == self.model else ""

    @property
    def models(self) -> tuple[str, ...]:
        """All models that its rows may go to."""
        more = () if self.larger is None else (self.larger,)
        return (*self.routes, *more)

    @property
    def collections(self) -> tuple[str, ...]:
        """The collections that its rows are compared with."""
        more = () if self.examples is None else (self.examples.collection,)
        return (*self.retrieval.collections, *more)

    @model_validator(mode="after")
    def _routed(self) -> "PipelineSettings":
        if self.remote_from is not None and self.fallback is None:
            raise ValueError("remote_from needs a fallback: of two models one is on a server")
        if self.budget_fallback and self.fallback is None:
            raise ValueError("budget_fallback needs a fallback: the model that still has a budget")
        return self

    @model_validator(mode="after")
    def _stood_in_for(self) -> "PipelineSettings":
        if self.baseline is not None and self.confidence is not None:
            raise ValueError("max_error is certified of the model: there is no baseline beside it")
        if self.feedback is not None and self.version_of is not None:
            raise ValueError("columns speak of all versions: [feedback] is in the pipeline's file")
        if self.baseline is not None and self.baseline.nearest and self.examples is None:
            raise ValueError("the nearest of [examples] needs [examples]")
        return self

    @model_validator(mode="after")
    def _nearest(self) -> "PipelineSettings":
        if self.model != NEAREST:
            if self.prompt is None:
                raise ValueError("a model needs a prompt")
            return self
        if self.examples is None or not self.examples.columns:
            raise ValueError('model = "nearest" needs [examples] with columns: what is compared')
        asks = self.fallback or self.prompt or self.retrieval.collections or self.reuse
        if asks or self.adapter:
            raise ValueError(
                'model = "nearest" has no fallback, prompt, passages, reuse or adapter'
            )
        return self


def bind_versions(pipelines: dict[str, PipelineSettings], folder: Path) -> None:
    """Give versions of a pipeline its sink and, if they have none of their own, its guard.

    Raises:
        errors.SettingsError: If a file names no pipeline, or another stream or sink than its own.
    """
    for name, pipeline in pipelines.items():
        if pipeline.version_of is None:
            continue
        where, first = f"{folder / name}.toml", pipelines.get(pipeline.version_of)
        if first is None or first.version_of is not None:
            others = sorted(other for other, one in pipelines.items() if one.version_of is None)
            raise errors.SettingsError(
                f"there is no pipeline {pipeline.version_of!r} to be a version of",
                where=f"{where}: version_of",
                fix=f"pipelines: {', '.join(others) or 'none'}",
            )
        if pipeline.stream != first.stream or pipeline.sink not in (None, first.sink):
            raise errors.SettingsError(
                f"versions of {pipeline.version_of} follow its stream and tell its sink",
                where=where,
                fix=f"set stream to {first.stream!r}, and leave out sink",
            )
        pipelines[name] = pipeline.model_copy(
            update={"sink": first.sink, "guard": pipeline.guard or first.guard}
        )
