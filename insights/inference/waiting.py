"""What waits to be admitted to the batch: a line for each weight and adapter, and their prompts."""

from collections.abc import Iterator

from insights.inference import prefixes
from insights.inference.slots import Job
from insights.inference.turns import Turns
from insights.model import Adapter


class Line:
    """Jobs of one weight and adapter, oldest first, and their prompts."""

    def __init__(self, adapter: Adapter | None = None) -> None:
        self.adapter = adapter
        self.jobs: dict[int, Job] = {}
        self.prompts = prefixes.Waiting()

    @property
    def oldest(self) -> Job:
        """The one that waits longest."""
        return next(iter(self.jobs.values()))


class Lines:
    """Jobs that wait to be admitted, in a line for each weight and adapter.

    Adapters take turns: a batch holds rows of one only, so many of one are admitted in a row.

    Args:
        turn: Jobs of one adapter that are admitted while those of another wait.
    """

    def __init__(self, turn: int = 1) -> None:
        self._lines: dict[int, dict[Adapter | None, Line]] = {}
        self._turns = Turns()
        self._turn = turn
        self._current: dict[int, tuple[Adapter | None, int]] = {}  # of a weight; jobs in its turn

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[Job]:
        for line in self._all():
            yield from line.jobs.values()

    def _all(self) -> Iterator[Line]:
        for lines in self._lines.values():
            yield from lines.values()

    def add(self, job: Job) -> None:
        """Add a job at the end of its line."""
        lines = self._lines.setdefault(job.weight, {})
        line = lines.setdefault(job.adapter, Line(job.adapter))
        line.jobs[job.number] = job
        line.prompts.add(job.key, job.number)

    def find(self, number: int) -> Job | None:
        """Return a job that waits, None if it does not."""
        return next((line.jobs[number] for line in self._all() if number in line.jobs), None)

    def remove(self, job: Job) -> None:
        """Forget a job that waits."""
        lines = self._lines[job.weight]
        line = lines[job.adapter]
        del line.jobs[job.number]
        line.prompts.remove(job.key, job.number)
        if not line.jobs:
            del lines[job.adapter]
        if not lines:
            del self._lines[job.weight]

    def turn(self, now: float) -> Line:
        """Return the line whose turn it is, of jobs of a weight and then of an adapter.

        A turn ends early where a job of another adapter has used half of its time.
        """
        weight = self._turns.choose(self._lines)
        lines = self._lines[weight]
        if len(lines) == 1:
            return next(iter(lines.values()))
        late = [line for line in lines.values() if line.oldest.late(now)]
        if late:
            return min(late, key=lambda line: line.oldest.deadline)
        adapter, taken = self._current.get(weight, (None, 0))
        if adapter in lines and 0 < taken < self._turn:
            return lines[adapter]
        others = (line for line in lines.values() if not taken or line.adapter != adapter)
        return min(others, key=lambda line: line.oldest.submitted)

    def took(self, job: Job) -> None:
        """A job was admitted: it waits no more, and its line has had a turn."""
        self.remove(job)
        self._turns.took(job.weight)
        adapter, taken = self._current.get(job.weight, (None, 0))
        self._current[job.weight] = job.adapter, taken + 1 if adapter == job.adapter else 1

    def shared(self, content: bytes, adapter: Adapter | None) -> int:
        """Return how many tokens any job of an adapter that waits has in common with `content`."""
        found = (line.prompts for line in self._all() if line.adapter == adapter)
        return max((prompts.nearest(content)[0] for prompts in found), default=0)
