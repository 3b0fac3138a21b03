"""The trial of a llama.cpp build passes a sound one and refuses what computes wrongly; the cache
trusts what passed, and nothing else."""

import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import llama
import llama_cpp
import numpy as np
import pytest
import trial
import wheels


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trial")
    trial.make(folder)
    return folder


@pytest.fixture
def here(models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the installed `llama_cpp`, with set-up's own state elsewhere."""
    monkeypatch.setattr(llama, "models", lambda: models)
    monkeypatch.setattr(llama, "LOG", tmp_path / "setup.log")
    monkeypatch.setattr(llama, "WORK", tmp_path / "work")
    return Path(llama_cpp.__file__).parents[1]


def test_the_installed_build_passes(here: Path) -> None:
    assert llama.attempt(here) is None


def test_every_weight_type_that_the_readme_names_is_tried(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial.run(models)
    said = capsys.readouterr().out
    for kind in ("Q8_0", "Q4_K", "Q4_1", "F16"):
        for what in ("a prompt of 37 tokens", "5 prompts at once", "one token of 5 sequences"):
            assert f"{kind}, {what}" in said


@pytest.mark.parametrize("kind", trial.KINDS)
def test_weights_that_are_read_wrongly_are_seen(models: Path, tmp_path: Path, kind: str) -> None:
    """As by a kernel that loses part of a tile: the model's middle is not what it was."""
    for suffix in ("gguf", "npz"):
        shutil.copy(models / f"{kind}.{suffix}", tmp_path)
    data = bytearray((tmp_path / f"{kind}.gguf").read_bytes())
    middle, length = len(data) // 2, len(data) // 16
    data[middle : middle + length] = data[middle + 32 : middle + 32 + length]
    (tmp_path / f"{kind}.gguf").write_bytes(data)
    with pytest.raises(SystemExit, match=f"{kind}: the answer is .* off"):
        trial._try(tmp_path, kind)


def test_no_number_at_all_is_refused() -> None:
    with pytest.raises(SystemExit, match="nan off"):
        trial._compare("Q8_0", [np.full(4, np.nan)], [np.ones(4)])


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("python", ["3.11.2", "later"])
def test_the_source_is_unpacked_by_any_python(
    python: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if python == "3.11.2":  # Debian 12's
        whole = tarfile.TarFile.extractall
        unfiltered: dict[str, Any] = (
            {"filter": "fully_trusted"} if hasattr(tarfile, "data_filter") else {}
        )
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
        monkeypatch.setattr(
            tarfile.TarFile,
            "extractall",
            lambda file, path=".", members=None: whole(file, path, members, **unfiltered),
        )
    archive = tmp_path / "work" / "llama_cpp_python-9.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as file:
        for name in ("llama_cpp/__init__.py", "vendor/llama.cpp/models/vocabulary.gguf"):
            file.addfile(tarfile.TarInfo(f"llama_cpp_python-9/{name}"))
    tree = llama.source("9", wheels.digest(archive))
    assert sorted(one.name for one in tree.rglob("*") if one.is_file()) == ["__init__.py", "whole"]


@pytest.mark.usefixtures("here")
def test_a_build_that_dies_is_named_by_its_signal_and_what_was_running(tmp_path: Path) -> None:
    package = tmp_path / "package" / "llama_cpp"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    wrong = llama.attempt(package.parent)
    assert wrong is not None
    assert wrong.startswith("SIGILL (")
    assert wrong.endswith("before its first token")


@pytest.mark.usefixtures("here")
def test_a_build_that_hangs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package" / "llama_cpp"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(llama, "_TRIAL_SECONDS", 1)
    assert "no answer in 1 s" in (llama.attempt(package.parent) or "")


@pytest.fixture
def source(here: Path, tmp_path: Path) -> Path:
    """What a source distribution has beside the libraries."""
    folder = tmp_path / "source"
    shutil.copytree(here / "llama_cpp", folder / "llama_cpp", ignore=shutil.ignore_patterns("lib"))
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: llama_cpp_python\nVersion: 9\n")
    (folder / "LICENSE.md").write_text("MIT\n")
    return folder


@pytest.fixture
def kept(here: Path, source: Path, tmp_path: Path) -> Path:
    """A folder of the cache with a sound wheel, not yet tried."""
    libraries = sorted((here / "llama_cpp" / "lib").glob("*.so*"))
    return wheels.assemble(source, libraries, "9", tmp_path / "cache", tag="linux_x86_64").parent


def test_a_wheel_that_was_put_together_is_the_same_each_time(
    here: Path, source: Path, tmp_path: Path
) -> None:
    library = [here / "llama_cpp" / "lib" / "libggml.so"]
    one = wheels.assemble(source, library, "9", tmp_path / "one", tag="linux_x86_64")
    two = wheels.assemble(source, library, "9", tmp_path / "two", tag="linux_x86_64")
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        names = set(archive.namelist())
        assert "llama_cpp/lib/libggml.so" in names
        record = archive.read("llama_cpp_python-9.dist-info/RECORD").decode()
        assert {line.split(",")[0] for line in record.splitlines()} == names


def test_a_wheel_that_was_never_tried_is_tried_and_then_trusted(kept: Path) -> None:
    assert wheels.trusted(kept, llama.processor()) is None
    assert llama.from_cache(kept) is not None
    verdict = wheels.trusted(kept, llama.processor())
    assert verdict is not None
    assert verdict["build"] == "found in the cache"


def test_a_wheel_that_passed_is_not_tried_again(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama.from_cache(kept)
    monkeypatch.setattr(llama, "attempt", lambda _: pytest.fail("tried again"))
    assert llama.from_cache(kept) is not None


def test_a_verdict_from_another_processor_is_worth_nothing(kept: Path) -> None:
    llama.from_cache(kept)
    verdict = json.loads((kept / wheels.VERDICT).read_text())
    (kept / wheels.VERDICT).write_text(json.dumps({**verdict, "processor": "another"}))
    assert wheels.trusted(kept, llama.processor()) is None


@pytest.mark.parametrize("harm", ["cut", "swapped", "no verdict", "torn verdict"])
def test_a_wheel_that_was_changed_since_is_not_trusted(kept: Path, harm: str) -> None:
    llama.from_cache(kept)
    (wheel,) = kept.glob("*.whl")
    if harm == "cut":
        wheel.write_bytes(wheel.read_bytes()[:-1000])
    elif harm == "swapped":
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("llama_cpp/more.py", "")
    elif harm == "no verdict":
        (kept / wheels.VERDICT).unlink()
    else:
        (kept / wheels.VERDICT).write_text("{")
    assert wheels.trusted(kept, llama.processor()) is None


def test_a_wheel_written_by_half_is_refused_in_one_line(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (wheel,) = kept.glob("*.whl")
    wheel.write_bytes(wheel.read_bytes()[: wheel.stat().st_size // 2])
    assert llama.from_cache(kept) is None
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .endswith("Refused the llama.cpp in the cache: half written")
    )


def test_a_wheel_that_dies_is_refused(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (wheel,) = kept.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["llama_cpp/__init__.py"] = b"import os; os.kill(os.getpid(), 4)"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    assert llama.from_cache(kept) is None
    assert "SIGILL" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written_is_done_without(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (wheel,) = kept.glob("*.whl")
    assert not wheels.keep(wheel, tmp_path / "file" / "below", {})
    assert llama.from_cache(tmp_path / "file" / "below") is None
