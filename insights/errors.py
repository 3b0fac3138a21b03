"""Every error the daemon raises on purpose, and what each means for row, stream and start.

    InsightsError
    ├── Transient                retry with backoff; never the row's fault
    │   ├── SourceUnavailable    a replica is down, hung or refuses logins
    │   ├── StoreUnavailable     PostgreSQL is down or restarting
    │   ├── SinkUnavailable      a legacy database cannot be written now
    │   ├── ProviderUnavailable  a remote model server is down or limits us
    │   ├── WorkerDied           a child process crashed, hung or was killed
    │   ├── Overloaded           a queue is full: come back later
    │   └── MustWait             the source must be left alone now: no failure at all
    └── Permanent                retrying changes nothing
        ├── RowError             this row alone: dead-letter it with its reason
        ├── StreamError          this stream alone: stop it and say why
        ├── SinkError            this sink alone: stop publishing and say why
        ├── SettingsError        a setting is wrong or missing
        ├── StoreError           the store's schema, extension or credential is wrong
        ├── ModelError           a model file is missing, malformed or not the one named
        │   └── GeneratorBroken  the build of llama.cpp, the driver or the machine: nobody's row
        ├── KnowledgeError       a document or collection cannot be used
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
    """Retry later, with backoff; the row is not to blame."""

    exit_code = 75  # EX_TEMPFAIL of sysexits(3)


class SourceUnavailable(Transient):
    """A source did not answer, or refused us, in a way that may pass."""

    exit_code = 20


class StoreUnavailable(Transient):
    """The PostgreSQL store did not answer."""

    exit_code = 21


class SinkUnavailable(Transient):
    """A sink's database did not answer."""

    exit_code = 22


class ProviderUnavailable(Transient):
    """A remote model server did not answer or limits our rate."""

    exit_code = 23


class WorkerDied(Transient):
    """A child process ended, hung past its deadline, or was killed."""

    exit_code = 24


class Overloaded(Transient):
    """A bounded queue is full."""

    exit_code = 25


class MustWait(Transient):
    """A source must be left alone now: quiet hours, a pause, or a replica that lags."""

    exit_code = 26


class Permanent(InsightsError):
    """Retrying the same input changes nothing."""

    exit_code = 65  # EX_DATAERR


class RowError(Permanent):
    """One row cannot be processed: it is dead-lettered with this reason."""

    exit_code = 30


class StreamError(Permanent):
    """One stream cannot go on: it stops, and says why."""

    exit_code = 31


class SinkError(Permanent):
    """One sink cannot be written: publishing to it stops, insights go on."""

    exit_code = 32


class SettingsError(Permanent):
    """A setting is unknown, missing or contradictory."""

    exit_code = 78  # EX_CONFIG


class StoreError(Permanent):
    """The store's schema, extensions, rights or credentials do not fit this program."""

    exit_code = 33


class ModelError(Permanent):
    """A model file is missing, malformed, or not the one the settings name."""

    exit_code = 34


class GeneratorBroken(ModelError):
    """The generator ends before it has made one token: its build or the machine, nobody's row."""

    exit_code = 37


class KnowledgeError(Permanent):
    """A document or a collection cannot be used."""

    exit_code = 35


class Fenced(Permanent):
    """A lease was lost to somebody else; what was done under it is void."""

    exit_code = 36


def named(name: str) -> type[InsightsError]:
    """Return the error class called `name`, for errors that crossed a process boundary."""
    found: list[type[InsightsError]] = [InsightsError]
    for cls in found:
        if cls.__name__ == name:
            return cls
        found.extend(cls.__subclasses__())
    return InsightsError
