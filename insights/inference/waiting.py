"""What waits to be admitted to the batch: a line for each weight, and the prompts of each."""

from collections.abc import Iterator

from insights.inference import prefixes
from insights.inference.slots import Job
from insights.inference.turns import Turns


class Line:
    """Jobs of one weight, oldest first, and their prompts."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.prompts = prefixes.Waiting()

    @property
    def oldest(self) -> Job:
        """The one that waits longest."""
        return next(iter(self.jobs.values()))


class Lines:
    """Jobs that wait to be admitted, in a line for each weight."""

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        self._turns = Turns()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[Job]:
        for line in self._lines.values():
            yield from line.jobs.values()

    def add(self, job: Job) -> None:
        """Add a job at the end of its line."""
        line = self._lines.setdefault(job.weight, Line())
        line.jobs[job.number] = job
        line.prompts.add(job.key, job.number)

    def find(self, number: int) -> Job | None:
        """Return a job that waits, None if it does not."""
        return next(
            (line.jobs[number] for line in self._lines.values() if number in line.jobs), None
        )

    def remove(self, job: Job) -> None:
        """Forget a job that waits."""
        line = self._lines[job.weight]
        del line.jobs[job.number]
        line.prompts.remove(job.key, job.number)
        if not line.jobs:
            del self._lines[job.weight]

    def turn(self) -> Line:
        """Return the line whose turn it is."""
        return self._lines[self._turns.choose(self._lines)]

    def took(self, job: Job) -> None:
        """A job was admitted: it waits no more, and its line has had a turn."""
        self.remove(job)
        self._turns.took(job.weight)

    def shared(self, content: bytes) -> int:
        """Return how many tokens any job that waits has in common with `content`."""
        return max(line.prompts.nearest(content)[0] for line in self._lines.values())
