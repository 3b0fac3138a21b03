"""A sink belongs to one pipeline."""

from pathlib import Path

import pytest

from insights.errors import SettingsError
from insights.site.files import load

MAIN = """
[source.helpdesk]
odbc = "Driver=SQLite3;Database=x"
[stream.ticket]
source = "helpdesk"
table = "ticket"
key = ["ticket_id"]
[stream.mail]
source = "helpdesk"
table = "mail"
key = ["mail_id"]
[model.small]
path = "small.gguf"
sha256 = "{sha256}"
[sink.helpdesk]
source = "helpdesk"
table = "ai_insight"
"""
PIPELINE = (
    'stream = "{stream}"\nmodel = "small"\nprompt = "p.j2"\nschema = "s.json"\nsink = "helpdesk"\n'
)


def test_two_pipelines_cannot_write_to_one_sink(tmp_path: Path) -> None:
    main = tmp_path / "insights.toml"
    main.write_text(MAIN.replace("{sha256}", "0" * 64))
    (tmp_path / "pipelines").mkdir()
    for stream in ("ticket", "mail"):
        text = PIPELINE.replace("{stream}", stream)
        (tmp_path / "pipelines" / f"{stream}s.toml").write_text(text)
    with pytest.raises(SettingsError, match="the sink 'helpdesk' already has pipeline mails"):
        load(main)
