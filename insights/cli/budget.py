"""`insights budget`: what may be spent, what was, and what is reserved by rows in hand."""

import msgspec
import typer

from insights.cli.output import Json, emit_json, emit_table
from insights.wiring.commands import reports


def budget(ctx: typer.Context, as_json: Json = False) -> None:
    """Show each budget: used, reserved by rows in hand, left, and when its next window begins."""
    with reports(ctx.obj) as opened:
        found = opened.budgets()
    if as_json:
        emit_json([{**msgspec.to_builtins(o), "left": o.left, "state": o.state} for o in found])
        return
    rows = [
        {
            "budget": one.name,
            "of": one.concerns,
            "unit": one.unit,
            "used": _amount(one.used),
            "reserved": _amount(one.reserved),
            "left": _amount(one.left),
            "soft": _amount(one.soft),
            "hard": _amount(one.hard),
            "resets": one.resets_at,
            "state": one.state,
        }
        for one in found
    ]
    emit_table("Budgets", rows, "No work is under a budget: `[budget.<name>]` in the settings.")


def _amount(amount: float | None) -> str:
    return "-" if amount is None else f"{round(amount, 6):,.10g}"
