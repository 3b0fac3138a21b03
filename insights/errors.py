"""Every error the daemon raises on purpose, and what each means for row, stream and start.

    InsightsError
    ├── Transient                retry with backoff; never the row's fault
    │   ├── SourceUnavailable    a replica is down, hung or refuses logins
    │   ├── StoreUnavailable     PostgreSQL is down or restarting
    │   ├── SinkUnavailable      a legacy database cannot be written now
    │   ├── ProviderUnavailable  a remote model server is down or limits us
    │   ├── WorkerDied           a child process crashed, hung or was killed
    │   ├── RecognizerDied       the child that finds names, over the texts it was given
    │   ├── LoaderUnavailable    the child that reads files cannot be started
    │   ├── BrokerUnavailable    a message broker did not answer, or refused us
    │   ├── Overloaded           a queue is full: come back later
    │   ├── BudgetUsedUp         no row may begin until a day or an hour is over
    │   ├── MustWait             the source must be left alone now: no failure at all
    │   ├── DaemonUnavailable    no daemon answers where `insights health` asks
    │   ├── NotReady             a daemon answers, and cannot do its work now
    │   ├── ReceiverUnavailable  who is to be told of alerts takes none
    │   ├── FolderUnavailable    a watched folder cannot be read or written now
    │   └── Unfinished           what was begun goes on by itself, and is not over
    └── Permanent                retrying changes nothing
        ├── RowError             this row alone: dead-letter it with its reason
        ├── StreamError          this stream alone: stop it and say why
        ├── SinkError            this sink alone: stop publishing and say why
        ├── SettingsError        a setting is wrong or missing
        ├── StoreError           the store's schema, extension or credential is wrong
        │   └── AccessDenied     its login may not do this
        ├── ModelError           a model file is missing, malformed or not the one named
        │   ├── AdapterError     a pipeline's LoRA adapter is: that pipeline alone
        │   └── GeneratorBroken  the build of llama.cpp, the driver or the machine: nobody's row
        ├── KnowledgeError       a document or collection cannot be used
        ├── RequestRefused       what a client sent is no valid request
        ├── NotForgotten         something of a row was found that should be gone
        ├── AuditBroken          events of the audit are not as they were written
        └── Fenced               our lease is gone: somebody else holds the work

Doors (`odbc.door`, `store.postgres`, `inference.llama`, …) translate foreign errors into these,
once.
"""

from typing import ClassVar


class InsightsError(Exception):
    """An error a person can act on: what happened, where, and the fix.

    Args:
        what: One sentence that names the thing that failed.
        where: The setting, stream, table or file it happened at.
        fix: What to do about it; a command or a statement where there is one.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f" Fix: {self.fix}" if self.fix else ""
        return f"{place}{self.what}{remedy}"


class Transient(InsightsError):
    """Retry later, with backoff; the row is not to blame.

    Cause: something that this program needs is not there now.
    Fix: wait: it is tried again; `insights status` says what it waits for.
    """

    exit_code = 75  # EX_TEMPFAIL of sysexits(3)


class SourceUnavailable(Transient):
    """A source did not answer, or refused us, in a way that may pass.

    Cause: the replica is down, restarting, out of connections, or the network is cut.
    Fix: start it, or correct SERVER and PORT in `[source.<name>] odbc`; it is tried again.
    """

    exit_code = 20


class StoreUnavailable(Transient):
    """The store, PostgreSQL, did not answer.

    Cause: the server of `store.url` is down, restarting or full.
    Fix: start it; rows in flight are given back, none is lost.
    """

    exit_code = 21


class SinkUnavailable(Transient):
    """A sink's database did not answer.

    Cause: the legacy primary is down or not reachable.
    Fix: start it, or correct the sink's source; the outbox keeps what it has to be told.
    """

    exit_code = 22


class ProviderUnavailable(Transient):
    """A remote model server did not answer or limits our rate.

    Cause: the server of `[model.<name>] url` is down, slow, or says 429.
    Fix: start it, or name a file as `fallback` in the pipeline.
    """

    exit_code = 23


class WorkerDied(Transient):
    """A child process ended, hung past its deadline, or was killed.

    Cause: a driver crashed, memory ran out, or a call took longer than `timeout`.
    Fix: look into the log for its last words; it is started again by itself.
    """

    exit_code = 24


class RecognizerDied(Transient):
    """The child that finds names with a model ended, or was late, over texts it was given.

    Cause: memory ran out, it was killed, or the machine is far too busy. No text goes on unread.
    Fix: look into the log for its last words; it is started again by itself. A row that ends it
    every time becomes a dead letter: shorten its text, or take `names_model` out of `redact`.
    """

    exit_code = 29


class LoaderUnavailable(Transient):
    """The child that reads files out of rows cannot be started.

    Cause: memory ran out, or its limits or confinement are refused here. Its rows wait.
    Fix: look into the log for its last words; it is started again by itself.
    """

    exit_code = 41


class BrokerUnavailable(Transient):
    """A message broker did not answer, or refused us.

    Cause: the server of `[queue.<name>] url` is down, or the user may not use the queue.
    Fix: start it, or do what the message says; what was not acknowledged comes again.
    """

    exit_code = 42


class Overloaded(Transient):
    """A bounded queue is full.

    Cause: more rows are in hand than the model or the disk keep up with.
    Fix: wait; or a smaller `daemon.in_flight`, a faster model, one more daemon.
    """

    exit_code = 25


class BudgetUsedUp(Transient):
    """A budget is used up, and nothing else is left to do.

    Cause: rows, tokens, seconds or money of `[budget.<name>] hard` are spent in this window.
    Fix: wait for the time that is named, or raise `hard`; `insights budget` shows every budget.
    """

    exit_code = 40


class MustWait(Transient):
    """A source must be left alone now: quiet hours, a pause, or a replica that lags.

    Cause: `quiet_hours`, `insights pause`, or a replica behind its primary.
    Fix: wait for the hour that is named, or `insights resume STREAM`.
    """

    exit_code = 26


class DaemonUnavailable(Transient):
    """No daemon answers where it is asked for its health.

    Cause: it does not run, hangs, or listens somewhere else than `health.listen` says.
    Fix: start it, or give the command the settings that the daemon was started with.
    """

    exit_code = 27


class NotReady(Transient):
    """A daemon answers, and does not live or cannot do its work now.

    Cause: it starts or drains, or a part that its roles need does not answer: it is named.
    Fix: mend what is named; the daemon goes on by itself.
    """

    exit_code = 28


class ReceiverUnavailable(Transient):
    """Who is to be told of alerts or outcomes did not take one.

    Cause: `alerts.webhook.url`, `alerts.mail.server` or `webhook.<name>.url` is down or refuses us.
    Fix: start it, or correct its section; what is to be told is told when it is back.
    """

    exit_code = 39


class Unfinished(Transient):
    """What was begun is not over when the command ends; it goes on by itself.

    Cause: a sink was not told yet that a row was forgotten: it is down, or nobody publishes to it.
    Fix: start the daemon, mend the sink; `insights status` tells what is not over.
    """

    exit_code = 43


class FolderUnavailable(Transient):
    """A watched folder, or one that its files go to, cannot be read or written now.

    Cause: the disk is full, a right is missing, or the share is not mounted.
    Fix: mend what the message names; files stay where they are, and are tried again.
    """

    exit_code = 47


class Permanent(InsightsError):
    """Retrying the same input changes nothing.

    Cause: what was asked cannot be done as it is.
    Fix: the message names what to change.
    """

    exit_code = 65  # EX_DATAERR


class RowError(Permanent):
    """One row cannot be processed: it is dead-lettered with this reason.

    Cause: a value cannot be read, the prompt fails on a NULL, or there is no such key.
    Fix: `insights dead list` has row and reason; mend it, then `insights dead retry`.
    """

    exit_code = 30


class StreamError(Permanent):
    """One stream cannot go on: it stops, and says why.

    Cause: a table, column or right is gone, the password wrong, a key not unique, a page a scan.
    Fix: do what the message says, then `insights resume STREAM`.
    """

    exit_code = 31


class SinkError(Permanent):
    """One sink cannot be written: publishing to it stops, insights go on.

    Cause: its table, a column, its key or a right is missing.
    Fix: have a DBA run `insights sink ddl NAME`, or the GRANT that the message has.
    """

    exit_code = 32


class SettingsError(Permanent):
    """A setting is unknown, missing or contradictory.

    Cause: a key is misspelt, a file is missing, a credential is not there.
    Fix: the message names file, key and the nearest valid one.
    """

    exit_code = 78  # EX_CONFIG


class StoreError(Permanent):
    """The store's schema, extensions, rights or credentials do not fit this program.

    Cause: `insights migrate` has not run since the upgrade, or a grant is missing.
    Fix: run `insights migrate` as the schema's owner, or the grant that is named.
    """

    exit_code = 33


class AccessDenied(StoreError):
    """The store's login may not do what was asked.

    Cause: a login without the role of this command, or sql/grants not run since the upgrade.
    Fix: the message names role and GRANT; `docs/permissions.md` has whose each command is.
    """

    exit_code = 45

    def __init__(self, what: str, *, where: str = "", fix: str = "", login: str = "") -> None:
        super().__init__(what, where=where, fix=fix)
        self.login = login


class ModelError(Permanent):
    """A model file is missing, malformed, or not the one the settings name.

    Cause: `path` or `sha256` of `[model.<name>]` is wrong, or the file is cut.
    Fix: correct the setting; `sha256sum FILE` prints the hash.
    """

    exit_code = 34


class AdapterError(ModelError):
    """A pipeline's LoRA adapter is missing, damaged, or not for its model: that pipeline stops.

    Cause: `path` or `sha256` of `[adapter]` is wrong, or it was made for another model.
    Fix: correct the pipeline's file, or convert the adapter again for exactly this model.
    """

    exit_code = 50


class GeneratorBroken(ModelError):
    """The generator ends before it has made one token: its build or the machine, nobody's row.

    Cause: llama.cpp was compiled for another processor, or the driver of the GPU does not fit.
    Fix: `make demo` tries the build and compiles one that works (docs/install.md).
    """

    exit_code = 37


class KnowledgeError(Permanent):
    """A document or a collection cannot be used.

    Cause: a folder is missing, or a document is encrypted, damaged or too large.
    Fix: mend or remove the document that is named, then `insights knowledge sync`.
    """

    exit_code = 35


class RequestRefused(Permanent):
    """What was sent through a door is no valid request: nothing of it was stored.

    Cause: a field is missing, unknown, too long or no text, or its idempotency key is taken.
    Fix: the message names the row and the field; correct it, and send it again.
    """

    exit_code = 46
    again_s = 0.0  # seconds until the same may be sent again, where it is the client's budget


class NotForgotten(Permanent):
    """Something of a row that should be forgotten was found.

    Cause: never forgotten, its sinks not told yet, brought back by a backup, or in another row too.
    Fix: each place is named; `insights forget` of the row, or of the one that says the same.
    """

    exit_code = 49


class AuditBroken(Permanent):
    """The audit is not as it was written: events were changed, taken away, added or dated anew.

    Cause: somebody with rights of the store's owner changed its tables, or a backup was restored.
    Fix: each finding names its place; compare the store with a backup and with the anchors.
    """

    exit_code = 38


class Fenced(Permanent):
    """A lease was lost to somebody else; what was done under it is void.

    Cause: this daemon was paused, or its clock stood, longer than `daemon.lease`.
    Fix: none: another daemon has the work. If it comes often, a longer `daemon.lease`.
    """

    exit_code = 36


def named(name: str) -> type[InsightsError]:
    """Return the error class called `name`, for errors that crossed a process boundary."""
    found: list[type[InsightsError]] = [InsightsError]
    for cls in found:
        if cls.__name__ == name:
            return cls
        found.extend(cls.__subclasses__())
    return InsightsError
