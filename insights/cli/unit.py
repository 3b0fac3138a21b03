"""`insights unit`: the drop-in of this site for the systemd unit: its networks, its memory."""

import ipaddress
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from insights import errors
from insights.cli.output import console, shown
from insights.site import files, networks
from insights.site.settings import Settings

_RESOLVERS = Path("/etc/resolv.conf")
_MEMORY = re.compile(r"[1-9]\d*(?:[KMGT]|%)?")


def unit(
    ctx: typer.Context,
    network: Annotated[
        list[str] | None,
        typer.Option("--network", help="An address or network that is reached too; repeatable"),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="Most memory of the service, such as 12G or 60%")
    ] = None,
) -> None:
    """Print the drop-in of this site for the systemd unit; runs nothing.

    It opens the networks of what the settings name, as they resolve now, of the name servers, and
    what you add; all others stay closed. On a terminal it asks for what no option says.
    """
    settings = files.load(ctx.obj)
    if sys.stdin.isatty():
        network = network or _asked("More addresses or networks, such as 10.2.0.0/16 (Enter: none)")
        memory = memory or next(iter(_asked("Most memory, such as 12G (Enter: no limit)")), None)
    lines = drop_in(settings, network or (), memory)
    print("\n".join(lines))
    console.print(
        "Put it into /etc/systemd/system/insights.service.d/site.conf; systemctl daemon-reload"
    )


def drop_in(
    settings: Settings, network: Sequence[str], memory: str | None, reaches: tuple[str, ...] = ("",)
) -> list[str]:
    """Return the lines of this site's drop-in; warns of what it cannot tell.

    Args:
        settings: The site's.
        network: Addresses and networks that are reached too.
        memory: Most memory, as systemd writes it; None is no limit.
        reaches: Beginnings of the settings whose machines it reaches.

    Raises:
        errors.SettingsError: If one is none.
    """
    lines = [
        "# Printed by `insights unit`: what this site's service reaches, and may take.",
        "[Service]",
    ]
    for where, host in sorted(set(networks.hosts(settings))):
        if where.startswith(reaches):
            lines += _opened(where, host)
    for server in _name_servers():
        lines += [f"# {_RESOLVERS}", f"IPAddressAllow={server}"]
    for given in network:
        lines += ["# --network", f"IPAddressAllow={_checked(given)}"]
    if memory is not None:
        if not _MEMORY.fullmatch(memory):
            raise errors.SettingsError(
                f"{memory!r} is no amount of memory", where="--memory", fix="write it as 12G or 60%"
            )
        lines.append(f"MemoryMax={memory}")
    return lines


def _asked(what: str) -> list[str]:
    return str(typer.prompt(what, default="", err=True, show_default=False)).split()


def _opened(where: str, host: str) -> list[str]:
    """Return the lines that open what one setting leads to, as it resolves now."""
    if not host:
        _warn(f"{where} does not say where it leads: add it with --network")
        return []
    try:
        found = {str(answer[4][0]) for answer in socket.getaddrinfo(host, None)}
    except OSError:
        _warn(f"{where}: {host} does not resolve here: add its address with --network")
        return []
    local = all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in found)
    if local:
        return []  # the unit opens this machine itself
    return [f"# {where}: {host}", f"IPAddressAllow={' '.join(sorted(found))}"]


def _name_servers() -> list[str]:
    try:
        words = [line.split() for line in _RESOLVERS.read_text("utf-8", "replace").splitlines()]
    except OSError:
        return []
    servers = [
        line[1].partition("%")[0] for line in words if line[:1] == ["nameserver"] and line[1:]
    ]
    return [server for server in servers if not ipaddress.ip_address(server).is_loopback]


def _checked(given: str) -> str:
    try:
        return str(ipaddress.ip_network(given, strict=False))
    except ValueError as exc:
        raise errors.SettingsError(
            f"{given!r} is no address or network", where="--network", fix="write it as 10.2.0.0/16"
        ) from exc


def _warn(what: str) -> None:
    console.print(f"[yellow]warning[/] {shown(what)}", soft_wrap=True)
