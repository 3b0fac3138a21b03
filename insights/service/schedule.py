"""APScheduler on a clock that nobody can set, with a thread for each job that runs.

APScheduler 3 asks `datetime.now(timezone)` what time it is. With the wall clock set back an hour,
every job would stand still for an hour. Its time zone is therefore ours, and tells the monotonic
clock's time (clock_gettime(2)), whatever the wall clock says.

Its default pool has ten threads: a job that reads for hours would take one from the others, and an
interpreter that ends waits for every thread of a pool. Here each run has a thread of its own, which
ends with the process.
"""

import datetime as dt
import logging
import sys
import threading
import time
from collections.abc import Callable

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.job import Job as ScheduledJob
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

_EPOCH = dt.datetime(2000, 1, 1)  # noqa: DTZ001 - its zone is given below


class MonotonicZone(dt.tzinfo):
    """A zone whose local time is the time since boot, counted from a made-up midnight."""

    def fromutc(self, _: dt.datetime) -> dt.datetime:
        """Return the time now; `datetime.now(zone)` asks this for it (datetime, "tzinfo")."""
        return (_EPOCH + dt.timedelta(seconds=time.monotonic())).replace(tzinfo=self)

    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        """Return nothing: two times of this zone are all that is ever compared."""
        return dt.timedelta(0)

    def dst(self, _: dt.datetime | None) -> dt.timedelta:
        """Return nothing."""
        return dt.timedelta(0)

    def tzname(self, _: dt.datetime | None) -> str:
        """Return its name."""
        return "monotonic"


MONOTONIC = MonotonicZone()


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires at once, then at an interval from the last firing; late ones are not caught up on."""

    def __init__(self, seconds: float) -> None:
        self._interval = dt.timedelta(seconds=seconds)

    def get_next_fire_time(
        self, previous_fire_time: dt.datetime | None, now: dt.datetime
    ) -> dt.datetime:
        """Return when to fire next; APScheduler's contract."""
        if previous_fire_time is None:
            return now
        return max(previous_fire_time + self._interval, now)


class OwnThreads(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """Runs each job in a thread of its own that no exit waits for."""

    def _do_submit_job(self, job: ScheduledJob, run_times: list[dt.datetime]) -> None:
        threading.Thread(
            target=self._run, args=(job, run_times), name=job.name, daemon=True
        ).start()

    def _run(self, job: ScheduledJob, run_times: list[dt.datetime]) -> None:
        try:
            events = run_job(job, job._jobstore_alias, run_times, self._logger.name)  # noqa: SLF001
        except BaseException:  # noqa: BLE001 - APScheduler logs it, and counts the job as ended
            self._run_job_error(job.id, *sys.exc_info()[1:])
        else:
            self._run_job_success(job.id, events)


class Schedule:
    """Jobs at their intervals; one run of a job at a time, a missed one is not made up for."""

    def __init__(self) -> None:
        # A job that is still running when its time comes again is no news; what it raises is.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = BackgroundScheduler(
            executors={"default": OwnThreads()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=MONOTONIC,
        )

    def add(self, name: str, run: Callable[[], None], every_s: float) -> None:
        """Run a job now and at an interval."""
        self._scheduler.add_job(run, Every(every_s), id=name, name=name)

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def end(self) -> None:
        """Start no further run; those that run go on."""
        self._scheduler.shutdown(wait=False)
