"""Installs the lock files' Python packages: `.venv/bin/python .ci/packages.py demo|test|bench`.

Every file is checked against the hashes in the locks; pip refuses any other. What has no hash there
(PyTorch's CPU build for most Pythons, PyPI's with its CUDA) is installed with a word about it.

`files` installs only the packages of which the files are used, such as a model's.

PyPI's PyTorch for Linux brings 2 GB of CUDA, and does not import without it. Where no NVIDIA GPU
is, the CPU's build is taken, from wherever pip is set up to look or from PyTorch's own index; only
if neither has it, PyPI's comes with all that it brings.
"""

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from console import Failed, guarded, run, say

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(sys.prefix)
LOG = VENV / "setup.log"
# While this is there an installation is under way, or was interrupted.
UNDER_WAY = VENV / "setup-installing"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# Compiled and tried by .ci/llama.py.
_NOT_HERE = ("llama-cpp-python",)
# Each level needs those of the levels before it too.
_LOCKS = ("requirements.lock", ".ci/demo.lock", ".ci/dev.lock", ".ci/bench.lock")

Pip = Callable[[Sequence[str], str], None]  # arguments, and a line of a lock


def locks(level: str) -> str:
    """Return the text of the lock files that a level needs."""
    names = _LOCKS[: 2 + ("demo", "test", "bench").index(level)]
    return "\n".join((ROOT / name).read_text("utf-8") for name in names)


def wanted(lock: str) -> list[str]:
    """Return the lines of lock files that pip installs: a name, a version and hashes each."""
    pinned = re.findall(r"^[A-Za-z0-9][^#\s]*==.+$", lock, re.MULTILINE)
    return [line for line in pinned if line.split("==")[0].lower() not in _NOT_HERE]


def alone(lock: str) -> list[str]:
    """Return the packages of which only the files are used, without what they would bring along."""
    return re.findall(r"^# no-deps: (.+)$", lock, re.MULTILINE)


def torch_choices(version: str, *, gpu: bool) -> list[tuple[list[str], str, str]]:
    """Return ways to PyTorch in the order to try: pip's arguments, the version, what to say before.

    Args:
        version: The lock's version.
        gpu: Whether an NVIDIA GPU is here.
    """
    if gpu:
        return [([], version, "")]
    index = os.environ.get("INSIGHTS_TORCH_INDEX", TORCH_INDEX)
    quick = ["--retries", "1", "--timeout", "20", "--extra-index-url", index]
    large = (
        f"PyTorch's build for CPUs is not to be had ({index} does not answer): PyPI's brings 2 GB "
        f"of CUDA. To spare it, stop this, put the wheel torch-{version}+cpu of your Python into a "
        "folder, and name that in PIP_FIND_LINKS"
    )
    return [
        (["--no-deps"], f"{version}+cpu", ""),
        (["--no-deps", *quick], f"{version}+cpu", ""),
        ([], version, large),
    ]


def install_torch(
    line: str, present: str | None, pip: Pip, *, gpu: bool, hashed: bool = True
) -> None:
    """Install PyTorch, the CPU's build where that suffices.

    Args:
        line: The lock's line for it.
        present: The installed version, None if there is none.
        pip: Installs a requirement with arguments; raises `Failed`.
        gpu: Whether an NVIDIA GPU is here.
        hashed: Whether the line has the hash of the CPU's build for this Python.
    """
    pinned, _, hashes = line.partition(" ")
    version = pinned.partition("==")[2]
    if present and present.partition("+")[0] == version:
        return
    choices = torch_choices(version, gpu=gpu)
    for arguments, build, warning in choices:
        if warning:
            say(warning)
        checked = hashed and build != version  # PyPI's brings CUDA's packages, which no lock has
        try:
            pip(arguments, f"torch=={build}" + (f" {hashes}" if checked else ""))
        except Failed as error:
            missing = re.search("No matching distribution|ResolutionImpossible", str(error))
            elsewhere = missing or "--extra-index-url" in arguments
            if build != version and elsewhere and "hash" not in str(error):
                continue
            raise
        if not checked:
            say(f"PyTorch {build} was taken unchecked: requirements.lock has no hash of it")
        return


def cpu_hashed(lock: str) -> bool:
    """Return whether a lock file has the hash of PyTorch's CPU build for this Python."""
    tags = re.findall(r"^# torch \S+\+cpu: (\S+)", lock, re.MULTILINE)
    ours = f"cp{sys.version_info[0]}{sys.version_info[1]}-"
    return any(each.startswith(ours) and each.endswith(platform.machine()) for each in tags)


def broken(site: Path) -> list[str]:
    """Return the packages that an interrupted installation left without some of their files."""
    found = []
    for distribution in importlib.metadata.distributions(path=[str(site)]):
        name = distribution.metadata["Name"] if distribution.metadata else None
        files = distribution.files
        if name and (not files or not all(Path(file.locate()).exists() for file in files)):
            found.append(name)
    return sorted(found)


def gpu_here() -> bool:
    """Return whether an NVIDIA GPU can be used."""
    return Path("/dev/nvidia0").exists() or Path("/dev/nvidiactl").exists()


def _pip(arguments: Sequence[str], failing: str, *, total: int = 0) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    done = 0

    def count(line: str) -> tuple[int, int] | None:
        nonlocal done
        if total and line.startswith("Installing collected packages"):
            print("    unpacking them, a minute or two", flush=True)
        if not line.startswith(("Collecting ", "Requirement already")):
            return None
        done = min(total, done + 1)
        return done, total

    run([*command, *arguments], LOG, failing=failing, count=count)


def _install(arguments: Sequence[str], lines: Sequence[str], *, total: int = 0) -> None:
    """Install lines of a lock file; only a file can give pip hashes."""
    listed = VENV / "setup-requirements.txt"
    listed.write_text("\n".join(lines) + "\n", "utf-8")
    _pip([*arguments, "-r", str(listed)], "pip install failed", total=total)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _present(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installed(line: str) -> bool:
    name, _, version = line.split(maxsplit=1)[0].partition("==")
    return _present(name) == version


def main() -> None:
    """Install the level that the command line names."""
    level = sys.argv[1]
    if level == "files":
        absent = [each for each in alone(locks("test")) if not _installed(each)]
        if absent:
            told = ", ".join(each.split()[0] for each in absent)
            say(f"Installing what only the files are used of: {told}")
            _install(["--no-deps"], absent)
        return
    lock = locks(level)
    requirements = wanted(lock)
    say(f"Installing {len(requirements)} Python packages into {VENV.name}: about 1 GB")
    if UNDER_WAY.exists():
        for site in VENV.glob("lib/python*/site-packages"):
            if mending := broken(site):
                say(f"Mending what was interrupted: {', '.join(mending)}")
                names = {_normal(name) for name in mending}
                mended = [r for r in requirements if _normal(r.split("==")[0]) in names]
                _install(["--force-reinstall", "--no-deps"], mended)
    UNDER_WAY.touch()
    torch = next(line for line in requirements if line.startswith("torch=="))
    install_torch(
        torch,
        _present("torch"),
        lambda arguments, line: _install(arguments, [line]),
        gpu=gpu_here(),
        hashed=cpu_hashed(lock),
    )
    # The locks are whole: what they do not name is not needed, and has no hash.
    rest = [line for line in requirements if line != torch]
    _install(["--no-deps"], [*rest, *alone(lock)], total=len(requirements))
    project = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    _pip(project, "the project itself was not installed")
    UNDER_WAY.unlink()


if __name__ == "__main__":
    sys.exit(guarded(main))
