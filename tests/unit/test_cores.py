"""How many threads fit: affinity, cores and quotas at the start, and what others leave since."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from insights.inference import cores, planner
from insights.inference.client import LocalGenerator
from insights.inference.messages import Counters, EngineSettings, Speeds
from insights.wiring import health


def host(
    folder: Path, siblings: dict[int, str], group: str = "", quotas: dict[str, str] | None = None
) -> tuple[Path, Path]:
    """Make a /proc and a /sys; return them."""
    proc, sys = folder / "proc", folder / "sys"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(group)
    for cpu, text in siblings.items():
        place = sys / f"devices/system/cpu/cpu{cpu}/topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(f"{text}\n")
    for name, text in (quotas or {}).items():
        file = sys / "fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return proc, sys


FOUR = {cpu: str(cpu) for cpu in range(4)}
HYPER = {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}


@pytest.mark.parametrize(
    ("siblings", "cpus", "group", "quotas", "allowed"),
    [
        (FOUR, [0, 1, 2, 3], "", {}, 4),
        (FOUR, [1, 3], "", {}, 2),  # affinity
        (HYPER, [0, 1, 2, 3], "", {}, 2),  # two threads of a core are one
        (FOUR, [0, 1, 2, 3], "0::/a.slice/b\n", {"a.slice/b/cpu.max": "250000 100000"}, 2),
        (FOUR, [0, 1, 2, 3], "0::/a.slice/b\n", {"a.slice/cpu.max": "150000 100000"}, 1),
        (FOUR, [0, 1, 2, 3], "0::/a\n", {"a/cpu.max": "max 100000"}, 4),
        (FOUR, [0, 1, 2, 3], "0::/a\n", {"a/cpu.max": "50000 100000"}, 1),  # at least one
        (
            FOUR,
            [0, 1, 2, 3],
            "3:cpu,cpuacct:/d\n5:memory:/d\n",
            {"cpu/d/cpu.cfs_quota_us": "300000", "cpu/d/cpu.cfs_period_us": "100000"},
            3,
        ),
        ({}, [0, 1], "", {}, 2),  # a kernel that tells nothing
    ],
)
def test_what_is_allowed(
    tmp_path: Path,
    siblings: dict[int, str],
    cpus: list[int],
    group: str,
    quotas: dict[str, str],
    allowed: int,
) -> None:
    proc, sys = host(tmp_path, siblings, group, quotas)
    assert cores.share(proc, sys, cpus).threads == allowed


class Machine:
    """Four cores, two of them ours; what was idle and what we had, in seconds."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        proc.mkdir()
        self.now = self.own = 0.0
        self.idle = [0.0, 0.0, 0.0, 0.0]
        self.write()
        self.gauge = cores.Gauge(
            2, proc=proc, cpus=[0, 1], own_s=lambda: self.own, clock=lambda: self.now
        )

    def write(self) -> None:
        lines = ["cpu  1 2 3 4 5 6 7 8 9 10"]
        for cpu, idle in enumerate(self.idle):
            lines.append(f"cpu{cpu} 11 0 7 {round(70 * idle)} {round(30 * idle)} 0 0 500 0 0")
        (self.proc / "stat").write_text("\n".join([*lines, "intr 5 6", "ctxt 7"]))

    def second(self, *, idle: float, own: float) -> int:
        """Let a second pass in which our two cores had so much; return the threads that fit."""
        self.now += 1.0
        self.own += own
        self.idle[0] += idle / 2
        self.idle[1] += idle / 2
        self.idle[2] += 1.0  # of others: nothing to us
        self.write()
        self.gauge.look()
        return self.gauge.threads


def test_threads_back_off_while_others_work_and_come_back(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "proc")
    assert machine.second(idle=0.05, own=1.9) == 2  # quiet
    assert machine.gauge.says() == ""
    assert machine.second(idle=0.0, own=1.3) == 1  # somebody takes a core
    assert machine.gauge.says() == "; others leave us 1 now"
    assert machine.second(idle=0.0, own=0.9) == 1
    assert machine.second(idle=0.0, own=0.4) == 1  # both are busy, or stolen: still one
    assert machine.second(idle=0.85, own=0.95) == 2  # they are gone
    assert machine.second(idle=2.0, own=0.0) == 2  # nothing to do


def test_a_look_costs_nothing_between_and_is_told_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "proc")
    machine.now += 0.5
    assert not machine.gauge.look()
    machine.now += 0.6
    machine.own += 1.1
    assert machine.gauge.look()
    machine.now += 1.1
    machine.own += 1.1
    assert not machine.gauge.look()  # as before
    (machine.proc / "stat").unlink()
    machine.now += 2
    assert not machine.gauge.look()


@pytest.mark.parametrize(
    ("siblings", "cpus", "quota", "said"),
    [
        (FOUR, [1, 3], "max 100000", "2 processors are ours"),
        (HYPER, [0, 1, 2, 3], "max 100000", "4 processors are ours, on 2 cores"),
        (
            FOUR,
            [0, 1, 2],
            "150000 100000",
            "3 processors are ours, the cgroup's quota is 1.5",
        ),
    ],
)
def test_it_says_what_the_number_goes_by(
    tmp_path: Path, siblings: dict[int, str], cpus: list[int], quota: str, said: str
) -> None:
    proc, sys = host(tmp_path, siblings, "0::/a\n", {"a/cpu.max": quota})
    assert str(cores.share(proc, sys, cpus)) == said


def test_why_a_plan_has_its_threads() -> None:
    def why(
        size: int = 2**30, *, gpu: int = 0, threads: int | None = None, tuned: bool = False
    ) -> str:
        measured = Speeds(threads=2, parallel=4, micro_batch=64, kv_type="f16") if tuned else None
        return planner.threads_why(
            Mock(file_bytes=size),
            Mock(gpu_layers=gpu),
            EngineSettings(threads=threads),
            measured,
            host="4 processors are ours",
        )

    assert why() == "4 processors are ours"
    assert "GPU" in why(gpu=99)
    assert "settings" in why(threads=3)
    assert "tune" in why(tuned=True)
    assert "small" in why(2**20)


def test_health_says_the_threads_of_a_local_model() -> None:
    model = Mock(spec=LocalGenerator)
    model.trouble, model.finished_since_start = None, 3
    model.engine = Counters(threads=2, threads_why="4 processors are ours; others leave us 2 now")
    says = health._model("m", model).says
    assert says == (
        "loaded, 3 generations, 2 threads (4 processors are ours; others leave us 2 now)"
    )
    model.engine = Counters()  # it was not looked at yet
    assert health._model("m", model).says == "loaded, 3 generations"
