"""Who may do what: the one table of commands and pages, and of what each asks of the store.

A command is of one role. In the store a role is a PostgreSQL role that a person is granted, made by
a file of `sql/grants`; on HTTP it is what a token says (`web/guard`). The store's rights decide,
not this table: it names whose they are, for messages, `docs/permissions.md` and tests.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

Role = Literal[
    "operator", "auditor", "key_reader", "retention", "door", "daemon", "owner", "nobody"
]
WebRole = Literal["viewer", "analyst", "operator", "auditor", "submitter"]


class Grants(msgspec.Struct, frozen=True):
    """A role in the store: what it is called, and the file that grants it what it needs."""

    role: str
    file: str


class Need(msgspec.Struct, frozen=True):
    """Whose command it is, and the statements of `sql/store` that it runs, as `file.name`.

    Statements are listed for the roles that persons have; the daemon runs them all.
    """

    role: Role
    statements: tuple[str, ...] = ()


GRANTS: Mapping[Role, Grants] = {
    "operator": Grants("insights_operator", "store_operator.sql"),
    "auditor": Grants("insights_auditor", "store_auditor.sql"),
    "key_reader": Grants("insights_key_reader", "store_key_reader.sql"),
    "door": Grants("insights_door", "store_door.sql"),
    "retention": Grants("insights_retention", "store_retention.sql"),
    "daemon": Grants("insights_daemon", "store_daemon.sql"),
    "owner": Grants("insights_owner", "store_roles.sql"),
}

_TOLD = "audit.append"
_STAGES = ("deployments.found", "stages.change")
_ACCEPTS = (
    "standing_stream", "targets", "known_rows", "used_keys", "keep_keys", "accept_new", "accept",
    "outcomes", "deliver", "cancel", "waiting",
)  # fmt: skip
_DAEMON, _OWNER, _NOBODY = Need("daemon"), Need("owner"), Need("nobody")

# `daemon`: it reads rows, documents or models besides, as the service's own user with its
# credentials. `nobody`: it opens no store.
COMMANDS: Mapping[str, Need] = {
    "status": Need(
        "operator",
        (
            "insights.completeness",
            "counted.any",
            "counted.completeness_counted",
            "counted.sinks_counted",
            "deployments.live",
            "insights.sinks",
            "insights.usage_today",
            "daemons.daemons",
            "insights.setting",
            "insights.former_rows",
            "budgets.budgets",
            "plans.plans",
            "forgetting.forgotten",
            "replies.replies",
        ),
    ),
    "budget": Need("operator", ("budgets.budgets",)),
    "pause": Need("operator", ("streams.pause", "streams.known", _TOLD)),
    "resume": Need("operator", ("streams.resume", "streams.known", _TOLD)),
    "drain": Need(
        "operator", ("daemons.daemons", "leases.take", "leases.renew", "leases.give_back")
    ),
    "dead list": Need("operator", ("work.dead_list", "work.dead_reasons")),
    "dead show": Need("operator", ("work.dead_show",)),
    "dead retry": Need("operator", ("work.dead_retry", _TOLD)),
    "pipeline list": Need("operator", ("deployments.list",)),
    "pipeline history": Need("operator", ("deployments.history",)),
    "pipeline show": Need("operator", ("deployments.definitions",)),
    "pipeline diff": Need("operator", ("deployments.definitions",)),
    "promote": Need("operator", _STAGES),
    "rollback": Need("operator", _STAGES),
    "backfill": Need(
        "operator",
        (
            "deployments.to_backfill",
            "deployments.pipeline",
            "deployments.found",
            "deployments.backfill",
            _TOLD,
        ),
    ),
    "sink refused": Need("operator", ("outbox.refused",)),
    "sink retry": Need("operator", ("outbox.retry", _TOLD)),
    "audit verify": Need(
        "auditor",
        (
            "audit.chains",
            "audit.events",
            "audit.contradicted",
            "audit.guards",
            "audit.doors",
            "audit.rights",
            "audit.definitions",
        ),
    ),
    "audit show": Need("auditor", ("audit.show", "audit.of_row")),
    "audit settings": Need("auditor", ("audit.settings",)),
    "audit export": Need("auditor", ("audit.chains", "audit.events")),
    "key find": Need("key_reader", ("keys.find",)),
    "serve": Need(
        "door",
        (
            *(f"inbox.{name}" for name in (*_ACCEPTS, "spent_by_client", "take_of_client")),
            *(f"ledger.{name}" for name in ("deployed", "record")),
            "insights.setting",
            "insights.former_rows",
            _TOLD,
        ),
    ),
    "forget": Need(
        "retention",
        (
            "retention.forget",
            "retention.allow",
            "forgetting.begun",
            "forgetting.more",
            "forgetting.how_far",
        ),
    ),
    "listen": Need(
        "door",
        (
            *(f"inbox.{name}" for name in _ACCEPTS),
            *(f"ledger.{name}" for name in ("deployed", "generation", "record")),
            *(f"replies.{name}" for name in ("keep", "due", "sent", "failed")),
            "insights.setting",
            "insights.former_rows",
            _TOLD,
        ),
    ),
    "init": _OWNER,
    "migrate": _OWNER,
    "run": _DAEMON,
    "doctor": _DAEMON,
    "try": _DAEMON,
    "enrich": _DAEMON,
    "replay": _DAEMON,
    "redteam": _DAEMON,
    "evaluate": _DAEMON,
    "calibrate": _DAEMON,
    "export pairs": _DAEMON,
    "plan": _DAEMON,
    "support-bundle": _DAEMON,
    "knowledge sync": _DAEMON,
    "knowledge status": _DAEMON,
    "knowledge search": _DAEMON,
    "knowledge explain": _DAEMON,
    "knowledge evaluate": _DAEMON,
    "redact test": _DAEMON,
    "key hash": _DAEMON,
    "sink ddl": _NOBODY,
    "sink check": _NOBODY,
    "alert test": _NOBODY,
    "health": _NOBODY,
    "tune": _NOBODY,
    "unit": _NOBODY,
    "service install": _NOBODY,
    "service uninstall": _NOBODY,
}

# What a page or a door asks of who comes: one of these roles. Every role sees the numbers.
PAGES: Mapping[str, frozenset[WebRole]] = {
    "numbers": frozenset(("viewer", "analyst", "operator", "auditor")),
    "dead letters": frozenset(("analyst", "operator")),
    "texts": frozenset(("analyst", "auditor")),
    "switch": frozenset(("operator",)),
    "retry": frozenset(("operator",)),
    "submit": frozenset(("submitter",)),
}


def command_of(words: Sequence[str]) -> str | None:
    """Return which command of the table was typed; None if none was.

    Args:
        words: What stands after the program's name: options, their values, and the command.
    """
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in ("-c", "--config") else 1
    for many in (2, 1):
        if (typed := " ".join(words[at : at + many])) in COMMANDS:
            return typed
    return None


def remedy(command: str | None, login: str) -> tuple[str, str] | None:
    """Return whose the command is, and what gives a login that role; None where nobody is asked.

    Args:
        command: One of the table.
        login: Who was refused, as PostgreSQL knows them.
    """
    need = None if command is None else COMMANDS[command]
    if need is None or need.role not in GRANTS:
        return None
    of = GRANTS[need.role]
    whose = f"`insights {command}` is for the role {of.role}"
    if need.role in ("door", "daemon", "owner"):
        return whose, f"run it with the login of {of.role} (rights: sql/grants/{of.file})"
    name = '"' + login.replace('"', '""') + '"' if login else "<your login>"
    grant = f"a superuser runs GRANT {of.role} TO {name};"
    return whose, f"{grant} if it has the role already, sql/grants/{of.file} again"
