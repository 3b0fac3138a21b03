"""Connection strings and passwords of commands, from where nobody else sees them.

Arguments are seen by every user of the machine. So a command takes `-` for its connection string,
or `--password-stdin`: one line of standard input each, asked for without echo on a terminal. And
`${name}` in a connection string is that credential, as in the settings.
"""

import getpass
import sys
from typing import Annotated, Literal, NamedTuple

import typer

from insights import errors
from insights.ground import connections, environment

PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin", help="Read the password from standard input, or ask for it there"
    ),
]


class Login(NamedTuple):
    """A connection string as it may be shown (`${name}` stays), and with all its secrets."""

    written: str
    revealed: str


def taken(
    given: str, where: str, put: Literal["odbc", "store"], *, password_stdin: bool = False
) -> Login:
    """Return a connection string that a command was given.

    Args:
        given: `-` reads it from standard input.
        where: The option, for errors.
        put: What it is: an ODBC string, or the store's URL.
        password_stdin: Whether a password comes from standard input, after it.

    Raises:
        errors.SettingsError: If nothing comes, or a credential is not there.
    """
    written = _line("Connection string (not shown): ", where) if given == "-" else given
    revealed = environment.reveal(written, where, put)
    if not password_stdin:
        return Login(written, revealed)
    password = _line("Password (not shown): ", "--password-stdin")
    return Login(*(connections.with_password(text, password, put) for text in (written, revealed)))


def _line(prompt: str, where: str) -> str:
    """Return one line of standard input; on a terminal it is asked for and not shown."""
    if sys.stdin.isatty():
        line = getpass.getpass(prompt)
    else:
        line = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not line:
        raise errors.SettingsError(
            "nothing came from standard input",
            where=where,
            fix="pipe one line into it, or run it on a terminal",
        )
    return line
