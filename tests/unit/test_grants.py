"""The grants for engines that do not run here, read by a parser that is not ours."""

import re

import pytest
import sqlglot
from sqlglot import exp

from insights.store.queries import folder

DIALECTS = {"sqlserver": "tsql", "oracle": "oracle", "postgresql": "postgres", "mariadb": "mysql"}


@pytest.mark.parametrize("engine", DIALECTS)
@pytest.mark.parametrize("kind", ["reader", "writer", "acknowledger"])
def test_grants_parse_and_give_no_more_than_they_say(engine: str, kind: str) -> None:
    text = (folder("sql") / "grants" / f"{kind}_{engine}.sql").read_text(encoding="utf-8")
    bare = re.sub(r"^(--.*|GO)$", "", text, flags=re.MULTILINE)
    given = set()
    for statement in bare.split(";"):
        if statement.strip().startswith("GRANT"):
            parsed = sqlglot.parse_one(statement, dialect=DIALECTS[engine])
            assert isinstance(parsed, exp.Grant | exp.Command)
            rights, _, rest = statement.strip().removeprefix("GRANT ").partition(" ON ")
            listed = re.findall(
                r"[^,(]+(?:\([^)]*\))?", rights if rest else rights.split(" TO ")[0]
            )
            given |= {right.strip() for right in listed}
    allowed = {
        "reader": {"SELECT", "READ", "USAGE", "CREATE SESSION"},
        "writer": {"SELECT", "INSERT", "UPDATE", "USAGE", "CREATE SESSION"},
        "acknowledger": {
            *({"SELECT"} if engine == "oracle" else {"SELECT (ticket_id, ai_status)"}),
            *("UPDATE (ai_status)", "USAGE", "CREATE SESSION"),
        },
    }[kind]
    assert given <= allowed
    assert any(right.startswith(("SELECT", "READ")) for right in given)
