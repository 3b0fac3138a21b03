"""The role `enrich`: the pipeline that claims rows, and the recipes of the versions it has."""

from collections.abc import Sequence

import msgspec
import structlog

from insights import errors
from insights.documents.attached import AttachedRows
from insights.enriching.certain import Certain
from insights.enriching.guard import Guard, word
from insights.enriching.recipe import Baseline, Recipe
from insights.enriching.redteam import Frame
from insights.governance.orders import Orders
from insights.ground import environment
from insights.inference.client import LocalGenerator
from insights.knowledge.selection import Floor, Selection
from insights.model import Said, StreamSpec
from insights.pipeline import Pipeline
from insights.ports import Rows
from insights.site import definitions, escalation
from insights.site import former as site_former
from insights.site.definitions import Definition
from insights.site.files import sensitive_stream
from insights.site.pipelines import confidence_of
from insights.site.settings import NEAREST
from insights.site.versions import Version
from insights.store import audit
from insights.store.feedback import Feedback
from insights.store.insights import InsightStore
from insights.store.reports import Reports
from insights.store.reuse import FormerGenerations
from insights.store.support import SupportStore
from insights.store.work import WorkQueue
from insights.wiring import budgets
from insights.wiring.adapters import routed
from insights.wiring.app import App, refuse_without_pipeline
from insights.wiring.knowledge import exampler, files, searcher

log = structlog.get_logger(__name__)

# Rows in hand: twice what a model runs at once, and what makes most of shared prompts (measured:
# docs/inference.md) where a third of their time is enough for them.
_IN_FLIGHT, _AMPLE = 64, 320
_NO_VERSION = 0  # of a trial: no work is claimed for it, and no insight is written


def recipe(app: App, name: str) -> Recipe:
    """Register a pipeline's version and bind it to its adapters."""
    made = app.definition(name)
    found = app.register(made)
    if not found.live:
        _tell_other(name)
    return _bound(app, made, found.version_id)


def trial(app: App, name: str) -> Recipe:
    """Bind a pipeline to its adapters as its files are now; registers and deploys nothing."""
    made = app.definition(name)
    if app.deployments.stage(made.pipeline, app.sha256(made)) == "retired":
        _tell_other(name)
    return _bound(app, made, _NO_VERSION)


def uncertified(app: App, name: str, larger: str | None = None) -> tuple[Recipe, str]:
    """Bind a pipeline as its files are, without its certificates; return its SHA-256 as well.

    Args:
        app: The site.
        name: The pipeline.
        larger: The model that its rows shall go on to, if they shall.

    Raises:
        errors.SettingsError: If they cannot go on to it.
    """
    wanted = confidence_of(larger)
    bare = app.settings.pipeline[name].model_copy(update={"confidence": wanted})
    where = str(app.settings.resolve(app.settings.pipelines_dir) / f"{name}.toml")
    sensitive = sensitive_stream(app.settings, bare)
    escalation.check(bare, app.settings.model, sensitive, where)
    pipelines = {**app.settings.pipeline, name: bare}
    made = definitions.read(app.settings.model_copy(update={"pipeline": pipelines}), name)
    return _bound(app, made, _NO_VERSION), app.sha256(made)


def former(app: App, name: str, version: Version) -> Recipe:
    """Bind a pipeline as another version of it was, to the models and columns that are here.

    Raises:
        errors.SettingsError: If that version needs what is not here.
    """
    now = app.definition(name)
    made, least = site_former.former(app.settings, now, app.described(now)[1], version)
    return _bound(app, msgspec.structs.replace(made, certificates=least), _NO_VERSION)


def _tell_other(name: str) -> None:
    log.warning(
        "another version of this pipeline is live",
        pipeline=name,
        fix=f"`insights promote {name}` makes the one of these files live",
    )


def recipes(app: App, *, load: bool) -> tuple[dict[int, Recipe], dict[str, errors.InsightsError]]:
    """Return the recipes by version, and what stands in the way of those that cannot run.

    Args:
        app: The site.
        load: Load every local model now, and check that it can be held to its schema.

    Raises:
        errors.InsightsError: If none can run.
    """
    bound: dict[int, Recipe] = {}
    refused: dict[str, errors.InsightsError] = {}
    for name in app.settings.pipeline:
        try:
            made = recipe(app, name)
        except errors.Permanent as exc:
            refused[name] = exc
            continue
        try:
            if load:
                _check(app, name)
        except errors.Permanent as exc:
            refused[name] = exc
            app.deployments.stopped(made.version_id, str(exc))
            continue
        app.deployments.stopped(made.version_id, None)
        bound[made.version_id] = made
    for name, why in refused.items():
        log.warning("a pipeline cannot run", pipeline=name, reason=str(why))
    if refused and not bound:
        raise next(iter(refused.values()))
    if not bound:
        raise refuse_without_pipeline(app)
    budgets.put(app, bound.values())
    return bound, refused


def stranded(app: App) -> errors.SettingsError | None:
    """Return the error of work that waits for a version of which nobody has the files."""
    for version in Reports(app.store).versions():
        if version.stranded and version.pipeline in app.settings.pipeline:
            return errors.SettingsError(
                f"{version.pending:,} rows wait for version {version.sha256[:12]}, which is live "
                "and not the one of the files here",
                where=f"pipeline {version.pipeline}",
                fix=f"`insights promote {version.pipeline}` makes the one here live",
            )
    return None


def queue(app: App, versions: list[int]) -> WorkQueue:
    """Return the queue of the work of some versions."""
    return WorkQueue(
        app.store,
        app.holder,
        versions,
        ttl_s=app.settings.daemon.lease,
        max_attempts=app.settings.daemon.max_attempts,
        key_version=app.hash_keys.version,
    )


def pipeline(app: App, bound: dict[int, Recipe], work: WorkQueue) -> Pipeline:
    """Return the pipeline."""
    settings = app.settings.daemon
    return Pipeline(
        bound,
        work,
        InsightStore(app.store, app.holder, budgets.costs(app.settings, bound.values())),
        batch=settings.batch,
        in_flight=settings.in_flight or _IN_FLIGHT,
        ample=settings.in_flight or _AMPLE,
        grounds=SupportStore(app.store),
    )


def grounds(app: App) -> SupportStore:
    """Return what scores how far sentences are supported."""
    return SupportStore(app.store)


def said(app: App, name: str) -> list[Said]:
    """Return what people said of a pipeline's insights, of whichever version."""
    return Feedback(app.store).given(app.definition(name).pipeline)


def rows(app: App, made: Recipe) -> int | None:
    """Return how many rows a stream's table has, counted up to a million; None for a query."""
    stream = made.stream
    if stream.table is None:
        return None
    name = f"{stream.schema}.{stream.table}" if stream.schema else stream.table
    return app.source(stream.source).profile(name).rows


def attacked(app: App, made: Recipe, found: Frame) -> None:
    """Write into the audit that a pipeline was attacked for trial, and what came of it."""
    user = environment.user()
    details = {"pipeline": made.name, "user": user, **msgspec.structs.asdict(found)}
    with app.store.transaction() as connection:
        event = audit.Event("attacked for trial", details=details)
        audit.append(connection, "insights redteam", [event])


def _check(app: App, name: str) -> None:
    made = app.definition(name)
    for model in filter(None, (made.settings.model, made.settings.larger)):
        generator = app.generator(model)
        if isinstance(generator, LocalGenerator):
            generator.check(
                made.output_schema,
                made.settings.abstain,
                where=str(made.settings.schema_),
                roles=made.template.roles,
                adapter=made.settings.taught(model),
            )


class Serving:
    """Says in the store which versions this daemon serves, for as long as it runs, and why not.

    Work of a version that nobody serves waits; `insights status` and `doctor` tell.
    """

    name = "serving"

    def __init__(self, app: App, served: Sequence[Recipe], flow: Pipeline) -> None:
        self._leases = app.leases
        self._deployments = app.deployments
        self._recipes = list(served)
        self._flow = flow
        self._told: dict[int, str | None] = {}
        self._served = [f"serves {recipe.version_id} {app.holder}" for recipe in served]
        self.every_s = app.settings.daemon.lease / 2

    def run_once(self) -> bool:
        """Prolong what is said, and tell what is stopped, or works again, since the last time."""
        for name in self._served:
            self._leases.take(name)
        stopped = self._flow.stopped
        for recipe in self._recipes:
            reason = stopped.get(recipe.name)
            if reason != self._told.get(recipe.version_id):
                self._deployments.stopped(recipe.version_id, reason)
                self._told[recipe.version_id] = reason
        return False


class Raising:
    """Raises the shares of gradual versions by their schedules: one daemon does, any of them."""

    name = "raising shares"
    every_s = 15.0

    def __init__(self, app: App) -> None:
        self._deployments = app.deployments

    def run_once(self) -> bool:
        """Raise what is due."""
        for raised in self._deployments.raise_shares():
            log.info("a version has a larger share of the keys", **raised)
        return False


def _guard(app: App, made: Definition) -> Guard:
    """Return what is done about rows that give orders: nothing where no model reads them."""
    wanted = made.settings.injection
    if made.settings.model == NEAREST:
        return Guard()
    return Guard(
        orders=None if wanted.action == "off" else Orders(made.output_schema),
        withholds=wanted.action == "withhold",
        canary=word(app.hash_keys.key, made.name) if wanted.canary else "",
    )


def _rows(app: App, stream: StreamSpec) -> Rows:
    """Return where a pipeline's rows are read; with their files, if its prompt shows them."""
    if stream.attachment is None:
        return app.rows(stream)
    source = app.source(stream.source)
    return AttachedRows(
        source, files(app, stream, app.settings.stream[stream.name].attachment_name)
    )


def _bound(app: App, made: Definition, version_id: int) -> Recipe:
    bound = _alone(app, made, version_id)
    name = made.settings.larger
    if name is None:
        return bound
    larger = msgspec.structs.replace(
        bound,
        generator=app.generator(name),
        certain=Certain() if made.certificates is None else Certain(made.certificates.larger),
        models=(name,),
        former=None,
        leaves=app.settings.model[name].url is not None,
    )
    return msgspec.structs.replace(bound, larger=larger)


def _alone(app: App, made: Definition, version_id: int) -> Recipe:
    """Bind a pipeline without its larger model."""
    wanted = made.settings.retrieval
    return Recipe(
        name=made.name,
        stream=made.stream,
        source=_rows(app, made.stream),
        generator=routed(app.settings, made.settings, app.generator),
        template=made.template,
        output_schema=made.output_schema,
        abstain=made.settings.abstain,
        sampling=made.sampling,
        cut=made.settings.cut,
        retriever=searcher(
            app,
            wanted.collections,
            Selection(
                count=wanted.passages,
                max_tokens=wanted.max_tokens,
                floor=Floor(similarity=wanted.min_similarity),
            ),
            rerank=wanted.rerank,
        )
        if wanted.collections
        else None,
        query_columns=made.query_columns,
        deadline_s=made.settings.timeout,
        version_id=version_id,
        canonical_passages=wanted.order == "canonical",
        filters=wanted.filters,
        collections=wanted.collections,
        min_support=made.settings.min_support,
        examples=exampler(app, made) if made.settings.examples else None,
        without_model=made.settings.model == NEAREST,
        guard=_guard(app, made),
        certain=Certain() if made.certificates is None else Certain(made.certificates.least),
        baseline=None
        if (found := made.settings.baseline) is None
        else Baseline(found.nearest, found.columns, found.values, found.withheld),
        models=tuple(filter(None, (made.settings.model, made.settings.fallback))),
        local_with=frozenset(made.settings.local_with),
        keeps_prompts=app.settings.audit.prompts == "text",
        former=None
        if made.settings.reuse is None or version_id == _NO_VERSION
        else FormerGenerations(app.store, version_id, made.settings.reuse),
    )
