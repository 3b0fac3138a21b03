"""Makes one file to install from without network or compiler: `.venv/bin/python .ci/bundle.py`.

`dist/legacy-insights-VERSION-linux-x86_64-cpXY.tar` holds every wheel of requirements.lock, checked
against its hash there, our own, llama.cpp with kernels for each family of processors
(.ci/variants.py), the trial with its models, a demo, systemd units, SQL, documents, an SBOM, the
hash of each file, and deploy/install.sh, which puts it all under /opt/insights.

    MODEL=FILE            a GGUF file to take along
    BUNDLE_VARIANTS=...   kernels to compile, such as "haswell icelake"; all by default
    BUNDLE_LLAMA=WHEEL    a llama-cpp-python compiled elsewhere, taken as it is
"""

import hashlib
import os
import platform
import re
import shutil
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

import llama
import packages
import sbom
import trial
import variants
import wheels
from console import Failed, guarded, run, say

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
# What a server has beside the program: read by people and by systemd.
_FOLDERS = ("config", "sql", "systemd", "docs")
_FILES = ("README.md", "SECURITY.md", "CHANGELOG.md", "LICENSE")
SUMS = "SHA256SUMS"
_EPOCH = 1_700_000_000  # of every file: the same content makes the same archive


def tag() -> str:
    """Return this Python's wheel tag."""
    return f"cp{sys.version_info[0]}{sys.version_info[1]}"


def name(version: str) -> str:
    """Return the bundle's name: what it is for is in it."""
    return f"legacy-insights-{version}-linux-{platform.machine()}-{tag()}"


def fetch(lock: str, target: Path) -> None:
    """Download the wheels of a lock file, checked against its hashes."""
    lines = packages.wanted(lock)
    torch = next(line for line in lines if line.startswith("torch=="))
    packages.install_torch(
        torch,
        None,
        lambda arguments, line: _download([*arguments, "--no-deps"], [line], target),
        gpu=False,
        hashed=packages.cpu_hashed(lock),
    )
    _download(["--no-deps"], [line for line in lines if line != torch], target)


def _download(arguments: Sequence[str], lines: Sequence[str], target: Path) -> None:
    listed = target.parent / "wanted.txt"
    listed.write_text("\n".join(lines) + "\n", "utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download"]
    wanted = ["--only-binary", ":all:", "--dest", str(target), *arguments, "-r", str(listed)]
    run([*pip, *wanted], llama.LOG, failing="a package was not fetched", count=lambda _: None)
    listed.unlink()


def own_wheel(target: Path) -> None:
    """Build this checkout's wheel, of what is there now: setuptools packs an old build/ too."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "wheel"]
    wanted = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(target), str(ROOT)]
    with tempfile.TemporaryDirectory() as fresh:
        settings = Path(fresh, "settings.cfg")
        settings.write_text(f"[build]\nbuild_base = {fresh}\n", "utf-8")
        run(
            [*pip, *wanted],
            llama.LOG,
            failing="our own wheel",
            count=lambda _: None,
            environment={"DIST_EXTRA_CONFIG": str(settings)},
        )


def requirements(folder: Path) -> str:
    """Return pip's requirements for the wheels in a folder, each with its hash."""
    lines = []
    for wheel in sorted(folder.glob("*.whl")):
        project, version, *_ = wheel.name.split("-")
        if project != "pip":
            lines.append(f"{project}=={version} --hash=sha256:{wheels.digest(wheel)}")
    return "\n".join(lines) + "\n"


def fill(stage: Path) -> None:
    """Copy what is not a wheel into a bundle: the trial, the demo, units, documents, the script."""
    for folder in _FOLDERS:
        shutil.copytree(ROOT / folder, stage / folder)
    for file in _FILES:
        if (ROOT / file).exists():
            shutil.copy2(ROOT / file, stage / file)
    left = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "demo", stage / "demo", ignore=left)
    (stage / "trial").mkdir()
    shutil.copy2(ROOT / ".ci" / "trial.py", stage / "trial" / "trial.py")
    trial.make(stage / "trial" / "models", measured=False)
    shutil.copy2(ROOT / "deploy" / "install.sh", stage / "install.sh")


def seal(stage: Path) -> str:
    """Write the SHA-256 of each file in a bundle, in sha256sum's form; return the list's own."""
    files = sorted(path for path in stage.rglob("*") if path.is_file() and path.name != SUMS)
    text = "".join(f"{wheels.digest(path)}  {path.relative_to(stage)}\n" for path in files)
    (stage / SUMS).unlink(missing_ok=True)  # it may be a link to another bundle's
    (stage / SUMS).write_text(text, "utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def pack(stage: Path, target: Path) -> Path:
    """Write a bundle as one file. Not compressed: wheels are."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = _EPOCH
        entry.mode = 0o755 if entry.isdir() or entry.name.endswith("install.sh") else 0o644
        return entry

    half = target.with_suffix(".half")
    with tarfile.open(half, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(stage, stage.name, filter=plain)
    half.replace(target)
    digest = wheels.digest(target)
    target.with_suffix(".tar.sha256").write_text(f"{digest}  {target.name}\n", "utf-8")
    return target


def _llama_wheel(target: Path) -> None:
    if given := os.environ.get("BUNDLE_LLAMA"):
        shutil.copy2(given, target / Path(given).name)
        return
    version, sha256 = llama.locked()
    variants.build(version, sha256, llama.compiler(), target)


def _model(stage: Path) -> None:
    if given := os.environ.get("MODEL"):
        (stage / "models").mkdir()
        shutil.copy2(given, stage / "models" / Path(given).name)


def main() -> None:
    """Make it."""
    if platform.machine() != "x86_64":
        raise Failed(f"a bundle is for x86-64, and made there; this is {platform.machine()}")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    stage = DIST / name(project["version"])
    shutil.rmtree(stage, ignore_errors=True)
    wheelhouse = stage / "wheels"
    wheelhouse.mkdir(parents=True)
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    say("Fetching the wheels of requirements.lock, checked against its hashes")
    fetch(lock, wheelhouse)
    pip = re.findall(r"^# bundle: (.+)$", packages.locks("demo"), re.MULTILINE)
    _download(["--no-deps"], pip, wheelhouse)
    _llama_wheel(wheelhouse)
    own_wheel(wheelhouse)
    (stage / "wheels.txt").write_text(requirements(wheelhouse), "utf-8")
    fill(stage)
    _model(stage)
    (stage / "sbom.cdx.json").write_text(sbom.document(stage, project), "utf-8")
    seal(stage)
    made = pack(stage, DIST / f"{stage.name}.tar")
    shutil.rmtree(stage)
    say(f"{made.relative_to(ROOT)}: {made.stat().st_size / 1e6:.0f} MB, its hash beside it")
    say(f"On the server: tar -xf {made.name} && sudo ./{stage.name}/install.sh")


if __name__ == "__main__":
    sys.exit(guarded(main))
