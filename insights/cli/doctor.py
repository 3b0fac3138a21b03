"""`insights doctor`: is everything in place, and if not, what to do about it."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from insights import errors
from insights.cli import certificates, machine
from insights.cli.output import Json, console, emit_json, next_step, runnable, shown, stdout
from insights.cli.rehearsal import rehearsed
from insights.ground import environment
from insights.model import Finding
from insights.site import definitions, files, redaction
from insights.site.definitions import Definition
from insights.site.settings import NEAREST, Settings
from insights.store import revision
from insights.web.clients import Clients
from insights.web.webhooks import OutcomeHook
from insights.wiring import doors, queues
from insights.wiring.adapters import (
    adapted,
    open_generator,
    open_loader,
    open_marks,
    open_sink,
)
from insights.wiring.app import App, check_store, open_app
from insights.wiring.files import standings
from insights.workers.confinement import Held

_MARKS = {
    "ok": "[green]ok     [/]",
    "note": "[blue]note   [/]",
    "warning": "[yellow]warning[/]",
    "error": "[bold red]error  [/]",
}


_CONFINE = (
    "Linux 6.12 with Landlock and seccomp holds all of it, 5.13 most; in a container, allow their "
    "system calls; daemon.confine = true"
)

Script = Annotated[
    bool,
    typer.Option("--script", help="Print SQL for the DBA of each source: grants, index, view"),
]


def doctor(ctx: typer.Context, as_json: Json = False, script: Script = False) -> None:
    """Check settings, store, sources, sinks and models; every finding has its fix beside it.

    Reads only. Ends with the exit code of the first error.
    """
    if script:
        with open_app(files.load(ctx.obj)) as app:
            for made in app.definitions.values():
                if made.stream.of_inbox:
                    continue
                stdout.print(
                    app.source(made.stream.source).script(made.stream),
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )
        return
    examination = Examination(files.load(ctx.obj), ctx.obj)
    examination.run()
    if as_json:
        emit_json(
            [
                {"place": place, "level": found.level, "what": found.what, "fix": found.fix}
                for place, found in examination.findings
            ]
        )
    else:
        for place, found in examination.findings:
            stdout.print(
                f"{_MARKS[found.level]} [bold]{shown(place)}[/] {shown(found.what)}", soft_wrap=True
            )
            if found.fix:
                stdout.print(
                    f"        fix: {shown(runnable(found.fix))}", soft_wrap=True, highlight=False
                )
        if examination.code == 0:
            next_step("run", "--once")
    raise typer.Exit(examination.code)


class Examination:
    """Looks at one part after the other; a broken part does not hide the next."""

    def __init__(self, loaded: Settings, config: Path) -> None:
        self._config = config
        self.findings: list[tuple[str, Finding]] = []
        self.code = 0
        self._settings = loaded
        self._definitions: list[Definition] = []
        self._loaded: dict[str, Any] = {}
        self._closing = ExitStack()

    def run(self) -> None:
        """Look at everything."""
        with self._closing:
            self._all()

    def _all(self) -> None:
        self._machine()
        for name in self._settings.pipeline:
            with self._looking(f"pipeline {name}"):
                self._definitions.append(definitions.read(self._settings, name))
                self._ok(f"pipeline {name}", "prompt and schema are in order")
                self._nulls(self._definitions[-1])
        with self._looking("store"):
            self._store()
        for made in self._definitions:
            if made.sink is not None:
                place = f"sink {made.sink.name}"
                with self._looking(place), open_sink(self._settings, made.sink.name) as sink:
                    sink.check()
                    self._ok(place, f"{made.sink.table} can be written")
            if made.marks is not None:
                place = f"stream {made.stream.name}"
                with self._looking(place), open_marks(self._settings, made.marks) as marks:
                    marks.check()
                    verbs = " and ".join(made.marks.changes)
                    self._ok(place, f"{verbs}: {made.marks.table} can be changed on the primary")
            for model in filter(None, (made.settings.model, made.settings.larger)):
                with self._looking(f"model {model}"):
                    self._model(made, model)
        if self._settings.traces.endpoint:
            with self._looking("traces"):
                self._traces()
        self._alerts()
        self._doors()
        self._queues()
        for name, found in self._settings.collection.items():
            if found.folder is not None:
                folder = self._settings.resolve(found.folder)
                with self._looking(f"collection {name}"), open_loader(folder) as loader:
                    self._held(f"collection {name}", "its loader", loader.held())

    def _machine(self) -> None:
        for finding in machine.findings(self._settings, self._config):
            self._add("machine", finding)
        for where, finding in certificates.findings(self._settings):
            self._add(where, finding)

    def _doors(self) -> None:
        for one in standings(self._settings):
            for trouble in one.troubles:
                fix = "give the daemon's user the folder, and the unit ReadWritePaths="
                self._add(f"door {one.name}", Finding("error", trouble, fix))
            if not one.troubles:
                what = f"{one.folder} and the folders of its files can be written, as this user"
                self._ok(f"door {one.name}", what)

    def _traces(self) -> None:
        from insights.web import otlp  # noqa: PLC0415 - it takes a quarter of a second to load

        collector = otlp.Collector.of(self._settings)
        if collector.takes():
            self._ok("traces", f"{collector.endpoint} takes spans")
        else:
            what = f"{collector.endpoint} takes no spans: traces would be lost, and nothing else"
            fix = 'OTLP over HTTP is mostly port 4318, path /v1/traces; or traces.endpoint = ""'
            self._add("traces", Finding("warning", what, fix))

    def _alerts(self) -> None:
        told = self._settings.alerts
        if not told.webhook.url and not told.mail.to:
            return
        from insights.web import receivers  # noqa: PLC0415 - it takes a tenth of a second to load

        with self._looking("alerts"):
            for receiver in receivers.receivers(self._settings):
                place = f"alerts {receiver.name}"
                try:
                    receiver.reach()
                except errors.ReceiverUnavailable as exc:
                    self._add(place, Finding("warning", exc.what, exc.fix))
                else:
                    self._ok(place, f"{receiver.place} answers; `insights alert test` sends one")

    def _nulls(self, made: Definition) -> None:
        """Render the prompt for rows that lack a value: one that fails would be a dead letter."""
        texts: dict[str, str | None] = dict.fromkeys(made.stream.inputs, "text")
        for name in made.stream.inputs:
            try:
                made.template.render({**texts, name: None}, (), "{}")
            except errors.RowError as exc:
                what = f"a row whose {name} is NULL would be a dead letter: {exc.where}: {exc.what}"
                self._add(f"pipeline {made.name}", Finding("warning", what, exc.fix))

    def _store(self) -> None:
        with open_app(self._settings) as app:
            own = revision.check(app.store)
            which = "is this program's" if own else "is newer than this program's, and serves it"
            self._ok("store", f"reachable, its schema {which}, the hash key is its own")
            with self._looking("store"):
                check_store(app)
                self._ok("store", "indexes and views that depend on the settings are there")
            with self._looking("machine"):
                self._add("machine", machine.clock(app.reports.clock))
            self._keys(app)
            for embedder in app.embedders() if self._settings.collection else ():
                with self._looking("embedding"):
                    if (held := getattr(embedder, "held", None)) is not None:  # no server's child
                        self._held("embedding", embedder.model.name, held())
            for place, model in redaction.names_models(self._settings).items():
                with self._looking(place):
                    self._held(place, "its recognizer of names", app.recognizer.held(model))
            with self._looking("store"):
                self._versions(app)
            for made in self._definitions:
                place = f"stream {made.stream.name}"
                with self._looking(place):
                    if made.stream.of_inbox:
                        self._ok(place, f"takes {', '.join(doors.fields(app, made.name))}")
                        continue
                    for finding in app.source(made.stream.source).examine(made.stream):
                        self._add(place, finding)

            if any(made.stream.of_inbox for made in self._definitions):
                with self._looking("doors"):
                    self._held("doors", "their intake", doors.intake(app).held())
            self._webhooks(app)
        self._clients()

    def _clients(self) -> None:
        """Say who may come to the HTTP door."""
        if self._settings.serve.listen:
            with self._looking("serve"):
                given = environment.credential("door_tokens") or ""
                if given or not self._settings.access.jwt.issuer:
                    self._ok("serve", f"{len(Clients(given))} clients have tokens")
        if self._settings.access.jwt.issuer:
            with self._looking("access.jwt"):
                self._issuer()

    def _webhooks(self, app: App) -> None:
        """Connect to each webhook's server; nothing is sent."""
        if self._settings.webhook:
            with self._looking("webhooks"):
                doors.webhooks(app)
        for name, found in self._settings.webhook.items():
            with self._looking(f"webhook {name}"):
                end = OutcomeHook(self._settings, name).reach()
                self._ok(f"webhook {name}", f"{found.origin[1]} can be reached")
                if end is not None:
                    self._add(f"webhook {name}", certificates.until(found.origin[1], end))

    def _queues(self) -> None:
        """Ask each broker how much waits; no message is taken."""
        for name, found in self._settings.queue.items():
            place = f"queue {name}"
            with self._looking(place):
                if (end := queues.certificate(self._settings, name)) is not None:
                    self._add(place, certificates.until("the broker", end))
                with closing(queues.broker(self._settings, name)) as broker:
                    self._ok(place, f"{found.queue} answers; {broker.waiting():,} in it")

    def _issuer(self) -> None:
        """Read the keys that tokens are checked with."""
        from insights.web.bearer import Bearers  # noqa: PLC0415 - it loads cryptography

        if count := Bearers(self._settings).usable():
            self._ok("access.jwt", f"{count} keys of its issuer can be used")
        else:
            what = "none of its keys is of one of algorithms: no token would be taken"
            self._add("access.jwt", Finding("error", what, "algorithms as the issuer signs"))

    def _keys(self, app: App) -> None:
        """Tell how far a rotation of the hash key is."""
        keys = app.hash_keys
        if keys.former is None:
            return
        if app.rotates:
            what = "hash_key is new: the next `insights run` begins to rotate it"
            self._add("store", Finding(level="note", what=what))
        elif remaining := app.registry.former_rows(keys.version):
            what = f"{remaining:,} rows are still known by hash_key_former: keep it"
            self._add("store", Finding(level="note", what=what))
        else:
            what = "no row needs hash_key_former any more"
            fix = "remove the credential, and restart the daemon"
            self._add("store", Finding(level="note", what=what, fix=fix))

    def _versions(self, app: App) -> None:
        """Tell of work that waits for a version that nobody serves, and of what cannot run."""
        for version in app.reports.versions():
            place = f"pipeline {version.pipeline}"
            if version.stopped_reason:
                self._add(place, Finding(level="error", what=version.stopped_reason))
            elif version.stranded and version.sha256 not in self._own(app, version.pipeline):
                what = f"{version.pending:,} rows wait for version {version.sha256[:12]}, of which "
                fix = f"`insights promote {version.pipeline}` makes the one here live"
                self._add(place, Finding("warning", f"{what}the files are not here", fix))

    def _own(self, app: App, pipeline: str) -> set[str]:
        """Return the versions of the files here."""
        return {app.sha256(made) for made in self._definitions if made.pipeline == pipeline}

    def _model(self, made: Definition, name: str) -> None:
        """Load a model once, whatever number of pipelines it has, and hold it to each schema."""
        place = f"model {name}"
        if name == NEAREST:
            self._ok(f"pipeline {made.name}", "the nearest labelled row answers, and no model")
            return
        generator = self._loaded.get(name)
        if generator is None:
            generator = open_generator(self._settings, name)
            self._closing.callback(generator.close)
            info = generator.info()
            self._loaded[name] = generator
            self._ok(
                place,
                f"{info.name} on {info.device}: {info.parallel} rows at once, "
                f"{info.context} tokens each"
                + (f"; chat template: {info.chat_template}" if info.chat_template else ""),
            )
            if (held := getattr(generator, "held", None)) is not None:
                self._held(place, "its generator", held())
        check = getattr(generator, "check", None)
        if check is None:  # a server's: servers differ, the made-up row tells
            self._rehearse(made, generator)
            return
        notes: list[str] = check(
            made.output_schema,
            made.settings.abstain,
            where=str(made.settings.schema_),
            roles=made.template.roles,
            adapter=made.settings.taught(name),
        )
        for note in notes:
            self._add(place, Finding(level="note", what=note))
        self._rehearse(made, adapted(made.settings, name, generator))

    def _rehearse(self, made: Definition, generator: Any) -> None:  # noqa: ANN401 - a port's
        """Take a made-up row through prompt, schema and model."""
        with console.status(f"{made.name}: a made-up row goes through its prompt"):
            found = rehearsed(made, generator)
        what = (
            f"a made-up row went through its prompt: {found.tokens:,} tokens written in "
            f"{found.seconds:.1f} s, {found.status}"
        )
        if found.status == "withheld":
            self._add(f"pipeline {made.name}", Finding("note", f"{what}: {found.reason}"))
        else:
            self._ok(f"pipeline {made.name}", what)

    def _held(self, place: str, who: str, held: Held) -> None:
        """Tell what a child was seen to be unable to do, and what it can do all the same."""
        if held.cannot:
            self._ok(place, f"{who} tried, and cannot {', '.join(held.cannot)}")
        if held.can:
            what = f"{who} tried, and can {', '.join(held.can)}"
            self._add(place, Finding(level="note", what=what, fix=_CONFINE))

    @contextmanager
    def _looking(self, place: str) -> Iterator[None]:
        try:
            yield
        except errors.InsightsError as exc:
            what = f"{exc.where}: {exc.what}" if exc.where else exc.what
            self.code = self.code or exc.exit_code
            self._add(place, Finding(level="error", what=what, fix=exc.fix))

    def _add(self, place: str, finding: Finding) -> None:
        if finding.level == "error":
            self.code = self.code or errors.StreamError.exit_code
        self.findings.append((place, finding))

    def _ok(self, place: str, what: str) -> None:
        self._add(place, Finding(level="ok", what=what))
