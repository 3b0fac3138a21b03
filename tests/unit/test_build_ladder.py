"""Which build of llama.cpp set-up keeps, on which processor, and what it says of the others."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import builds
import pytest
from builds import Candidate, Compiler
from diagnose import ended

TESTS = Path(__file__).resolve().parents[1]
GCC12, GCC14 = Compiler("cc", "c++", "gcc", 12), Compiler("cc", "c++", "gcc", 14)
CLANG = Compiler("clang-19", "clang++-19", "clang", 19)
ZEN3 = frozenset({"sse4_2", "avx", "avx2", "fma", "f16c", "bmi2"})
ICELAKE = ZEN3 | {"avx512f", "avx512_vnni"}
SAPPHIRE = ICELAKE | {"amx_tile", "amx_int8", "amx_bf16"}

# A kernel, and a trial that runs it: 42 or a signal.
KERNEL = "int kernel(int x) { return x * 2; }\n"
TRIAL = "import ctypes, sys; sys.exit(ctypes.CDLL(sys.argv[1]).kernel(21) != 42)"


def _titles(plan: builds.Plan) -> tuple[list[str], list[list[str]]]:
    return [c.title for c in plan.bases], [[c.title for c in g] for g in plan.contenders]


def test_a_processor_with_avx2_gets_a_plain_and_a_native_build() -> None:
    assert _titles(builds.plan("x86_64", ZEN3, GCC12, None)) == (
        ["plain AVX2, GCC 12", "plain x86-64, GCC 12"],
        [["native, GCC 12"]],
    )


def test_a_processor_without_avx2_is_given_no_avx2() -> None:
    plan = builds.plan("x86_64", frozenset({"sse4_2"}), GCC12, None)
    assert _titles(plan)[0] == ["plain x86-64, GCC 12"]
    assert "-DGGML_AVX2=OFF" in plan.bases[0].switches
    assert "-DGGML_NATIVE=OFF" in plan.bases[0].switches


def test_amx_is_not_asked_of_a_gcc_that_breaks_it() -> None:
    _, (group,) = _titles(builds.plan("x86_64", SAPPHIRE, GCC12, None))
    assert group == ["native without AMX, GCC 12", "native without AVX-512, GCC 12"]
    (without,) = [
        c
        for c in builds.plan("x86_64", SAPPHIRE, GCC12, None).contenders[0]
        if c.name == "native without AMX"
    ]
    assert without.flags == "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"


def test_a_clang_contends_for_amx_with_a_gcc_that_does_without() -> None:
    _, groups = _titles(builds.plan("x86_64", SAPPHIRE, GCC12, CLANG))
    assert groups == [
        ["native with AMX, Clang 19"],
        ["native without AMX, GCC 12", "native without AVX-512, GCC 12"],
    ]
    assert builds.wants_clang(SAPPHIRE, GCC12)
    assert not builds.wants_clang(SAPPHIRE, GCC14)
    assert not builds.wants_clang(ICELAKE, GCC12)


def test_a_newer_gcc_may_use_amx() -> None:
    _, groups = _titles(builds.plan("x86_64", SAPPHIRE, GCC14, None))
    assert groups[0] == ["native with AMX, GCC 14"]


def test_a_gpus_build_is_followed_by_one_without() -> None:
    bases, _ = _titles(builds.plan("x86_64", ZEN3, GCC12, None, gpu=True))
    assert bases[:2] == ["plain AVX2 with CUDA, GCC 12", "plain AVX2, GCC 12"]


class Bench:
    """Builds nothing; passes and measures by name."""

    def __init__(self, wrong: Mapping[str, str], rates: Mapping[str, float]) -> None:
        self.wrong, self.rates = wrong, rates
        self.built: list[str] = []
        self.said: list[str] = []

    def build(self, candidate: Candidate) -> Path:
        self.built.append(candidate.name)
        if self.wrong.get(candidate.name) == "compiler":
            raise builds.BuildFailed("error: unrecognized option")
        return Path(candidate.name)

    def attempt(self, candidate: Candidate, _built: Path) -> str | None:
        return self.wrong.get(candidate.name)

    def measure(self, candidate: Candidate, _built: Path) -> dict[str, float]:
        rate = self.rates.get(candidate.name, 100)
        return {"Q8_0 prompt": rate, "Q8_0 writing": rate}

    def climb(self, plan: builds.Plan) -> str:
        best, _, self.refused = builds.climb(
            plan, self.build, self.attempt, self.measure, self.said.append
        )
        return best.candidate.title


def test_the_fastest_that_passed_is_kept() -> None:
    plan = builds.plan("x86_64", SAPPHIRE, GCC12, CLANG)
    fast = {"native with AMX": 300.0, "native without AMX": 150.0}
    assert Bench({}, fast).climb(plan) == "native with AMX, Clang 19"
    fast["native with AMX"] = 120.0
    assert Bench({}, fast).climb(plan) == "native without AMX, GCC 12"


def test_a_native_build_that_is_slower_than_the_plain_one_is_not_kept() -> None:
    plan = builds.plan("x86_64", ZEN3, GCC12, None)
    assert Bench({}, {"native": 99.0}).climb(plan) == "plain AVX2, GCC 12"


def test_a_build_that_fails_is_refused_in_one_line_and_the_next_is_tried() -> None:
    plan = builds.plan("x86_64", ICELAKE, GCC12, None)
    bench = Bench({"native": "SIGILL"}, {"native without AVX-512": 120.0})
    assert bench.climb(plan) == "native without AVX-512, GCC 12"
    assert bench.said == ["Refused the build native, GCC 12: SIGILL"]
    assert bench.refused == ["native, GCC 12: SIGILL"]


def test_a_build_that_does_not_compile_is_refused_too() -> None:
    bench = Bench({"native": "compiler"}, {})
    assert bench.climb(builds.plan("x86_64", ZEN3, GCC12, None)) == "plain AVX2, GCC 12"
    assert "did not compile: error: unrecognized option" in bench.said[0]


def test_builds_after_the_first_that_passed_are_not_made() -> None:
    bench = Bench({}, {})
    bench.climb(builds.plan("x86_64", ICELAKE, GCC12, None))
    assert bench.built == ["plain AVX2", "native"]


def test_where_nothing_passes_each_reason_is_named() -> None:
    bench = Bench({"plain AVX2": "SIGILL", "plain x86-64": "SIGSEGV"}, {})
    with pytest.raises(builds.NothingWorks, match=r"plain AVX2.*SIGILL.*plain x86-64.*SIGSEGV"):
        bench.climb(builds.plan("x86_64", ZEN3, GCC12, None))


@pytest.fixture
def breaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """A compiler that emits an undefined instruction where BREAKS says so."""
    for name in ("cc", "c++"):
        (tmp_path / name).symlink_to(TESTS / "breaking_compiler.sh")
    (tmp_path / "quants.c").write_text(KERNEL)
    monkeypatch.setenv("BREAKS", "native")
    found = builds.find_compiler(str(tmp_path / "cc"), str(tmp_path / "c++"))
    assert found is not None
    return found


def _really(folder: Path, candidate: Candidate) -> Path:
    """Compile the kernel as the candidate says, with a real compiler."""
    library = folder / f"{candidate.folder}.so"
    march = ["-march=native"] if "-DGGML_NATIVE=ON" in candidate.switches else []
    source, made = folder / "quants.c", folder / f"{candidate.folder}.o"
    flags = [*march, *candidate.flags.split(), "-O2", "-fPIC"]
    subprocess.run([candidate.compiler.c, *flags, "-c", source, "-o", made], check=True)
    subprocess.run([candidate.compiler.c, "-shared", made, "-o", library], check=True)
    return library


def _run(_candidate: Candidate, library: Path) -> str | None:
    done = subprocess.run([sys.executable, "-c", TRIAL, library], check=False)
    return ended(done.returncode) if done.returncode else None


@pytest.mark.parametrize(
    ("breaks", "features", "kept"),
    [
        ("native", ZEN3, "plain AVX2"),
        ("avx512", ICELAKE, "native without AVX-512"),
        ("amx", SAPPHIRE, "native without AMX"),
        ("none", ZEN3, "native"),
    ],
)
def test_a_compiler_that_emits_illegal_instructions_is_seen_through(
    breaking: Compiler,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    breaks: str,
    features: frozenset[str],
    kept: str,
) -> None:
    monkeypatch.setenv("BREAKS", breaks)
    trusted = Compiler(breaking.c, breaking.cxx, "gcc", 14)  # so that AMX is tried at all
    said: list[str] = []
    best, _, refused = builds.climb(
        builds.plan(os.uname().machine, features, trusted, None),
        lambda candidate: _really(tmp_path, candidate),
        _run,
        lambda candidate, _: {"Q8_0 prompt": 2.0 if "native" in candidate.name else 1.0},
        said.append,
    )
    assert best.candidate.name == kept
    assert len(said) == len(refused) == (0 if breaks == "none" else 1)
    assert all("SIGILL (an instruction this processor lacks" in line for line in said)


def test_a_compiler_is_known_by_what_it_defines() -> None:
    found = builds.find_compiler("cc", "c++")
    assert found is not None
    assert found.kind in {"gcc", "clang"}
    assert found.major > 4
    assert builds.find_compiler("no-such-compiler", "c++") is None
