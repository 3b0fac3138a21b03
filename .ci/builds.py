"""Which builds of llama.cpp are worth trying on a processor, and how one is chosen.

llama.cpp keeps what depends on the processor in one library, `libggml-cpu.so`; everything else is
compiled once for any x86-64. So a build that fails its trial costs a minute more, not six.

Standard library only; nothing here compiles or runs anything: `climb` is given what does.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# GCC before 13 declares 8 of the 64 bytes that _tile_loadconfig reads, so its optimiser drops the
# stores of the tile shapes, and the first AMX instruction is illegal (seen with Debian's 12.2).
FIRST_GCC_WITH_AMX = 13
FIRST_CLANG_WITH_AMX = 16
_NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
_NO_AVX512 = f"-mno-avx512f {_NO_AMX}"
_AVX2 = frozenset({"avx", "avx2", "fma", "f16c", "bmi2"})
# What a row costs: a prompt of 400 tokens, an answer of 80 written beside others.
_PROMPT, _WRITING = 400, 80


@dataclass(frozen=True)
class Compiler:
    """A C and a C++ compiler.

    Args:
        c: The command for C.
        cxx: The command for C++.
        kind: `gcc`, `clang` or `other`.
        major: Its major version.
    """

    c: str
    cxx: str
    kind: str
    major: int

    @property
    def name(self) -> str:
        """What a person calls it."""
        known = {"gcc": "GCC", "clang": "Clang"}.get(self.kind)
        return f"{known} {self.major}" if known else self.c

    @property
    def amx(self) -> bool:
        """Whether its AMX can be trusted so far as to be tried."""
        least = {"gcc": FIRST_GCC_WITH_AMX, "clang": FIRST_CLANG_WITH_AMX}
        return self.major >= least.get(self.kind, 0)


@dataclass(frozen=True)
class Candidate:
    """One way to compile llama.cpp's processor library.

    Args:
        name: What a person calls it.
        compiler: By what.
        switches: CMake's options for it.
        flags: Compiler flags beside those that CMake chooses; they win over `-march=native`.
        whole: Compile the other libraries too.
    """

    name: str
    compiler: Compiler
    switches: tuple[str, ...]
    flags: str = ""
    whole: bool = False

    @property
    def title(self) -> str:
        """Name and compiler."""
        return f"{self.name}, {self.compiler.name}"

    @property
    def folder(self) -> str:
        """The name of its build folder."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Plan:
    """What to try.

    Args:
        bases: Whole builds, in order: the first that passes is built upon.
        contenders: Groups of builds of the one library. Of each group the first that passes
            contends with the others and with the base: the fastest is kept.
    """

    bases: tuple[Candidate, ...]
    contenders: tuple[tuple[Candidate, ...], ...]


@dataclass(frozen=True)
class Tried:
    """A build that passed its trial.

    Args:
        candidate: Which.
        built: What was built.
        rates: Tokens a CPU second by what was measured.
    """

    candidate: Candidate
    built: Path
    rates: Mapping[str, float] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """CPU seconds of a usual row, over all that was measured."""
        return sum(
            (_PROMPT if what.endswith("prompt") else _WRITING) / rate
            for what, rate in self.rates.items()
        )


class NothingWorks(Exception):
    """No build passed its trial."""


def find_compiler(c: str, cxx: str) -> Compiler | None:
    """Return the compiler behind two commands, or None where one is missing."""
    if not shutil.which(c.split(maxsplit=1)[0]) or not shutil.which(cxx.split(maxsplit=1)[0]):
        return None
    macros = subprocess.run(
        [*c.split(), "-dM", "-E", "-x", "c", "/dev/null"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    defined = dict(re.findall(r"#define (__\w+__) (\d+)$", macros, re.MULTILINE))
    if "__clang_major__" in defined:
        return Compiler(c, cxx, "clang", int(defined["__clang_major__"]))
    return Compiler(c, cxx, "gcc" if defined else "other", int(defined.get("__GNUC__", 0)))


def find_clang() -> Compiler | None:
    """Return the newest Clang here whose AMX works."""
    for version in range(30, FIRST_CLANG_WITH_AMX - 1, -1):
        if found := find_compiler(f"clang-{version}", f"clang++-{version}"):
            return found
    found = find_compiler("clang", "clang++")
    return found if found and found.amx else None


def plan(
    machine: str,
    features: frozenset[str],
    compiler: Compiler,
    clang: Compiler | None,
    *,
    gpu: bool = False,
) -> Plan:
    """Return what to try on a processor.

    Args:
        machine: As `uname -m` prints it.
        features: The processor's flags in /proc/cpuinfo.
        compiler: The machine's own, or what CC and CXX name.
        clang: Another one, for AMX, if there is one.
        gpu: Whether to compile for an NVIDIA GPU too.
    """
    native = ("-DGGML_NATIVE=ON",)
    if machine != "x86_64":
        base = Candidate("plain", compiler, ("-DGGML_NATIVE=OFF",), whole=True)
        return Plan(_with_gpu(base, gpu=gpu), ((Candidate("native", compiler, native),),))
    bases = [Candidate("plain x86-64", compiler, _x86(frozenset()), whole=True)]
    if features >= _AVX2:
        bases.insert(0, Candidate("plain AVX2", compiler, _x86(_AVX2), whole=True))
    contenders = []
    if "amx_tile" in features:
        able = [each for each in (compiler, clang) if each and each.amx]
        contenders.append(tuple(Candidate("native with AMX", each, native) for each in able))
        without = [Candidate("native without AMX", compiler, native, _NO_AMX)]
    else:
        without = [Candidate("native", compiler, native)]
    if "avx512f" in features:
        without.append(Candidate("native without AVX-512", compiler, native, _NO_AVX512))
    contenders.append(tuple(without))
    return Plan(
        (*_with_gpu(bases[0], gpu=gpu), *bases[1:]), tuple(group for group in contenders if group)
    )


def wants_clang(features: frozenset[str], compiler: Compiler) -> bool:
    """Return whether another compiler would make use of what this processor has."""
    return "amx_tile" in features and not compiler.amx


def climb(
    wanted: Plan,
    build: Callable[[Candidate], Path],
    attempt: Callable[[Candidate, Path], str | None],
    measure: Callable[[Candidate, Path], Mapping[str, float]],
    say: Callable[[str], None],
) -> tuple[Tried, Tried, list[str]]:
    """Build, try and measure; return the fastest build that passed, the base, and what was refused.

    Args:
        wanted: What to try.
        build: Compiles a candidate; may raise `BuildFailed`.
        attempt: Tries what was built; returns what went wrong, None if nothing did.
        measure: Returns tokens a CPU second by what was measured.
        say: Tells a person a line.

    Raises:
        NothingWorks: If no base passes.
    """
    refused: list[str] = []

    def first(candidates: Sequence[Candidate]) -> Tried | None:
        for candidate in candidates:
            try:
                built = build(candidate)
                wrong = attempt(candidate, built)
            except BuildFailed as error:
                wrong = f"it did not compile: {error}"
            if wrong is None:
                return Tried(candidate, built, measure(candidate, built))
            refused.append(f"{candidate.title}: {wrong}")
            say(f"Refused the build {candidate.title}: {wrong}")
        return None

    base = first(wanted.bases)
    if base is None:
        raise NothingWorks("; ".join(refused))
    passed = [base, *filter(None, map(first, wanted.contenders))]
    return min(passed, key=lambda each: each.cost), base, refused


class BuildFailed(Exception):
    """A candidate that this compiler cannot compile."""


def _x86(features: frozenset[str]) -> tuple[str, ...]:
    names = ("sse42", "avx", "avx2", "fma", "f16c", "bmi2")
    switches = [f"-DGGML_{name.upper()}={'ON' if features else 'OFF'}" for name in names]
    return ("-DGGML_NATIVE=OFF", *switches)


def _with_gpu(base: Candidate, *, gpu: bool) -> tuple[Candidate, ...]:
    """Return the base, before it the same for the GPU if there is one."""
    if not gpu:
        return (base,)
    cuda = ("-DGGML_CUDA=ON", "-DCMAKE_CUDA_ARCHITECTURES=native")
    name = f"{base.name} with CUDA"
    return (Candidate(name, base.compiler, (*base.switches, *cuda), whole=True), base)
