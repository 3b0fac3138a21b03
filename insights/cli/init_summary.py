"""What `insights init` says of the table that it looked at, and of what it chose."""

from collections.abc import Sequence
from pathlib import Path

from insights.cli import recipes
from insights.cli.output import shown, stdout
from insights.cli.writing import Choices
from insights.model import TableProfile
from insights.site import candidates


def tell_size(table: str, profile: TableProfile) -> None:
    """Say how large a table is."""
    many = (
        f"more than {profile.counted:,}" if profile.rows > profile.counted else f"{profile.rows:,}"
    )
    kind = "view" if profile.is_view else "table"
    stdout.print(
        f"{kind} [bold]{shown(table)}[/]: {many} rows, {len(profile.columns)} columns; looked at "
        f"{profile.sampled:,} rows",
        highlight=False,
    )
    if profile.rows == 0:
        stdout.print("[yellow]The table is empty:[/] its values could not be looked at.")


def tell_choices(
    choices: Choices,
    contents: dict[Path, str],
    columns: Sequence[str],
    quoted: str | None,
    made: recipes.Recipe,
    profile: TableProfile,
) -> None:
    """Say what was chosen and why, and which files were written."""

    def line(label: str, value: str) -> None:
        stdout.print(f"[bold]{label:<10}[/] {shown(value)}", soft_wrap=True, highlight=False)

    line("recipe", f"{made.name}: {made.about}")
    line("key", f"{', '.join(choices.key)}: {choices.key_why}")
    line("new rows", f"{choices.cursor or 'no cursor'}: {choices.cursor_why}")
    line("shown", ", ".join(columns) + (f"; quoted from {quoted}" if quoted else ""))
    hidden = choices.personal
    line("personal", ", ".join(f"{name} ({why})" for name, why in hidden.items()) or "none seen")
    for name, kinds in candidates.found_in_text(profile, hidden):
        line("", f"{name}: the sample holds {kinds}; each becomes a placeholder")
    if choices.accept_scan:
        line("scans", "a page scans the view: ask the DBA whether the replica bears it")
    line("model", f"{choices.model}")
    for path in contents:
        line("wrote", str(path))
