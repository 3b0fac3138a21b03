"""What an operator's terminal gets: texts as they are, whatever is in them."""

import pytest

from insights import cli, errors
from insights.cli import output

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
