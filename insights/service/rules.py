"""What a person should know: the rules of alerts, asked of what the daemon measures.

They say what `deploy/prometheus/insights.rules.yml` says, name by name and word by word, for sites
without Prometheus; one table of faults tries both. `InsightsDoorDown` is Prometheus' alone, which
scrapes the processes of doors. A fault has one alert: each rule leaves out what follows from
another.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from insights.service.samples import FAILED, LONG_S, SHORT_S, Look

Severity = Literal["critical", "warning"]

_LAG_S = 30.0
_NOT_POLLED_S = 900.0
_OUTBOX_S = 900.0
_LATE_S = 900.0
_BEHIND_S = 3600.0
_DAEMON_S = 30.0  # two words to the store are so far apart: for a minute longer is no coincidence
_DEATHS = 5.0


class Found(NamedTuple):
    """One case of a rule: the name that tells it from others of the rule, and its value."""

    name: str = ""
    value: float = 0.0


Ask = Callable[[Look], Iterable[Found]]


class Rule(NamedTuple):
    """One alert.

    Attributes:
        name: As in Prometheus, and the section of docs/operations.md.
        for_s: How long it has to hold, seconds.
        ask: What cases there are.
        summary: What happened: `{name}`, `{value}`, `{duration}` and `{instance}` are put in.
        description: The cause, and the fix.
        shared: Whether every daemon of the store sees the same: one of them tells it.
    """

    name: str
    severity: Severity
    for_s: float
    ask: Ask
    summary: str
    description: str
    shared: bool = False


def _failed(kind: str, at_least: float = FAILED) -> Ask:
    return lambda look: [Found(name) for name in look.checks(kind, at_least)]


def _grew(counter: str, back_s: float = SHORT_S, more_than: float = 0.0) -> Ask:
    def ask(look: Look) -> Iterator[Found]:
        for name, value in look.grown(counter, back_s).items():
            if value > more_than:
                yield Found(name, value)

    return ask


def _down(look: Look) -> Iterator[Found]:
    for name, silent_s in look.worst("insights_daemon_silent_seconds", "daemon").items():
        if silent_s > _DAEMON_S:
            yield Found(name)


def _stuck(look: Look) -> Iterable[Found]:
    return [Found()] if look.worst("insights_live").get("") == 0 else []


def _store(look: Look) -> Iterable[Found]:
    down = look.failed("store") or look.open(part="store")
    return [Found()] if down and not look.failed("schema") else []


def _schema(look: Look) -> Iterable[Found]:
    return [Found()] if look.failed("schema") else []


def _embedder(look: Look) -> Iterable[Found]:
    return [Found()] if look.failed("embedder") else []


def _lags(look: Look) -> Iterator[Found]:
    for stream, lag_s in look.worst("insights_replica_lag_seconds", "stream").items():
        if lag_s > _LAG_S:
            yield Found(stream, lag_s)


def _stopped(look: Look) -> Iterable[Found]:
    found = look.worst("insights_stream_stopped", "stream")
    return [Found(stream) for stream, is_so in found.items() if is_so]


def _not_polled(look: Look) -> Iterator[Found]:
    if look.failed("source", "store", "schema"):
        return
    excused = {
        *(name for name, is_so in look.worst("insights_stream_paused", "stream").items() if is_so),
        *(found.name for found in (*_stopped(look), *_lags(look))),
    }
    for stream, since_s in look.worst("insights_since_poll_seconds", "stream").items():
        if since_s > _NOT_POLLED_S and stream not in excused:
            yield Found(stream, since_s)


def _pipeline(look: Look) -> Iterable[Found]:
    if look.failed("store", "schema", "source", "model", "embedder") or look.open(part="store"):
        return []
    return _failed("pipeline", 1.0)(look)


def _stranded(look: Look) -> Iterable[Found]:
    if look.failed("store", "pipeline"):
        return []
    found = look.worst("insights_stranded", "pipeline")
    return [Found(pipeline) for pipeline, is_so in found.items() if is_so]


def _sink(look: Look) -> Iterable[Found]:
    stopped = look.worst("insights_sink_stopped", "sink")
    names = {name for name, is_so in stopped.items() if is_so}
    return [Found(name) for name in sorted(names.union(look.checks("sink", FAILED)))]


def _outbox(look: Look) -> Iterator[Found]:
    if look.failed("store"):
        return
    down = {found.name for found in _sink(look)}
    for sink, oldest_s in look.worst("insights_outbox_oldest_seconds", "sink").items():
        if oldest_s > _OUTBOX_S and sink not in down:
            yield Found(sink, oldest_s)


def _late(look: Look) -> Iterator[Found]:
    if look.failed("store"):
        return
    for door, late_s in look.worst("insights_replies_late_seconds", "door").items():
        if late_s > _LATE_S:
            yield Found(door, late_s)


def _folder(look: Look) -> Iterable[Found]:
    return [] if look.failed("store", "schema") else _failed("door")(look)


def _dying(look: Look) -> Iterable[Found]:
    if look.worst("insights_ready").get("") == 0:
        return []
    return _grew("insights_child_deaths_total", LONG_S, _DEATHS)(look)


def _used_up(look: Look) -> Iterable[Found]:
    found = look.worst("insights_budget_reached", "budget", state="stopped")
    return [Found(budget) for budget, is_so in found.items() if is_so]


def _held(look: Look) -> Iterable[Found]:
    found = look.worst("insights_version_held", "pipeline")
    return [Found(pipeline) for pipeline, is_so in found.items() if is_so]


def _behind(look: Look) -> Iterator[Found]:
    if look.open() or look.worst("insights_check_status").get("", 0.0) >= 1:
        return
    stranded = look.worst("insights_stranded", "pipeline")
    for pipeline, oldest_s in look.worst("insights_oldest_pending_seconds", "pipeline").items():
        if oldest_s > _BEHIND_S and not stranded.get(pipeline):
            yield Found(pipeline, oldest_s)


RULES = (
    Rule(
        "InsightsDown",
        "critical",
        60,
        _down,
        "The daemon on {name} does not answer",
        "Nothing is polled, made or published by it. Fix: systemctl status insights; "
        "journalctl -u insights -n 50.",
        shared=True,
    ),
    Rule(
        "InsightsStuck",
        "critical",
        60,
        _stuck,
        "The daemon on {instance} answers and does not move",
        "A thread has ended or hangs; /livez names it. Fix: restart it.",
    ),
    Rule(
        "InsightsStoreDown",
        "critical",
        60,
        _store,
        "The store does not answer {instance}, or refuses what is to be written",
        "It is down or full, or a right is missing: insights health has its words. Fix: "
        "start it, free space, or run the GRANT that is named.",
    ),
    Rule(
        "InsightsSchemaWrong",
        "critical",
        60,
        _schema,
        "The store's schema does not fit the daemon on {instance}",
        "Fix: insights migrate, or the release that fits.",
    ),
    Rule(
        "InsightsSourceDown",
        "critical",
        60,
        _failed("source"),
        "Source {name} does not answer",
        "The replica is down, hangs or refuses the login. Other sources go on, nothing is "
        "lost. Fix: mend the replica.",
        shared=True,
    ),
    Rule(
        "InsightsReplicaLags",
        "warning",
        60,
        _lags,
        "The replica of stream {name} lags by {value} s",
        "It is left alone until it has caught up. Fix: look for what holds up its apply.",
        shared=True,
    ),
    Rule(
        "InsightsStreamStopped",
        "critical",
        60,
        _stopped,
        "Stream {name} is stopped until somebody acts",
        "A column changed, keys are not unique, or its query is refused: insights status "
        "says which. Fix: mend it, then insights resume {name}.",
        shared=True,
    ),
    Rule(
        "InsightsStreamNotPolled",
        "warning",
        60,
        _not_polled,
        "Stream {name} was not polled for {duration}",
        "Quiet hours, a replica that went back in time, or no daemon with the role poll: "
        "insights status says why. Fix: as it says.",
        shared=True,
    ),
    Rule(
        "InsightsModelDown",
        "critical",
        60,
        _failed("model"),
        "Model {name} on {instance} makes nothing",
        "Its process dies, its file is damaged, memory does not suffice, or its server does"
        " not answer. No row is charged. Fix: insights health has its words.",
    ),
    Rule(
        "InsightsEmbedderDown",
        "critical",
        60,
        _embedder,
        "The embedder on {instance} does not answer",
        "Pipelines with retrieval wait, others go on. Fix: insights health has its words.",
    ),
    Rule(
        "InsightsPipelineStopped",
        "critical",
        60,
        _pipeline,
        "Pipeline {name} is stopped",
        "Its files, its template or its schema cannot be used: insights health says which. "
        "Fix: mend it, restart the daemon.",
    ),
    Rule(
        "InsightsStranded",
        "critical",
        60,
        _stranded,
        "Rows of pipeline {name} wait for a version that no daemon serves",
        "Fix: start a daemon with its files, or insights promote {name}.",
        shared=True,
    ),
    Rule(
        "InsightsSinkDown",
        "critical",
        60,
        _sink,
        "Sink {name} cannot be written",
        "The legacy database is down, or its table or a grant is missing: insights status "
        "says which. Insights go on and are shown when it is back. Fix: as it says.",
        shared=True,
    ),
    Rule(
        "InsightsOutboxOld",
        "warning",
        60,
        _outbox,
        "Sink {name} is {duration} behind",
        "Rows are put off, or no daemon has the role publish. Fix: insights sink refused "
        "{name}; insights status.",
        shared=True,
    ),
    Rule(
        "InsightsRepliesLate",
        "warning",
        60,
        _late,
        "An outcome waits for {duration} to be told by {name}",
        "Whoever is told does not take it, or no insights serve or insights listen runs: insights "
        "status has the last reason. Nothing is lost. Fix: start it, or mend what takes outcomes.",
        shared=True,
    ),
    Rule(
        "InsightsFolderDown",
        "warning",
        60,
        _folder,
        "The folder of door {name} cannot be worked with on {instance}",
        "It is gone, full, or a right is missing: insights health has its words. Files wait where "
        "they are. Fix: make room, mount it, or give the right.",
    ),
    Rule(
        "InsightsRowsRefused",
        "warning",
        0,
        _grew("insights_published_rows_total"),
        "Sink {name} refuses rows",
        "They are kept with their reason. Fix: insights sink refused {name}; mend; insights"
        " sink retry {name}.",
    ),
    Rule(
        "InsightsDeadLetters",
        "warning",
        0,
        _grew("insights_dead_letters_total"),
        "Rows of pipeline {name} became dead letters",
        "Fix: insights dead list has their reasons; mend; insights dead retry.",
    ),
    Rule(
        "InsightsUnforeseen",
        "warning",
        0,
        _grew("insights_unforeseen_errors_total"),
        "An error nobody foresaw on {instance}",
        "It was outlived; its traceback is in the log. Fix: report it.",
    ),
    Rule(
        "InsightsChildDies",
        "warning",
        60,
        _dying,
        "Process {name} on {instance} ends again and again",
        "A driver that crashes, or too little memory. Fix: journalctl -u insights; dmesg.",
    ),
    Rule(
        "InsightsBudgetUsedUp",
        "warning",
        60,
        _used_up,
        "Budget {name} is used up",
        "What is under it begins in its next window, or goes to its pipeline's other model. Fix: "
        "wait, or raise its hard bound; insights budget says when it ends.",
        shared=True,
    ),
    Rule(
        "InsightsVersionHeld",
        "warning",
        0,
        _held,
        "A guard has ended the rollout of a version of pipeline {name}",
        "The version did something too often, and is shown no more or for no more keys: insights "
        "status says what. Fix: mend it and promote the new one; insights rollback takes it away.",
        shared=True,
    ),
    Rule(
        "InsightsBehind",
        "warning",
        300,
        _behind,
        "The oldest row of pipeline {name} waits for {duration}",
        "More rows come than its model makes. Fix: more rows in parallel, a smaller model, "
        "or one more daemon.",
        shared=True,
    ),
)
