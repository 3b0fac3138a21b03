"""`insights service`: every step from settings to a service of systemd, and back.

The steps are printed as a script that a person can read and run; with `--apply` they are done, and
what is so already is left alone.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from insights import errors
from insights.cli.output import Json, console, emit_json, shown, stdout
from insights.cli.unit import drop_in
from insights.site import files
from insights.site.settings import Settings
from insights.store.queries import folder

app = typer.Typer(help="Run the daemon under systemd.", no_args_is_help=True)

_PROGRAM = "/opt/insights/venv/bin/insights"  # as the unit in systemd/ has it
_EXECUTABLE = ("/usr/", "/opt/")  # what the unit lets run
_HIDDEN = ("/home/", "/root/", "/tmp/", "/var/tmp/")  # noqa: S108 - what the unit does not see
_CREDENTIAL = re.compile(r"\$\{(\w+)\}")
_OURS = ("site.conf", "port.conf", "credentials.conf", "program.conf", "gpu.conf")

Instance = Annotated[
    str | None,
    typer.Option(
        help="One of several daemons of this host, with the settings /etc/insights/NAME.toml"
    ),
]
Door = Annotated[
    Literal["serve", "listen"] | None,
    typer.Option(help="No daemon, but a door: `insights serve` or `insights listen`; --instance"),
]
Root = Annotated[
    Path, typer.Option(help="A root directory that is prepared for another machine", hidden=True)
]
Apply = Annotated[bool, typer.Option("--apply", help="Do it; without, it is printed")]


class _Kind(msgspec.Struct, frozen=True):
    """What a unit brings, and what of the settings concerns its process.

    Attributes:
        prefix: Of the unit's name.
        port: That the unit opens; "" for none.
        listens: The settings with ports, by section and key.
        credentials: That the unit reads, and the file of each in the credential store.
        sections: Whose credentials it needs; none: all.
        reaches: What the names of settings begin with that lead to machines; "": all.
    """

    prefix: str
    port: str
    listens: tuple[tuple[str, str], ...]
    credentials: dict[str, str]
    sections: frozenset[str] = frozenset()
    reaches: tuple[str, ...] = ("",)


_GIVEN = {"hash_key": "hash_key", "store_password": "store_password"}
_OF_DOORS = {"hash_key": "hash_key", "store_password": "door_store_password"}
_DAEMON = _Kind("insights", "9187", (("health", "listen"), ("page", "listen")), _GIVEN)
_DOORS = {
    "serve": _Kind(
        "insights-serve",
        "9189",
        (("serve", "listen"), ("health", "serve")),
        {**_OF_DOORS, "door_tokens": "door_tokens"},
        frozenset({"store", "webhook", "access"}),
        ("store.", "webhook.", "access."),
    ),
    "listen": _Kind(
        "insights-listen",
        "",
        (("health", "queues"),),
        _OF_DOORS,
        frozenset({"store", "queue"}),
        ("store.", "queue."),
    ),
}


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing to do: a folder to make, a file to write or remove, or a command to run."""

    why: str
    folder: Path | None = None
    mode: int = 0o755
    write: Path | None = None
    text: str = ""
    remove: Path | None = None
    run: tuple[str, ...] = ()

    @property
    def script(self) -> str:
        """The same for a shell."""
        if self.folder is not None:
            made = f"install -d -m {self.mode:04o} {shlex.quote(str(self.folder))}"
        elif self.write is not None:
            made = f"cat > {shlex.quote(str(self.write))} <<'END'\n{self.text}END"
        elif self.remove is not None:
            made = f"rm -f {shlex.quote(str(self.remove))}"
        else:
            made = shlex.join(self.run)
        return f"# {self.why}\n{made}"

    def done(self) -> Literal["done", "is so already"]:
        """Do it, if it is not so already.

        Raises:
            OSError: If it cannot be done.
            subprocess.CalledProcessError: If the command fails.
        """
        if self.folder is not None:
            if self.folder.is_dir():
                return "is so already"
            self.folder.mkdir(parents=True)
            self.folder.chmod(self.mode)
        elif self.write is not None:
            if self.write.is_file() and self.write.read_text("utf-8") == self.text:
                return "is so already"
            made = self.write.with_name(f"{self.write.name}.new")
            made.write_text(self.text, encoding="utf-8")
            made.chmod(0o644)
            made.replace(self.write)
        elif self.remove is not None:
            if not self.remove.exists():
                return "is so already"
            self.remove.unlink()
        else:
            subprocess.run(self.run, check=True, stdin=subprocess.DEVNULL)  # noqa: S603 - ours
        return "done"


@app.command("install")
def install(
    ctx: typer.Context,
    *,
    instance: Instance = None,
    door: Door = None,
    network: Annotated[
        list[str] | None,
        typer.Option("--network", help="An address or network that is reached too; repeatable"),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="Most memory of the service, such as 12G or 60%")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="Let it use the GPUs")] = False,
    apply: Apply = False,
    root: Root = Path("/"),
    as_json: Json = False,
) -> None:
    """Print every step that makes these settings a service; with --apply do them, as root.

    Run it again when settings change: what is so already is left alone, and drop-ins of yours are;
    networks, memory and GPUs stay as they were given last.
    """
    site = _Site(ctx.obj, instance, root, door)
    settings = site.settings()
    if gpu and door is not None:
        raise errors.SettingsError("a door has no use for GPUs", where="--gpu", fix="leave it out")
    steps = list(site.installing(settings, network or [], memory, gpu=gpu))
    _go(steps, apply=apply, as_json=as_json)
    missing = site.missing(settings)
    for name in missing:
        console.print(
            f"[yellow]missing[/] the credential {shown(name)}: install -m 0400 FILE "
            f"{shown(str(site.file_of(name)))}",
            soft_wrap=True,
        )
    if apply and not missing:
        console.print(
            f"Next: systemctl status {site.unit}; insights {'doctor' if door else 'health'}"
        )


@app.command("uninstall")
def uninstall(
    ctx: typer.Context,
    instance: Instance = None,
    door: Door = None,
    apply: Apply = False,
    root: Root = Path("/"),
    as_json: Json = False,
) -> None:
    """Print every step that takes the service away; with --apply do them, as root.

    Settings, credentials and state stay: no row and no insight is lost by it.
    """
    site = _Site(ctx.obj, instance, root, door)
    _go(list(site.uninstalling()), apply=apply, as_json=as_json)
    console.print(f"These stay: {root / 'etc/insights'}, {site.store}, {root / 'var/lib/insights'}")


class _Site:
    """Where everything of one service lies."""

    def __init__(
        self, config: Path, instance: str | None, root: Path, door: str | None = None
    ) -> None:
        if instance is not None and not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", instance):
            raise errors.SettingsError(
                f"{instance!r} is no name", where="--instance", fix="use a-z, 0-9, - and _"
            )
        if door is not None and instance is None:
            raise errors.SettingsError(
                "a door has settings of its own, /etc/insights/NAME.toml",
                where="--door",
                fix="name them: --instance NAME",
            )
        self._config = config
        self._door = door
        self._kind = kind = _DAEMON if door is None else _DOORS[door]
        self._root = root
        self._is_live = root == Path("/")
        self.unit = f"{kind.prefix}@{instance}" if instance else kind.prefix
        self._file = f"{kind.prefix}{'@' if instance else ''}.service"
        self._expected = root / "etc" / "insights" / f"{instance or 'insights'}.toml"
        self._units = root / "etc" / "systemd" / "system"
        self._drop_ins = self._units / f"{self.unit}.service.d"
        self.store = root / "etc" / "credstore"

    def settings(self) -> Settings:
        """Return the settings, which lie where the unit looks for them.

        Raises:
            errors.SettingsError: If they lie elsewhere.
        """
        if self._config.resolve() != self._expected.resolve():
            raise errors.SettingsError(
                f"the service reads {self._expected}",
                where=str(self._config),
                fix=f"copy settings and pipelines there, then -c {self._expected}",
            )
        found = files.load(self._config)
        if self._door == "serve" and not found.serve.listen:
            fix = 'listen = "127.0.0.1:9189"'
            raise errors.SettingsError("the HTTP door is off", where="serve.listen", fix=fix)
        if self._door == "listen" and not found.queue:
            fix = "a section [queue.<name>]"
            raise errors.SettingsError("there is no queue to listen to", where="queue", fix=fix)
        return found

    def file_of(self, credential: str) -> Path:
        """Return where a credential is looked for."""
        return self.store / f"insights.{self._kind.credentials.get(credential, credential)}"

    def installing(
        self, settings: Settings, network: list[str], memory: str | None, *, gpu: bool
    ) -> Iterator[Step]:
        """Yield the steps."""
        program = Path(sys.prefix) / "bin" / "insights"
        if self._is_live and str(program).startswith(_HIDDEN):
            raise errors.SettingsError(
                "the service could not see the program there",
                where=str(program),
                fix="install it under /opt/insights (docs/install.md)",
            )
        yield Step("credentials: files that only root reads", folder=self.store, mode=0o700)
        yield Step("what belongs to this site", folder=self._drop_ins)
        unit = (folder("systemd") / self._file).read_text(encoding="utf-8")
        yield Step(
            "the unit: changes belong into drop-ins beside it",
            write=self._units / self._file,
            text=unit.replace(_PROGRAM, str(program)),
        )
        known = self._drop_ins / "site.conf"
        said = known.read_text(encoding="utf-8") if known.is_file() else ""
        former = re.search(r"^MemoryMax=(.+)$", said, re.MULTILINE)
        network = network or re.findall(r"^# --network\nIPAddressAllow=(.+)$", said, re.MULTILINE)
        memory = memory or (former[1] if former else None)
        site = drop_in(settings, network, memory, self._kind.reaches)
        yield self._drop_in("networks and memory", "site.conf", *site[2:])
        kind = self._kind
        listens = [str(getattr(getattr(settings, at), key)) for at, key in kind.listens]
        ports = [listen.rpartition(":")[2] for listen in listens]
        opened = [f"SocketBindAllow=tcp:{port}" for port in ports if port not in ("", kind.port)]
        yield self._drop_in("where it answers", "port.conf", *opened)
        people = {"page_tokens"} if kind is _DAEMON and settings.page.listen else set()
        named = sorted((self._credentials(settings) | people) - kind.credentials.keys())
        loaded = [f"LoadCredential={name}:insights.{name}" for name in named]
        yield self._drop_in("credentials that the settings name", "credentials.conf", *loaded)
        outside = [] if str(program).startswith(_EXECUTABLE) else [f"ExecPaths={sys.prefix}"]
        yield self._drop_in("where the program lies", "program.conf", *outside)
        if gpu:
            text = (folder("systemd") / "insights-gpu.conf").read_text(encoding="utf-8")
            yield Step("the GPUs", write=self._drop_ins / "gpu.conf", text=text)
        if self._is_live:
            yield Step("let systemd read them", run=("systemctl", "daemon-reload"))
            yield Step("start it, now and at boot", run=("systemctl", "enable", "--now", self.unit))
        else:
            there = f"--root={self._root}"
            yield Step("start it at boot", run=("systemctl", there, "enable", self.unit))

    def uninstalling(self) -> Iterator[Step]:
        """Yield the steps; a template stays while another instance has drop-ins."""
        if self._is_live:
            run: tuple[str, ...] = ("systemctl", "disable", "--now", self.unit)
        else:
            run = ("systemctl", f"--root={self._root}", "disable", self.unit)
        if (self._units / self._file).exists():
            yield Step("drain it, and start it no more", run=run)
        for name in _OURS:
            yield Step("a drop-in", remove=self._drop_ins / name)
        beside = self._units.glob(f"{self._kind.prefix}@*.service.d")
        others = [one for one in beside if one != self._drop_ins]
        if self._file == "insights.service" or not any(map(os.listdir, others)):
            yield Step("the unit", remove=self._units / self._file)
        if self._is_live:
            yield Step("let systemd know", run=("systemctl", "daemon-reload"))

    def missing(self, settings: Settings) -> list[str]:
        """Return the credentials that nobody has put there yet."""
        stores = self.store, self.store.with_name("credstore.encrypted")
        tokens = {"door_tokens"} & self._kind.credentials.keys()
        wanted = self._credentials(settings) | (set() if settings.access.jwt.issuer else tokens)
        return [
            name
            for name in sorted(wanted)
            if not any((store / self.file_of(name).name).exists() for store in stores)
        ]

    def _credentials(self, settings: Settings) -> set[str]:
        """Return what credentials the settings of this process name."""
        included = set(self._kind.sections) or None
        found = set(_CREDENTIAL.findall(settings.model_dump_json(include=included)))
        return found | ({"hash_key"} if settings.store.url is not None else set())

    def _drop_in(self, why: str, name: str, *lines: str) -> Step:
        """Return what writes a drop-in, or removes the former one where there is nothing to say."""
        file = self._drop_ins / name
        if not lines:
            return Step(f"{why}: nothing beyond the unit", remove=file)
        text = "\n".join(["# Written by `insights service install`.", "[Service]", *lines, ""])
        return Step(why, write=file, text=text)


def _go(steps: list[Step], *, apply: bool, as_json: bool) -> None:
    told = []
    for step in steps:
        state = "to do"
        if apply:
            state = _done(step)
        told.append({**msgspec.to_builtins(step, enc_hook=str), "state": state})
        if as_json:
            continue
        if apply:
            what = step.folder or step.write or step.remove or shlex.join(step.run)
            stdout.print(f"[bold]{state}[/]: {shown(step.why)}: {shown(str(what))}", soft_wrap=True)
        else:
            print(f"{step.script}\n")
    if as_json:
        emit_json(told)


def _done(step: Step) -> str:
    try:
        return step.done()
    except PermissionError as exc:
        raise errors.SettingsError(
            f"{exc.filename} cannot be written", where="insights service", fix="run it as root"
        ) from None
    except (OSError, subprocess.CalledProcessError) as exc:
        raise errors.SettingsError(
            f"{step.why}: {exc}",
            where="insights service",
            fix="mend it and run the same again: what is done is left alone",
        ) from None
