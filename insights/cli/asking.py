"""Questions of `insights init`: each has a flag that answers it, and a best answer of its own."""

from collections.abc import Mapping, Sequence

import typer

from insights import errors
from insights.cli.output import console, shown
from insights.site.candidates import Candidate


class Asking:
    """Asks on a terminal; elsewhere, or when told not to, takes the best answer.

    Args:
        silent: Ask nothing.
    """

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def text(self, what: str, *, flag: str, default: str | None = None) -> str:
        """Return a text.

        Raises:
            errors.SettingsError: If there is nobody to ask, and no default.
        """
        if self._silent:
            if default is None:
                raise errors.SettingsError(f"{flag} is missing", where="init", fix=f"give {flag}")
            return default
        answer: str = typer.prompt(what, default=default, err=True, show_default=bool(default))
        return answer

    def choose(
        self,
        what: str,
        choices: Sequence[tuple[str, str]],
        *,
        best: str,
        flag: str,
        sure: bool = False,
    ) -> str:
        """Return one of several, by name; `sure` ones are not asked about."""
        if self._silent or sure:
            return best
        for name, about in choices:
            mark = "*" if name == best else " "
            console.print(f" {mark} [bold]{shown(name)}[/]  {shown(about)}", soft_wrap=True)
        names = [name for name, _ in choices]
        while True:
            answer: str = typer.prompt(f"{what} ({flag})", default=best, err=True)
            if answer in names:
                return answer
            console.print(f"one of {', '.join(names)}")

    def candidate(
        self,
        what: str,
        found: Sequence[Candidate],
        *,
        flag: str,
        sure: bool,
        best: Candidate | None = None,
    ) -> Candidate:
        """Return one of several candidates, shown with their grade; asked where two would do."""
        best = best or found[0]
        numbered = {str(at): one for at, one in enumerate(found, 1)}
        number = next(at for at, one in numbered.items() if one == best)
        chosen = self.choose(
            what,
            [(at, str(one)) for at, one in numbered.items()],
            best=number,
            flag=flag,
            sure=sure,
        )
        return numbered[chosen]

    def columns(self, what: str, found: Mapping[str, str], *, flag: str) -> list[str] | None:
        """Return columns, separated by commas in the answer; None for those that were found."""
        if self._silent:
            return None
        for name, why in found.items():
            console.print(f" * [bold]{shown(name)}[/]  {shown(why)}", soft_wrap=True)
        default = ", ".join(found) or "none"
        answer: str = typer.prompt(f"{what}, with commas ({flag})", default=default, err=True)
        names = [name.strip() for name in answer.split(",")]
        return [name for name in names if name and name != "none"]
