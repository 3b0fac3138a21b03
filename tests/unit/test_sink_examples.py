"""`sql/sinks/` shows what `insights sink ddl` prints.

`python -m tests.unit.test_sink_examples` rewrites it.
"""

from pathlib import Path

import pytest
import sqlalchemy as sa

from insights.model import SinkSpec
from insights.sinks import ddl
from insights.store.queries import folder

SPEC = SinkSpec(
    name="helpdesk",
    source="helpdesk",
    table="ai_insight_triage",
    key=("ticket_id",),
    view="ticket_with_insight",
    legacy_table="ticket",
    output_schema={
        "properties": {
            "category": {"enum": ["account", "hardware", "network", "printing"]},
            "urgency": {"type": "integer"},
            "confidence": {"type": "number"},
            "outage": {"type": "boolean"},
            "due": {"type": "string", "format": "date"},
            "summary": {"type": "string", "maxLength": 200},
            "evidence": {"type": "string", "x-quote": "row.body"},
        }
    },
)
TICKET = sa.Table(
    "ticket",
    sa.MetaData(),
    sa.Column("ticket_id", sa.Integer, primary_key=True),
    sa.Column("subject", sa.String(200)),
    sa.Column("status", sa.String(20)),
    sa.Column("updated_at", sa.DateTime),
)

ENGINES = [name for name in ddl.DIALECTS if name != "mariadb"]  # as MySQL


def example(engine: str) -> tuple[Path, str]:
    text = ddl.script(SPEC, TICKET, ddl.dialect(engine), "")
    return folder("sql") / "sinks" / f"helpdesk_{engine}.sql", text + "\n"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_examples_are_what_the_command_prints(engine: str) -> None:
    path, text = example(engine)
    assert path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    for name in ENGINES:
        made, script = example(name)
        made.write_text(script, encoding="utf-8")
