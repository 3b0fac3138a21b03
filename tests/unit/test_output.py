"""What an operator's terminal gets: texts as they are, whatever is in them."""

import datetime as dt
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from insights import cli, errors
from insights.cli import dead, output

ODD = (
    "k2[/x]",
    "[stream.ticket] key",
    "[link=https://evil.example]x[/link]",
    "[bold]b",
    "a\\",
    "[",
)


@pytest.mark.parametrize("text", ODD)
def test_no_markup_is_taken_from_a_value(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.emit_table("t", [{"row_key": text, "why": text}], "none")
    printed = capsys.readouterr().out
    assert printed.count(text) == 2


@pytest.mark.parametrize("text", ODD)
def test_an_errors_words_are_printed_as_they_are(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise errors.SettingsError(f"what {text}", where=f"where {text}", fix=f"fix {text}")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit):
        cli.main()
    printed = capsys.readouterr().err
    assert [part in printed for part in (f"what {text}", f"where {text}", f"fix {text}")] == [
        True
    ] * 3


def test_controls_are_visible() -> None:
    assert output.visible("a\x1b[2Jb\u202ec\td\n") == "a\\u001b[2Jb\\u202ec\td\n"


def _terminal(monkeypatch: pytest.MonkeyPatch, module: Any = output) -> None:  # noqa: ANN401
    stdout = Console(width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(output, "stdout", stdout)
    monkeypatch.setattr(module, "stdout", stdout)


WORD = "unpronounceable"
ROW = {
    "work_id": 1_234_567,
    "stream": "maintenance_orders",
    "key": "AB-1234567",
    "at": "2026-11-28",
}


def test_a_table_breaks_no_word_at_eighty_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _terminal(monkeypatch)
    rows = [{**ROW, "reason": " ".join([WORD] * 9)}] * 3
    output.emit_table("t", rows, "none")
    printed = capsys.readouterr().out
    assert printed.count(WORD) == 27
    assert all(len(line) <= 80 for line in printed.splitlines())
    output.emit_table("t", rows, "none", wide=True)
    printed = capsys.readouterr().out
    assert printed.count(" ".join([WORD] * 9)) == 3


class Letters:
    """Dead letters of two reasons."""

    def list(self, _stream: str | None, limit: int) -> list[dict[str, Any]]:
        at = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
        rows = [(n, "the row has no text " * 8) for n in range(30)] + [(99, "too [large]")]
        return [
            {"work_id": n, "stream": "t", "row_key": f"k{n}", "attempts": 1, "reason": why,
             "enqueued_at": at}
            for n, why in rows
        ][-limit:]  # fmt: skip

    def reasons(self, _stream: str | None) -> dict[str, int]:
        return {"the row has no text " * 8: 30, "too [large]": 1}


def test_dead_letters_are_grouped_by_reason_one_line_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _terminal(monkeypatch, dead)
    monkeypatch.setattr(dead, "dead_letters", lambda _: nullcontext(Letters()))
    context = SimpleNamespace(obj=None)
    dead.list_(context, limit=11)  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("30 rows: the row has no text")
    assert lines[-2:] == ["1 rows: too [large]", lines[-1]]
    assert lines[-1].startswith("  99  t k99  1 attempt, 2026-11-2")
    assert len(lines) == 2 + 11 + 1
    assert "20 more" in lines[11]
    assert all(len(line) <= 80 for line in lines)
    dead.list_(context, limit=11, wide=True)  # type: ignore[arg-type]
    assert ("the row has no text " * 8).strip() in capsys.readouterr().out
