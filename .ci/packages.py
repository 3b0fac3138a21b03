"""Installs the lock file's Python packages: `.venv/bin/python .ci/packages.py demo|test|bench`.

PyPI's PyTorch for Linux brings 2 GB of CUDA, and does not import without it. Where no NVIDIA GPU
is, the CPU's build is taken, from wherever pip is set up to look or from PyTorch's own index; only
if neither has it, PyPI's comes with all that it brings.
"""

import importlib.metadata
import os
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

Pip = Callable[[Sequence[str], str], None]


def wanted(lock: str, level: str) -> list[str]:
    """Return a level's requirements: the lock's lines, the peers only for `bench`."""
    base, _, bench = lock.partition("\n# --- bench")
    lines = f"{base}\n{bench}" if level == "bench" else base
    pinned = re.findall(r"^[A-Za-z0-9][^#\s]*==\S+", lines, re.MULTILINE)
    return [line for line in pinned if line.split("==")[0].lower() not in _NOT_HERE]


def alone(lock: str, level: str) -> list[str]:
    """Return the packages of which only the files are used, without what they would bring along."""
    return [] if level == "demo" else re.findall(r"^# no-deps: (\S+)", lock, re.MULTILINE)


def torch_choices(version: str, *, gpu: bool) -> list[tuple[list[str], str]]:
    """Return pip's arguments for PyTorch in the order to try, each with what to say before.

    Args:
        version: The lock's version.
        gpu: Whether an NVIDIA GPU is here.
    """
    if gpu:
        return [([f"torch=={version}"], "")]
    index = os.environ.get("INSIGHTS_TORCH_INDEX", TORCH_INDEX)
    quick = ["--retries", "1", "--timeout", "20", "--extra-index-url", index]
    large = (
        f"PyTorch's build for CPUs is not to be had ({index} does not answer): PyPI's brings 2 GB "
        f"of CUDA. To spare it, stop this, put the wheel torch-{version}+cpu of your Python into a "
        "folder, and name that in PIP_FIND_LINKS"
    )
    return [
        ([f"torch=={version}+cpu"], ""),
        ([*quick, f"torch=={version}+cpu"], ""),
        ([f"torch=={version}"], large),
    ]


def install_torch(version: str, present: str | None, pip: Pip, *, gpu: bool) -> None:
    """Install PyTorch, the CPU's build where that suffices.

    Args:
        version: The lock's version.
        present: The installed version, None if there is none.
        pip: Runs `pip install` with arguments; raises `Failed`.
        gpu: Whether an NVIDIA GPU is here.
    """
    if present and present.partition("+")[0] == version:
        return
    choices = torch_choices(version, gpu=gpu)
    for arguments, warning in choices[:-1]:
        if warning:
            say(warning)
        try:
            pip(["--no-deps", *arguments], "PyTorch was not installed")
        except Failed as error:
            if "No matching distribution" in str(error) or "--extra-index-url" in arguments:
                continue
            raise
        return
    arguments, warning = choices[-1]
    if warning:
        say(warning)
    pip(arguments, "PyTorch was not installed")


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


def _present(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Install the level that the command line names."""
    level = sys.argv[1]
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    requirements = wanted(lock, level)
    say(f"Installing {len(requirements)} Python packages into {VENV.name}: about 1 GB")
    if UNDER_WAY.exists():
        for site in VENV.glob("lib/python*/site-packages"):
            if mending := broken(site):
                say(f"Mending what was interrupted: {', '.join(mending)}")
                mended = [r for r in requirements if r.split("==")[0] in mending]
                _pip(["--force-reinstall", "--no-deps", *mended], "pip install failed")
    UNDER_WAY.touch()
    version = next(line.partition("==")[2] for line in requirements if line.startswith("torch=="))
    install_torch(version, _present("torch"), _pip, gpu=gpu_here())
    listed = VENV / "setup-requirements.txt"
    rest = [line for line in requirements if not line.startswith("torch==")]
    listed.write_text("\n".join([*rest, f"torch=={_present('torch')}"]) + "\n", "utf-8")
    _pip(["-r", str(listed)], "pip install failed", total=len(requirements))
    if files := alone(lock, level):
        _pip(["--no-deps", *files], "pip install failed")
    project = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    _pip(project, "the project itself was not installed")
    UNDER_WAY.unlink()


if __name__ == "__main__":
    sys.exit(guarded(main))
