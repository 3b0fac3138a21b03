"""Installs a llama.cpp that was tried on this processor: `.venv/bin/python .ci/llama.py`.

Compiles it, tries each build with a real forward pass in a child process (.ci/trial.py), goes on by
itself to the next build when one fails (.ci/builds.py), measures those that passed and keeps the
fastest. What passed is kept in the cache with its verdict, so that the next checkout need not
compile again. A second call after Ctrl-C goes on where the first was stopped.
"""

import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import builds
import wheels
from builds import BuildFailed, Candidate, Compiler, Tried
from console import Failed, guarded, run, say
from diagnose import ended

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(sys.prefix)
WORK = VENV / "llama"
LOG = VENV / "setup.log"
TRIAL = Path(__file__).with_name("trial.py")
_TRIAL_SECONDS = 300
# One compiler at work on llama.cpp's largest file, and nvcc on one of its kernels.
_JOB_BYTES, _CUDA_JOB_BYTES = 1 << 30, 3 << 30
_NEEDED = ("CMakeLists.txt", "LICENSE", "cmake", "ggml", "include", "licenses", "src", "vendor")


# --- this machine ---------------------------------------------------------------------------------


def features() -> frozenset[str]:
    """Return the processor's flags."""
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def processor() -> str:
    """Return what tells this processor and system from others, short."""
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    words = [platform.machine(), release.get("ID", ""), release.get("VERSION_ID", "")]
    return _short(" ".join([*words, *sorted(features())]))


def cache_folder(version: str, *, gpu: bool) -> Path | None:
    """Return where a wheel for this processor is kept; None where no home directory is known."""
    settings = [os.environ.get(name, "") for name in ("CC", "CXX", "CMAKE_ARGS")]
    name = f"llama-{version}-{'cuda' if gpu else 'cpu'}-{processor()}-{_short(' '.join(settings))}"
    base = os.environ.get("XDG_CACHE_HOME") or (
        f"{os.environ['HOME']}/.cache" if os.environ.get("HOME") else ""
    )
    return Path(base) / "legacy-insights" / name if base else None


def jobs(memory: int, cores: int, *, gpu: bool) -> int:
    """Return how many compilers may run at once in so many bytes of memory."""
    return max(1, min(cores, memory // (_CUDA_JOB_BYTES if gpu else _JOB_BYTES)))


def memory() -> int:
    """Return the bytes of memory that are free for us, within the container's limit."""
    free = 1 << 62
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text("ascii").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text("ascii"))
    except (OSError, ValueError):
        return free
    return free if limit == "max" else min(free, max(0, int(limit) - used))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# --- the trial ------------------------------------------------------------------------------------


def models() -> Path:
    """Return the trial's models, made once for each version of the trial."""
    folder = WORK / f"trial-{_short(TRIAL.read_text('utf-8'))}"
    if not (folder / "made").exists():
        run([sys.executable, str(TRIAL), "make", str(folder)], LOG, failing="the trial's models")
    return folder


def attempt(package: Path) -> str | None:
    """Try the `llama_cpp` in a folder; return what went wrong, None if nothing did."""
    folder = models()
    try:
        done = _child("run", package, folder)
    except subprocess.TimeoutExpired as late:
        return f"no answer in {_TRIAL_SECONDS} s{_during(late.stdout)}"
    _note(done.stdout + done.stderr)
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"{ended(done.returncode)}{_during(done.stdout)}"
    return (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]


def measure(package: Path) -> dict[str, float]:
    """Return tokens a CPU second of the `llama_cpp` in a folder, by what was measured."""
    done = _child("speed", package, models())
    if done.returncode != 0:
        raise Failed(f"the build passed its trial, yet not its measuring: {done.stderr.strip()}")
    return {str(what): float(rate) for what, rate in json.loads(done.stdout).items()}


def _child(what: str, package: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TRIAL), what, str(folder)],
        env={**os.environ, "PYTHONPATH": str(package), "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=_TRIAL_SECONDS,
        check=False,
    )


def _during(output: str | bytes | None) -> str:
    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""
    lines = text.strip().splitlines()
    return f", at {lines[-1]}" if lines else ", before its first token"


# --- compiling ------------------------------------------------------------------------------------


def source(version: str, sha256: str) -> Path:
    """Return llama-cpp-python's source, fetched, checked against its hash, and unpacked once."""
    folder = WORK / f"llama_cpp_python-{version}"
    if (folder / "whole").exists():
        return folder
    archive = WORK / f"llama_cpp_python-{version}.tar.gz"
    if not archive.exists():
        say(f"Fetching the source of llama-cpp-python {version}")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
        wanted = ["--no-deps", "--no-binary", "llama-cpp-python", f"llama-cpp-python=={version}"]
        fetched = WORK / "fetched"
        run(
            [*pip, "download", "--dest", str(fetched), *wanted],
            LOG,
            failing="llama.cpp's source was not fetched",
            count=lambda _: None,
        )
        (fetched / archive.name).replace(archive)
    if (found := wheels.digest(archive)) != sha256:
        archive.unlink()
        raise Failed(
            f"llama-cpp-python's source is not the file that requirements.lock names: its sha256 "
            f"is {found}, not {sha256}. Find out who changed it: a mirror, a proxy or the lock file"
        )
    shutil.rmtree(folder, ignore_errors=True)
    # Debian 12's Python, 3.11.2, knows no filters; what a hash names is trusted anyway.
    careful: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as file:
        file.extractall(WORK, members=_needed(file), **careful)  # noqa: S202 - as above
    (folder / "whole").write_text("", "utf-8")
    archive.unlink()
    return folder


def _needed(file: tarfile.TarFile) -> Iterable[tarfile.TarInfo]:
    """Return the fifth of the archive that is compiled or installed."""
    for member in file:
        parts = member.name.split("/")[1:]
        vendored = parts[:2] == ["vendor", "llama.cpp"] and parts[2:3] and parts[2] in _NEEDED
        if vendored or parts[0] == "llama_cpp" or parts in (["PKG-INFO"], ["LICENSE.md"]):
            yield member


class Workshop:
    """Compiles candidates, each in a folder of its own under `.venv/llama`.

    Nothing goes to /tmp, which may be small or mounted noexec. A folder that was left half-way is
    gone on with.
    """

    def __init__(self, tree: Path, *, gpu: bool) -> None:
        self._tree = tree
        self._jobs = jobs(memory(), len(os.sched_getaffinity(0)), gpu=gpu)
        self._base: list[Path] = []

    def build(self, candidate: Candidate) -> Path:
        """Compile a candidate; return a folder with a whole `llama_cpp` in it.

        Raises:
            BuildFailed: If the compiler refuses; a full disk and the like end set-up instead.
        """
        say(f"Compiling llama.cpp, {candidate.title}{_why(candidate, self._jobs)}")
        folder = WORK / candidate.folder
        target = "llama" if candidate.whole else "ggml-cpu"
        try:
            run(configure(self._tree, candidate, folder), LOG, failing="CMake")
            build = ["cmake", "--build", str(folder), "--target", target]
            run([*build, "--parallel", str(self._jobs)], LOG, failing="the compiler")
        except Failed as error:
            if _is_ours(str(error)):
                raise
            raise BuildFailed(str(error)) from None
        made = sorted((folder / "bin").glob("lib*.so"))
        if candidate.whole:
            self._base = made
            return self._stage(candidate, made)
        cpu = [path for path in made if path.name == "libggml-cpu.so"]
        return self._stage(candidate, [*self._base, *cpu])  # the later one replaces the base's

    def _stage(self, candidate: Candidate, libraries: Iterable[Path]) -> Path:
        stage = WORK / "stages" / candidate.folder
        shutil.rmtree(stage, ignore_errors=True)
        package = stage / "llama_cpp"
        shutil.copytree(self._tree / "llama_cpp", package)
        (package / "lib").mkdir(exist_ok=True)
        for path in libraries:
            shutil.copy2(path, package / "lib" / path.name)
            strip = ["strip", "--strip-unneeded", str(package / "lib" / path.name)]
            subprocess.run(strip, check=False, capture_output=True)
        return stage


def configure(tree: Path, candidate: Candidate, folder: Path) -> list[str]:
    """Return CMake's command for a build of the source in a tree into a folder."""
    off = ("COMMON", "TESTS", "TOOLS", "EXAMPLES", "SERVER", "APP")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    compiler = candidate.compiler
    launchers = []
    for language, command in (("C", compiler.c), ("CXX", compiler.cxx)):
        launchers.append(f"-DCMAKE_{language}_COMPILER={command.split()[0]}")
        flags = " ".join([*command.split()[1:], candidate.flags]).strip()
        launchers.append(f"-DCMAKE_{language}_FLAGS={flags}")
    return [
        "cmake",
        *("-S", str(tree / "vendor" / "llama.cpp"), "-B", str(folder)),
        *generator,
        *launchers,
        *("-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON", "-DLLAMA_CURL=OFF"),
        # One file a library, found beside the one that asks for it.
        *("-DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON", "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON"),
        "-DCMAKE_INSTALL_RPATH=$ORIGIN",
        *(f"-DLLAMA_BUILD_{part}=OFF" for part in off),
        *candidate.switches,
        *shlex.split(os.environ.get("CMAKE_ARGS", "")),
    ]


def _why(candidate: Candidate, parallel: int) -> str:
    if not candidate.whole:
        return ": only what depends on the processor, about a minute"
    minutes = "a quarter of an hour, with CUDA" if "CUDA" in candidate.name else "minutes"
    shared = "1 compiler" if parallel == 1 else f"{parallel} compilers at once"
    return f": it comes as source, which takes {minutes} once ({shared})"


def _is_ours(reason: str) -> bool:
    """Return whether the machine, not the compiler, failed: another build would fail as well."""
    return bool(re.search("disk is full|not enough memory|read-only|ermission denied", reason))


# --- the whole ------------------------------------------------------------------------------------


def compile_and_choose(version: str, sha256: str, *, gpu: bool) -> tuple[Path, dict[str, object]]:
    """Return a wheel of the fastest build that passed, and the verdict on it."""
    own = compiler()
    clang = builds.find_clang() if builds.wants_clang(features(), own) else None
    if builds.wants_clang(features(), own):
        say(
            f"{own.name} breaks AMX, which this processor has: "
            + (f"{clang.name} is tried for it" if clang else "it stays unused; clang-19 would do")
        )
    wanted = builds.plan(platform.machine(), features(), own, clang, gpu=gpu)
    tree = source(version, sha256)
    workshop = Workshop(tree, gpu=gpu)

    def measured(candidate: Candidate, package: Path) -> Mapping[str, float]:
        rates = measure(package)
        _note(f"{candidate.title}: {rates}")
        return rates

    try:
        best, base, refused = builds.climb(
            wanted, workshop.build, lambda _, package: attempt(package), measured, say
        )
    except builds.NothingWorks as error:
        raise Failed(f"no build of llama.cpp works here: {error}. {LOG} has it all") from None
    say(f"Chosen: {best.candidate.title}, {_figures(best, base)}")
    libraries = sorted((best.built / "llama_cpp" / "lib").glob("*.so"))
    tag = f"linux_{platform.machine()}"
    return wheels.assemble(tree, libraries, version, WORK / "wheel", tag=tag), {
        "build": best.candidate.title,
        "rates": best.rates,
        "plain": base.rates,
        "refused": refused,
    }


def compiler() -> Compiler:
    """Return this machine's compiler, or what CC and CXX name."""
    found = builds.find_compiler(os.environ.get("CC", "cc"), os.environ.get("CXX", "c++"))
    if found is None:
        raise Failed("no C++ compiler: install build-essential (dnf: gcc-c++), or set CC and CXX")
    return found


def _figures(best: Tried, base: Tried) -> str:
    parts = []
    for what in ("prompt", "writing"):
        rate, plain = best.rates[f"Q8_0 {what}"], base.rates[f"Q8_0 {what}"]
        times = "" if best is base else f" ({rate / plain:.2f} times the {base.candidate.name})"
        parts.append(f"{rate:.0f} {what}{times}")
    return f"passed its trial; tokens a CPU second at Q8_0: {', '.join(parts)}"


def from_cache(folder: Path) -> Path | None:
    """Return the cache's wheel if it is known to work here, or works when tried."""
    wheel = wheels.found(folder)
    if wheel is None:
        return None
    if wheels.trusted(folder, processor()):
        say(f"Using the llama.cpp kept in {folder}, which passed its trial here")
        return wheel
    say(f"Trying the llama.cpp kept in {folder}: nothing says that it passed on this processor")
    package = wheels.unpack(wheel, WORK / "stages" / f"cache-{os.getpid()}")
    wrong = attempt(package) if package else "half written"
    if package:
        shutil.rmtree(package, ignore_errors=True)
    if wrong is None:
        wheels.keep(wheel, folder, _verdict({"build": "found in the cache"}))
        return wheel
    say(f"Refused the llama.cpp in the cache: {wrong}")
    return None


def _verdict(about: Mapping[str, object]) -> dict[str, object]:
    return {**about, "processor": processor(), "passed": time.strftime("%Y-%m-%dT%H:%M:%S%z")}


def installed(stamp: str) -> bool:
    """Return whether this environment has what the stamp says."""
    try:
        written = (VENV / "setup-llama").read_text("utf-8")
    except OSError:
        return False
    found = VENV.glob("lib/python*/site-packages/llama_cpp/lib/libllama.so")
    return written == stamp and any(found)


def install(version: str, sha256: str, *, gpu: bool) -> None:
    """Install a build that passed, from the cache or compiled."""
    WORK.mkdir(exist_ok=True)
    folder = cache_folder(version, gpu=gpu)
    stamp = f"{version} {'cuda' if gpu else 'cpu'} {processor()}"
    if installed(stamp):
        return
    (VENV / "setup-llama").unlink(missing_ok=True)
    wheel = from_cache(folder) if folder else None
    if wheel is None:
        wheel, about = compile_and_choose(version, sha256, gpu=gpu)
        if not folder or not wheels.keep(wheel, folder, _verdict(about)):
            say("There is no home directory to keep it in: the next checkout compiles again")
        (VENV / "llama-build.json").write_text(json.dumps(_verdict(about), indent=1), "utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    run(
        [*pip, "--force-reinstall", "--no-deps", str(wheel)],
        LOG,
        failing="llama-cpp-python was not installed",
    )
    (VENV / "setup-llama").write_text(stamp, "utf-8")
    for used in (WORK / "stages", WORK / "wheel"):
        shutil.rmtree(used, ignore_errors=True)
    for used in WORK.glob("plain*"):  # hundreds of megabytes that nothing reads again
        shutil.rmtree(used, ignore_errors=True)
    for used in WORK.glob("native*"):
        shutil.rmtree(used, ignore_errors=True)


def _note(text: str) -> None:
    with LOG.open("a", encoding="utf-8") as file:
        file.write(text.rstrip() + "\n")


def locked() -> tuple[str, str]:
    """Return the version and the source's SHA-256 that the lock file names."""
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    found = re.search(r"^llama.cpp.python==(\S+) --hash=sha256:(\w+)$", lock, re.MULTILINE)
    if not found:
        raise Failed("requirements.lock names no llama-cpp-python with one hash")
    return found[1], found[2]


def main() -> None:
    """Read the version from the lock file and install it."""
    install(*locked(), gpu="cuda" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(guarded(main))
