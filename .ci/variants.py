"""llama.cpp compiled once for any x86-64: what depends on the processor is chosen where it runs.

llama.cpp calls it dynamic back ends: `libggml-cpu-*.so`, one for each family of processors, of
which it loads the best that the processor has. For servers without a compiler; a machine with one
gets a build of its own, which is as fast or faster (.ci/llama.py).
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import llama
import wheels
from builds import Candidate, Compiler
from console import Failed, run, say

# In llama.cpp's own words; the last is for whatever has none of the others.
FALLBACK = "x64"
_LIST = re.compile(r"^(\s*)(ggml_add_cpu_backend_variant\((\w+)[^)\n]*\))", re.MULTILINE)
_LIBRARIES = ("libggml-base.so", "libggml.so", "libllama.so")


def chosen(found: list[str], compiler: Compiler, wanted: str) -> list[str]:
    """Return which of llama.cpp's variants for x86-64 to compile.

    Args:
        found: Their names in the source.
        compiler: By what: one that breaks AMX leaves out those that use it.
        wanted: Names to keep, with spaces between; empty for all.

    Raises:
        Failed: If it has none of the names.
    """
    names = wanted.split() or found
    if missing := sorted(set(names) - set(found)):
        raise Failed(f"llama.cpp has no variant {', '.join(missing)}: {', '.join(found)}")
    kept = [each for each in found if each in names or each == FALLBACK]
    return [each for each in kept if compiler.amx or each != "sapphirerapids"]


def build(version: str, sha256: str, compiler: Compiler, target: Path) -> Path:
    """Return a wheel with all variants, compiled if the last one is not for the same.

    Args:
        version: Of llama-cpp-python.
        sha256: Of its source.
        compiler: By what.
        target: The folder to write it into.

    Raises:
        Failed: If the compiler refuses.
    """
    llama.WORK.mkdir(exist_ok=True)
    tree = llama.source(version, sha256)
    listed = tree / "vendor" / "llama.cpp" / "ggml" / "src" / "CMakeLists.txt"
    text = listed.with_suffix(".whole")
    if not text.exists():
        shutil.copy2(listed, text)
    whole = text.read_text("utf-8")
    x86 = whole[: whole.index("armv8.0_1")]
    names = [match[3] for match in _LIST.finditer(x86)]
    keep = chosen(names, compiler, os.environ.get("BUNDLE_VARIANTS", ""))
    left = sorted(set(names) - set(keep))
    _put(listed, _LIST.sub(lambda match: "" if match[3] in left else match[0], whole))
    try:
        libraries = _compile(tree, compiler, keep)
    finally:
        _put(listed, whole)  # the other builds of this source do not know variants
    return wheels.assemble(tree, libraries, version, target, tag="linux_x86_64")


def _put(path: Path, text: str) -> None:
    """Write a file anew if it differs: its time decides what is configured again."""
    if path.read_text("utf-8") == text:
        return
    half = path.with_suffix(".half")
    half.write_text(text, "utf-8")
    half.replace(path)


def _compile(tree: Path, compiler: Compiler, keep: list[str]) -> list[Path]:
    folder = llama.WORK / f"variants-{compiler.kind}-{compiler.major}"
    candidate = Candidate(
        "for any x86-64",
        compiler,
        ("-DGGML_NATIVE=OFF", "-DGGML_BACKEND_DL=ON", "-DGGML_CPU_ALL_VARIANTS=ON"),
        whole=True,
    )
    say(f"Compiling llama.cpp for {', '.join(keep)}: 4 to 20 minutes once, by how many cores")
    run(llama.configure(tree, candidate, folder), llama.LOG, failing="CMake")
    jobs = llama.jobs(llama.memory(), os.cpu_count() or 1, gpu=False)
    command = ["cmake", "--build", str(folder), "--target", "llama", "--parallel", str(jobs)]
    run(command, llama.LOG, failing="the compiler")
    stage = folder / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir()
    made = [folder / "bin" / name for name in _LIBRARIES]
    made += [folder / "bin" / f"libggml-cpu-{name}.so" for name in keep]
    for path in [*made, _openmp(compiler)]:
        shutil.copy2(path, stage / path.name)
        strip = ["strip", "--strip-unneeded", str(stage / path.name)]
        subprocess.run(strip, check=False, capture_output=True)
    return sorted(stage.glob("*.so*"))


def _openmp(compiler: Compiler) -> Path:
    """Return the compiler's OpenMP library, which a server without a compiler may not have."""
    name = "libomp.so.5" if compiler.kind == "clang" else "libgomp.so.1"
    command = [*compiler.c.split(), f"-print-file-name={name}"]
    path = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    if not path.is_file():
        raise Failed(f"{compiler.name} has no {name}: install it (libgomp1, libomp5)")
    return path
