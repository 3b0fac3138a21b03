"""Persons with a role of their own: each may run the commands of the role, and no others."""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
import typer
from psycopg import sql as psql

from insights import cli, errors
from insights.governance import access
from insights.store.deployments import Deployments
from insights.store.postgres import Store
from insights.store.queries import folder, load
from tests import servers
from tests.helpdesk import Helpdesk
from tests.site import Site

SECRET = "only-in-tests"
PERSONS = {
    "otto": "operator",
    "anna": "auditor",
    "kim": "key_reader",
    "rita": "retention",
    "nora": None,
}
FILES = {
    role: access.GRANTS[role].file for role in ("operator", "auditor", "key_reader", "retention")
}


def script(name: str) -> str:
    return (folder("sql") / "grants" / name).read_text(encoding="utf-8")


class Shared:
    """A site with rows and insights, a dead letter, and four persons' logins on its store."""

    def __init__(self, site: Site, server: servers.Postgres, database: str) -> None:
        self.site, self.server, self.database = site, server, database

    def url(self, person: str) -> str:
        return self.server.url(self.database, person, SECRET)

    def run(
        self, person: str, line: str, capsys: pytest.CaptureFixture[str]
    ) -> tuple[int | str | None, str]:
        """Run a command in this process as a person; return its exit code and what it said."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.site.env(INSIGHTS_STORE__URL=self.url(person)).items():
                patch.setitem(os.environ, name, value)
            patch.setattr(sys, "argv", ["insights", "-c", str(self.site.config), *line.split()])
            code: int | str | None = 0
            try:
                cli.main()
            except SystemExit as exc:
                code = exc.code
        said = capsys.readouterr()
        return code or 0, " ".join((said.out + said.err).split())


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, store_server: servers.Postgres, stand_in: Path
) -> Iterator[Shared]:
    folder_, name = tmp_path_factory.mktemp("shared"), "shared_access"
    store_server.create_database(name, "template_store")
    legacy = Helpdesk(folder_ / "legacy.sqlite", 12)
    site = Site(folder_, store_server.url(name), legacy.odbc, stand_in).write()
    site.insights("migrate")
    site.run_once()
    for file in FILES.values():
        store_server.execute(script(file), database=name)
        if "NOT EXISTS" in script(file):
            store_server.execute(script(file), database=name)  # repeating it changes nothing
    for person, role in PERSONS.items():
        store_server.execute(f"CREATE ROLE {person} LOGIN PASSWORD '{SECRET}'", database=name)
        if role is not None:
            store_server.execute(f"GRANT {access.GRANTS[role].role} TO {person}", database=name)  # type: ignore[index]
    store_server.execute(
        "UPDATE store.work SET state = 'dead', reason = 'a test' WHERE work_id = 1", database=name
    )
    yield Shared(site, store_server, name)
    roles = ", ".join([*PERSONS, *(access.GRANTS[role].role for role in FILES)])  # type: ignore[index]
    store_server.execute(f"DROP OWNED BY {roles}", database=name)
    store_server.execute(f"DROP ROLE {roles}", database=name)
    store_server.drop_database(name)


def leaves(command: object, path: tuple[str, ...] = ()) -> Iterator[str]:
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(path)
    for name, one in (below or {}).items():
        yield from leaves(one, (*path, name))


def test_every_command_is_somebody_s() -> None:
    assert set(leaves(typer.main.get_command(cli.app))) == set(access.COMMANDS)


def test_the_page_of_permissions_says_whose_each_command_is() -> None:
    page = Path("docs/permissions.md").read_text(encoding="utf-8")
    for role in (*access.GRANTS, "nobody"):
        named = [f"`{name}`" for name, need in access.COMMANDS.items() if need.role == role]
        who = f"`{access.GRANTS[role].role}`" if role in access.GRANTS else "anybody"
        line = next(line for line in page.splitlines() if line.startswith(f"| {who} |"))
        assert [one.strip() for one in line.split("|")[2].split(",")] == named, line


LINES = {
    "operator": (
        "status",
        "status --json",
        "budget",
        "pause ticket",
        "resume ticket",
        "drain --all",
        "dead list",
        "dead show 1",
        "dead retry",
        "pipeline list",
        "pipeline history triage",
        "pipeline show triage",
        "pipeline diff triage {version} {version}",
        "promote triage {version} --yes",
        "backfill triage --yes",
        "sink refused legacy",
        "sink retry legacy",
    ),
    "auditor": ("audit verify", "audit show 1", "audit settings", "audit export {out}"),
    "key_reader": ("key find 3",),
    "retention": ("forget -s ticket -k nobody", "forget -s ticket -k nobody --undo"),
}


@pytest.mark.parametrize("role", LINES)
def test_a_person_with_a_role_runs_its_commands_and_another_is_told_which_role_it_takes(
    shared: Shared, capsys: pytest.CaptureFixture[str], role: access.Role
) -> None:
    (person,) = (name for name, of in PERSONS.items() if of == role)
    ((version,),) = shared.site.query(
        "SELECT sha256 FROM store.pipeline_version JOIN store.pipeline USING (pipeline_id)"
        " WHERE name = 'triage'"
    )
    run = set()
    for line in LINES[role]:
        for at, (who, code) in enumerate((("nora", errors.AccessDenied.exit_code), (person, 0))):
            out = shared.site.folder / f"out{at}"
            typed = line.format(version=version, out=out)
            found, said = shared.run(who, typed, capsys)
            assert found == code, (who, typed, said)
            if code:
                name = access.command_of(typed.split())
                assert f"`insights {name}` is for the role {access.GRANTS[role].role}" in said
                assert f'GRANT {access.GRANTS[role].role} TO "nora";' in said
        run.add(access.command_of(line.split()))
    mine = {name for name, need in access.COMMANDS.items() if need.role == role}
    assert mine - run <= {"rollback"}  # which needs a former version, and asks the same
    told = shared.site.query(
        "SELECT DISTINCT actor FROM store.audit_chain WHERE login = %s AND length > 0", person
    )
    wrote = {"insights dead", "insights pause", "insights resume"}
    staged = {"insights promote", "insights rollback"}  # where the other test was first
    expected = {"operator": wrote, "retention": {"audit retention"}}.get(role, set())
    assert {actor for (actor,) in told} - staged == expected


def test_an_operator_changes_stages_and_the_audit_has_the_login(
    shared: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(shared.site.store_url).open()
    versions = []
    for definition in ({"prompt": "first"}, {"prompt": "second"}):
        said = msgspec.json.encode(definition)
        versions.append(hashlib.sha256(said).hexdigest())  # as `audit verify` looks at it
        Deployments(store).register(
            "other", versions[-1], definition, stream="other", columns=("a",)
        )
    store.close()
    first, second = versions
    for line in (f"promote other {first[:8]} --why test --yes", "rollback other --yes"):
        assert shared.run("otto", line, capsys)[0] == 0
        assert shared.run("nora", line, capsys)[0] == 45
    told = shared.site.query(
        "SELECT c.actor, c.login, left(e.details ->> 'version', 8), e.details ->> 'why'"
        " FROM store.audit_event e JOIN store.audit_chain c USING (chain_id)"
        " WHERE e.action = 'deployed' AND c.login = 'otto' ORDER BY e.at"
    )
    assert told == [
        ("insights promote", "otto", first[:8], "test"),
        ("insights rollback", "otto", second[:8], None),
    ]


def test_a_command_of_the_service_names_its_login(
    shared: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = shared.run("otto", "knowledge status", capsys)
    assert (code, "is for the role insights_daemon" in said) == (45, True), said
    assert "sql/grants/store_daemon.sql" in said


def statements(role: str) -> dict[str, str]:
    wanted = {
        name for need in access.COMMANDS.values() if need.role == role for name in need.statements
    }
    return {name: load(name.split(".")[0])[name.split(".")[1]] for name in sorted(wanted)}


def refused(link: psycopg.Connection[tuple[object, ...]], statement: str) -> bool:
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match.group(1) not in names:
            names.append(match.group(1))
        return f"${names.index(match.group(1)) + 1}"

    text = re.sub(r"%\((\w+)\)s", number, statement).replace("%%", "%")
    try:
        with link.transaction():
            link.execute(psql.SQL(f"EXPLAIN (GENERIC_PLAN) {text}"))
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def given(role: str) -> Iterator[tuple[str, str]]:
    """Yield each right of a role's file, a column alone where columns are named, and on what."""
    bare = re.sub(r"--.*", "", script(FILES[role]))
    for rights, tables in re.findall(r"GRANT ([^;]+?) ON ((?:store|insights)\.[^;]+?) TO", bare):
        for right, columns in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", rights):
            for table in tables.split(","):
                for column in (columns or "").split(","):
                    named = f" ({column.strip()})" if column else ""
                    yield f"{right}{named}", table.strip()


@pytest.mark.parametrize("role", ["operator", "auditor", "retention"])
def test_a_role_has_the_rights_of_its_statements_and_none_besides(
    shared: Shared, role: access.Role
) -> None:
    (person,) = (name for name, of in PERSONS.items() if of == role)
    wanted = statements(role)
    named = access.GRANTS[role].role
    needless = []
    with (
        psycopg.connect(shared.url(person), autocommit=True) as link,
        psycopg.connect(shared.site.store_url, autocommit=True) as owner,
    ):
        assert [name for name, text in wanted.items() if refused(link, text)] == []
        for right, table in given(role):
            owner.execute(psql.SQL(f"REVOKE {right} ON {table} FROM {named}"))
            if not any(refused(link, text) for text in wanted.values()):
                needless.append(f"{right} ON {table}")
            owner.execute(psql.SQL(f"GRANT {right} ON {table} TO {named}"))
    assert not needless, "\n".join(needless)


@pytest.mark.parametrize(
    ("person", "statement"),
    [
        ("rita", "SELECT * FROM store.ledger"),
        ("rita", "SELECT output FROM store.insight"),
        ("rita", "SELECT * FROM store.audit_event"),
        ("rita", "SELECT sealed FROM store.outbox"),
        ("rita", "DELETE FROM store.forgotten"),
        ("rita", "UPDATE store.forgotten SET held_back = 0"),
        ("rita", "SELECT store.take_row(1)"),
        ("rita", "SELECT store.entomb_events(1, 1, '{}', '{}', '', '{}')"),
        ("rita", "SELECT store.chain_events('audit retention', '[]')"),
        ("rita", "SELECT store.append_events('insights forget', '[]')"),
        ("otto", "SELECT store.forget('ticket', '1', '{}')"),
        ("otto", "SELECT output FROM store.insight"),
        ("otto", "SELECT quote FROM store.citation"),
        ("otto", "SELECT corrected FROM store.feedback"),
        ("otto", "SELECT * FROM store.passage"),
        ("otto", "SELECT row_key FROM store.ledger"),
        ("otto", "SELECT row_key FROM store.shown_key"),
        ("otto", "SELECT value FROM store.setting"),
        ("otto", "SELECT * FROM insights.current"),
        ("otto", "INSERT INTO store.insight DEFAULT VALUES"),
        ("otto", "DELETE FROM store.work"),
        ("otto", "UPDATE store.budget SET used = 0"),
        ("otto", "UPDATE store.deployment SET columns = '{}'"),
        ("otto", "SELECT store.append_events('page eve', '[{\"action\": \"texts read\"}]')"),
        ("otto", "SELECT store.seal_events(now())"),
        ("anna", "SELECT store.append_events('insights audit', '[]')"),
        ("anna", "SELECT quote FROM store.citation"),
        ("anna", "SELECT row_key FROM store.shown_key"),
        ("anna", "UPDATE store.stream SET paused = true"),
        ("anna", "DELETE FROM store.audit_event"),
        ("kim", "SELECT * FROM store.ledger"),
        ("kim", "SELECT * FROM store.audit_event"),
        ("nora", "SELECT * FROM store.stream"),
    ],
)
def test_a_role_cannot(shared: Shared, person: str, statement: str) -> None:
    with (
        psycopg.connect(shared.url(person), autocommit=True) as link,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        link.execute(psql.SQL(statement))


def test_what_was_typed_is_found_whatever_stands_before_it() -> None:
    for words, command in (
        ("-c status dead retry 7", "dead retry"),
        ("--config=x.toml status --watch", "status"),
        ("audit show 12", "audit show"),
        ("audit", None),
        ("--version", None),
        ("", None),
    ):
        assert access.command_of(words.split()) == command
    assert access.remedy("unit", "x") is None
