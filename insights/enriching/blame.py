"""Who is to blame: decided by the step that failed and by evidence, never by the class alone.

| step | what failed | evidence | charged | what then |
| --- | --- | --- | --- | --- |
| any | the store does not answer | | nobody | the rows wait |
| any but retrieve | the store refuses (a right, its schema) | | nobody | its breaker |
| read | the reader died or was late; the source is down, refuses us | | nobody | its breaker |
| read | the recognizer died or was late | several rows | nobody | each by itself |
| read | the recognizer died or was late | one row, others passed | the row | dead the second time |
| read | the recognizer died or was late | one row, none passed | nobody | its breaker |
| read | the model that finds names is damaged | | nobody | its breaker |
| read | what reads files out of rows cannot be started | | nobody | its breaker |
| retrieve | the embedder, the search, a collection | | nobody | its breaker |
| read, retrieve, write | the row's data (`RowError`) | several rows | nobody | each by itself |
| read, retrieve, write | the row's data (`RowError`) | one row | the row | dead letter |
| render, generate | the row's data (`RowError`) | | the row | dead letter |
| render | anything else | others passed | the row | dead letter |
| render | anything else | none passed | the row | an attempt |
| render, generate | any of these | none passed, three failed | nobody | the breaker |
| generate | the generator died | nothing passed since its start | nobody | the third: its breaker |
| generate | the generator died | others passed, others beside | nobody | each runs alone |
| generate | the generator died | others passed, alone | the row | dead the second time |
| generate | a model server is down, slow, limits us | | nobody | the third: its breaker |
| generate | the deadline passed | others beside | nobody | fewer at once |
| generate | the deadline passed | alone | the row | dead the second time |
| generate | the model is damaged | | nobody | its breaker |
| generate | the pipeline's adapter is damaged | | nobody | the recipe's breaker |
| any | a setting is wrong, the stream does not fit | | nobody | the recipe's breaker |
| any | an exception nobody foresaw | others beside | nobody | each alone; logged once |
| any | an exception nobody foresaw | alone, others passed | the row | dead the second time |
| any | an exception nobody foresaw | alone, none passed | nobody | the breaker |

Where a part works is evidence too: three different rows that fail one after the other, with none
that passes between, say more about what they share than about the rows. A row that failed alone
waits a minute, so that others show meanwhile whether they pass; if none was there to show it, its
second failure is not enough, and the fourth is.
"""

from typing import Literal

import msgspec

from insights import errors

Step = Literal["read", "retrieve", "render", "generate", "validate", "write"]
Part = Literal["source", "names", "files", "retrieval", "template", "model", "recipe", "store"]

RETRY_S = 5.0  # first delay of a row given back; grows with the attempts that are charged
STRANGERS = 3  # different rows failing in a row that make the thing they share the suspect
DEADLY = 2  # times that a row, alone, ends what others pass
# A row that failed where nothing passes waits longer than the breaker's pause, so that the next
# to try is another: one bad row at the head of the queue would keep a part stopped for ever.
TURN_S, LONGEST_TURN_S = 60.0, 600.0

_PART: dict[Step, Part] = {
    "read": "source",
    "retrieve": "retrieval",
    "render": "template",
    "generate": "model",
    "validate": "recipe",
    "write": "store",
}


class Evidence(msgspec.Struct, frozen=True):
    """What is known when a step fails.

    Attributes:
        alone: Nothing else was in the call, or in flight in the generator.
        worked: What failed has done this for a row since it started.
        strangers: Different rows, or times, that it failed since a row passed, this included.
        times: How often this row has been charged, this time included.
        again: Nothing passed since this row failed here the last time: what was given it is not
            known to have worked between.
    """

    alone: bool
    worked: bool
    strangers: int = 1
    times: int = 1
    again: bool = False

    @property
    def deadly(self) -> bool:
        """Whether the row has failed often enough where others pass."""
        return self.times >= (2 * DEADLY if self.again else DEADLY)

    @property
    def trusted(self) -> bool:
        """Whether a failure says more about the row than about what it was given to."""
        return self.worked and self.strangers < STRANGERS

    @property
    def turn_s(self) -> float:
        """How long a row waits that failed where nothing passes, seconds."""
        if self.strangers < STRANGERS:
            return RETRY_S
        return min(LONGEST_TURN_S, TURN_S * self.strangers)


class Ruling(msgspec.Struct, frozen=True):
    """What becomes of the rows, and of what they share.

    Attributes:
        charge: Whether the row's attempt counts; without it nobody is charged.
        bury: The row is a dead letter now.
        isolate: From now on the rows run strictly alone in their generator.
        narrow: Try the rows again at once, each in a call of its own.
        ease: Fewer rows of this recipe at once.
        opens: Whose breaker notes a failure.
        at_once: One such failure is enough to open it.
        lasting: It will not pass by itself: `run --once` need not wait for it.
        unforeseen: To be logged with its traceback.
        delay_s: When rows given back may be claimed again, seconds.
    """

    charge: bool = False
    bury: bool = False
    isolate: bool = False
    narrow: bool = False
    ease: bool = False
    opens: Part | None = None
    at_once: bool = False
    lasting: bool = False
    unforeseen: bool = False
    delay_s: float = RETRY_S


def decide(step: Step, exc: BaseException, evidence: Evidence) -> Ruling:  # noqa: PLR0911 - the table
    """Return who is charged for a failure, and what else follows; see the table above."""
    part = part_of(step, exc)
    match exc:
        case errors.StoreUnavailable():
            return Ruling()
        case errors.StoreError() if step != "retrieve":
            return Ruling(opens="store", lasting=True)
        case errors.Overloaded() if step == "generate":
            return _late(evidence)
        case errors.WorkerDied() if step == "generate":
            return _death(evidence)
        case errors.Transient() if step != "render":
            return _names(evidence) if part == "names" else Ruling(opens=part)
        case _ if step == "render" or (step == "generate" and isinstance(exc, errors.RowError)):
            return _of_this_row(part, exc, evidence)
        case errors.RowError():
            return _of_one_row(evidence)
        case errors.ModelError() if not isinstance(exc, errors.AdapterError):
            return Ruling(opens=part if step == "read" else "model", at_once=True, lasting=True)
        case errors.Permanent():
            return Ruling(opens=_refused(step, exc), lasting=True)
        case _:
            return _unforeseen(step, part, evidence)


def part_of(step: Step, exc: BaseException | None = None) -> Part:
    """Return what a step needs; of a failure, what it says something about."""
    if step == "read" and isinstance(exc, errors.RecognizerDied | errors.ModelError):
        return "names"
    return "files" if isinstance(exc, errors.LoaderUnavailable) else _PART[step]


def _refused(step: Step, exc: errors.Permanent) -> Part:
    """Return what a permanent error stops: a source that refuses our login is no recipe's fault."""
    if step == "retrieve":
        return "retrieval"
    return "source" if step == "read" and isinstance(exc, errors.SettingsError) else "recipe"


def _of_one_row(evidence: Evidence) -> Ruling:
    """The data of a row that was in the call."""
    return Ruling(charge=True, bury=True) if evidence.alone else Ruling(narrow=True)


def _of_this_row(part: Part, exc: BaseException, evidence: Evidence) -> Ruling:
    """The data of the very row, whoever was beside it."""
    if not evidence.worked and evidence.strangers >= STRANGERS:
        return Ruling(opens=part, at_once=True, lasting=True, delay_s=evidence.turn_s)
    return Ruling(charge=True, bury=evidence.worked or isinstance(exc, errors.RowError))


def _death(evidence: Evidence) -> Ruling:
    if not evidence.trusted:
        return Ruling(opens="model", at_once=evidence.worked, lasting=True, delay_s=evidence.turn_s)
    if not evidence.alone:
        return Ruling(isolate=True)
    return Ruling(charge=True, isolate=True, bury=evidence.deadly, delay_s=TURN_S)


def _names(evidence: Evidence) -> Ruling:
    if not evidence.alone:
        return Ruling(narrow=True)
    if not evidence.trusted:
        return Ruling(opens="names", delay_s=evidence.turn_s)
    return Ruling(charge=True, bury=evidence.deadly, delay_s=TURN_S)


def _late(evidence: Evidence) -> Ruling:
    if not evidence.alone:
        return Ruling(ease=True)
    return Ruling(charge=True, bury=evidence.times >= DEADLY)


def _unforeseen(step: Step, part: Part, evidence: Evidence) -> Ruling:
    if not evidence.alone and step != "validate":
        if step == "generate":
            return Ruling(isolate=True, unforeseen=True)
        return Ruling(narrow=True, unforeseen=True)
    if not evidence.trusted:
        return Ruling(opens=part, unforeseen=True, delay_s=evidence.turn_s)
    return Ruling(charge=True, bury=evidence.deadly, unforeseen=True, delay_s=TURN_S)
