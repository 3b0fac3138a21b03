"""`insights promote`, `insights rollback`: a version's stage, and what a change would do."""

from typing import Annotated, Literal

import typer

from insights import errors
from insights.cli.output import Json, emit_json, stdout
from insights.ground import environment
from insights.site.files import load
from insights.site.settings import Settings
from insights.site.values import seconds
from insights.store.rollout import Found, Outcome, Rollout, Step
from insights.wiring.adapters import open_store
from insights.wiring.app import open_app

_SHORT = 12  # characters of a version's SHA-256 that are shown
_PERCENT = 100

Name = Annotated[str, typer.Argument(help="The pipeline, or the files of one of its versions")]
Why = Annotated[str, typer.Option("--why", help="Why, for the audit")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]
Dry = Annotated[bool, typer.Option("--preview", help="Say what would happen, and do nothing")]


def promote(  # noqa: PLR0917 - a command's options
    ctx: typer.Context,
    name: Name,
    version: Annotated[
        str | None,
        typer.Argument(help="How its SHA-256 begins [default: that of the files here]"),
    ] = None,
    to: Annotated[
        Literal["shadow", "canary", "gradual", "full"],
        typer.Option(
            help="shadow: made, shown nowhere; canary: shown for a share of the keys; gradual: a "
            "share that grows by itself; full: all"
        ),
    ] = "full",
    share: Annotated[
        str | None, typer.Option(help="Share of the keys, such as 5% [default: of a canary 5%]")
    ] = None,
    shares: Annotated[
        str, typer.Option(help="Of a gradual one: shares one after the other, the last for good")
    ] = "5%,10%,25%,50%,100%",
    every: Annotated[str, typer.Option(help="Of a gradual one: how long each share lasts")] = "1d",
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Rows that are known already become its work too")
    ] = False,
    why: Why = "",
    preview: Dry = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give a version a stage: in the shadow, for a share of the keys, or for all.

    What it has made already is shown at once where it is to be shown; other rows as they change, or
    all of them with --backfill. Says what would happen, and asks.
    """
    settings = load(ctx.obj)
    pipeline, prefix = _named(settings, name, version)
    step = _step(to, share, shares, every)
    step = Step(step.stage, step.share, step.shares, step.every_s, backfill=backfill, why=why)
    with open_store(settings) as store:
        rollout = Rollout(store, "insights promote", environment.user())
        found = rollout.version(pipeline, prefix)
        if found.stage == "full" and step.stage == "full":
            if not as_json:
                what = f"{pipeline}: version {found.sha256[:_SHORT]} is full already."
                stdout.print(f"{what} `insights backfill` does all rows.", markup=False)
            raise typer.Exit
        if found.stage == "full" and step.stage != "full":
            raise errors.SettingsError(
                f"version {found.sha256[:_SHORT]} of {pipeline} is full: keys need one that is",
                where="promote",
                fix=f"`insights rollback {pipeline}`, or promote another version",
            )
        if step.stage in ("canary", "gradual"):
            rollout.fits(pipeline, found)
        _do(rollout, pipeline, found, step, preview=preview, yes=yes, as_json=as_json)


def rollback(
    ctx: typer.Context,
    name: Name,
    version: Annotated[
        str,
        typer.Argument(help="How its SHA-256 begins [default: what has a share, or what is full]"),
    ] = "",
    why: Why = "",
    preview: Dry = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take a version back: what the one before made is shown again at once, the rest is queued.

    Of a version that is full, the one that was full before it is so again. Says what would happen,
    and asks.
    """
    settings = load(ctx.obj)
    pipeline = _pipeline(settings, name)
    with open_store(settings) as store:
        rollout = Rollout(store, "insights rollback", environment.user())
        taken, instead = rollout.back(pipeline, version)
        step = Step("retired" if instead is None else "full", back=True, why=why)
        if not as_json:
            stdout.print(
                f"{pipeline}: version {taken.sha256[:_SHORT]} ({taken.stage}) is taken back.",
                markup=False,
                highlight=False,
            )
        found = instead or taken
        _do(rollout, pipeline, found, step, preview=preview, yes=yes, as_json=as_json)


def _do(
    rollout: Rollout,
    pipeline: str,
    found: Found,
    step: Step,
    *,
    preview: bool,
    yes: bool,
    as_json: bool,
) -> None:
    outcome = rollout.preview(found.version_id, step)
    if not as_json:
        _tell(pipeline, found, step, outcome)
    if not preview:
        if not yes:
            typer.confirm("Do it?", abort=True, err=as_json)
        outcome = rollout.change(found.version_id, step)
    if as_json:
        emit_json(
            {
                "pipeline": pipeline,
                "version": found.sha256,
                "was": found.stage,
                "stage": step.stage,
                "share": 0.0 if step.stage == "retired" else step.share,
                "done": not preview,
                **{name: getattr(outcome, name) for name in outcome.__struct_fields__},
            }
        )
    elif not preview:
        stdout.print(f"{pipeline}: version {found.sha256[:_SHORT]} is {step.stage}.", markup=False)


def _tell(pipeline: str, found: Found, step: Step, outcome: Outcome) -> None:
    now = f"{found.stage} → {step.stage}"
    lines = {
        "shadow": f"it makes {outcome.of_share:,} of {outcome.rows:,} rows as they change; none is "
        "shown",
        "canary": f"it is shown for {outcome.of_share:,} of {outcome.rows:,} rows",
        "gradual": f"it is shown for {outcome.of_share:,} of {outcome.rows:,} rows, then for more",
        "full": f"it is shown for all of {outcome.rows:,} rows",
        "retired": "it makes nothing more and is shown nowhere",
    }
    stdout.print(
        f"{pipeline}, version {found.sha256[:_SHORT]}: {now}. From now on {lines[step.stage]}.\n"
        f"  {outcome.shown:,} rows change what they show at once; {outcome.queued:,} wait for a "
        f"model; {outcome.reread:,} are read again, and shown without one.",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    if step.shares:
        told = ", ".join(f"{one:.4g}" for one in step.shares)
        stdout.print(f"  Then {told} of the keys, each after {step.every_s:,.0f} s.", markup=False)


def _pipeline(settings: Settings, name: str) -> str:
    found = settings.pipeline.get(name)
    return name if found is None else found.version_of or name


def _named(settings: Settings, name: str, version: str | None) -> tuple[str, str]:
    """Return the pipeline that is meant, and how the version's SHA-256 begins."""
    if version is not None:
        return _pipeline(settings, name), version
    if name not in settings.pipeline:
        raise errors.SettingsError(
            f"there are no files of a pipeline {name!r} here",
            where="promote",
            fix="name a version: `insights pipeline list`",
        )
    with open_app(settings) as opened:
        made = opened.definition(name)
        return made.pipeline, opened.sha256(made)


def _step(
    to: Literal["shadow", "canary", "gradual", "full"], share: str | None, shares: str, every: str
) -> Step:
    if to == "gradual":
        first, *rest = (_share(one, "--shares") for one in shares.split(","))
        if any(one >= two for one, two in zip([first, *rest], rest, strict=False)) or not rest:
            raise errors.SettingsError(
                "shares grow from one to the next", where="--shares", fix="write 5%,25%,100%"
            )
        try:
            every_s = seconds(every)
        except ValueError as exc:
            raise errors.SettingsError(str(exc), where="--every") from None
        return Step(to, first, tuple(rest), every_s)
    default = "5%" if to == "canary" else "100%"
    given = _share(share or default, "--share")
    return Step(to, 1.0 if to == "full" else given)


def _share(text: str, where: str) -> float:
    """Return a share such as `5%` or `0.05`.

    Raises:
        errors.SettingsError: If it is none, or not more than 0 and at most 1.
    """
    bare = text.strip()
    try:
        found = float(bare.removesuffix("%")) / (_PERCENT if bare.endswith("%") else 1)
    except ValueError:
        found = 0.0
    if not 0 < found <= 1:
        raise errors.SettingsError(
            f"{text!r} is no share of the keys", where=where, fix="write 5% or 0.05"
        )
    return found
