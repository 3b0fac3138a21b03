"""Reads a GGUF file's header, so that a bad file is refused before llama.cpp sees it.

llama.cpp checks files too, but answers some bad ones with an abort of the process. This walks every
key and every tensor with bounds, and hands the planner the model's shape before anything is loaded.

Source of the format: ggml-org/ggml `docs/gguf.md`, versions 2 and 3.
"""

import hashlib
import math
import mmap
import os
import stat
import struct
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from insights import errors
from insights.model import Value

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
# Value types 0-12: struct codes; 8 is a string, 9 an array.
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_MAX_ITEMS = 1 << 24  # no vocabulary has more entries; a larger count is damage
_MAX_DIMENSIONS = 4
_ALIGNMENT = 32  # bytes, unless general.alignment says otherwise
_FIX = "download the file again, or correct model.path in the settings"
# ggml type id: (elements a block, bytes a block). Source: ggml `ggml.c`, type_traits.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36),
}  # fmt: skip


class Header(NamedTuple):
    """What a GGUF file says of itself: keys, and the dimensions of each tensor as llama.cpp counts.

    Of a key that is an array the number of its items stands here.
    """

    values: dict[str, object]
    tensors: dict[str, tuple[int, ...]]
    file_bytes: int


class Weights(Value, frozen=True):
    """A model file's shape. `context` is what it was trained for, in tokens."""

    path: str
    architecture: str
    name: str
    layers: int
    embedding: int
    heads: int
    kv_heads: int
    head_size: int
    context: int
    vocabulary: int
    file_bytes: int

    def kv_bytes_per_token(self, bytes_per_value: float) -> int:
        """Return what one token of one sequence costs in the KV cache, in bytes."""
        return int(2 * self.layers * self.kv_heads * self.head_size * bytes_per_value)


class _Reader:
    """Bounds-checked little-endian reads."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self._data):
            raise ValueError("the file ends inside its header")
        self.at += count
        return self._data[self.at - count : self.at]

    def number(self, code: str) -> int:
        form = "<" + code
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def count(self) -> int:
        value = self.number("Q")
        if value > _MAX_ITEMS:
            raise ValueError(f"a count of {value} cannot be right")
        return value

    def text(self) -> str:
        return self.take(self.count()).decode("utf-8", "replace")

    def value(self, kind: int) -> object:
        """Return a scalar or a text; of an array its length (no array's items are needed here)."""
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self._array()
        if kind not in _SCALARS:
            raise ValueError(f"unknown value type {kind}")
        form = "<" + _SCALARS[kind]
        value: object = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def _array(self) -> int:
        kind, count = self.number("I"), self.count()
        if kind == _STRING:
            for _ in range(count):
                self.take(self.count())
        elif kind in _SCALARS:
            self.take(count * struct.calcsize("<" + _SCALARS[kind]))
        else:
            raise ValueError(f"an array of type {kind}")
        return count


class ModelFile:
    """A GGUF file held open: what is inspected, hashed and loaded is one and the same file.

    A path can name another file by the time it is opened again: what is behind a descriptor
    stays. Who may write into the file itself can still change it: its owner and mode are for that.

    Args:
        path: The file.

    Raises:
        errors.ModelError: If it is missing, cannot be read, or is no file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # A pipe would wait for a writer without NONBLOCK; files do not know the flag.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as exc:
            raise _unreadable(path, exc) from exc
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self.close()
            raise errors.ModelError("is no file", where=str(path), fix=_FIX)

    @property
    def opened(self) -> Path:
        """A path that leads to the open file, whatever its name means by now; until `close`."""
        return Path(f"/proc/self/fd/{self._descriptor}")

    def inspect(self) -> Weights:
        """Return its shape after checking its header and that all its tensors are there.

        Raises:
            errors.ModelError: If it is no GGUF, truncated, damaged or a part of a split model.
        """
        header = self.header()
        try:
            return _shape(self.path, header)
        except ValueError as exc:
            raise _unusable(self.path, exc) from exc

    def header(self) -> Header:
        """Return its keys and tensors after checking that all of it is there.

        Raises:
            errors.ModelError: If it is no GGUF, truncated or damaged.
        """
        try:
            with mmap.mmap(self._descriptor, 0, prot=mmap.PROT_READ) as data:
                return _header(data)
        except OSError as exc:
            raise _unreadable(self.path, exc) from exc
        except (ValueError, struct.error) as exc:
            raise _unusable(self.path, exc) from exc

    def verify(self, sha256: str, setting: str = "model.sha256") -> str:
        """Return its SHA-256, refusing a file that is not the one the settings name.

        Raises:
            errors.ModelError: If it differs from a non-empty `sha256`, or cannot be read.
        """
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            with os.fdopen(os.dup(self._descriptor), "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise _unreadable(self.path, exc) from exc
        if sha256 and found != sha256.lower():
            what = setting.partition(".")[0]
            raise errors.ModelError(
                f"is not the {what} that the settings name: its sha256 is {found}, not {sha256}",
                where=str(self.path),
                fix=f"put the right file there, or set {setting} after checking the new one",
            )
        return found

    def close(self) -> None:
        """Let go of the file; what llama.cpp has mapped of it stays mapped."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _unreadable(path: Path, exc: OSError) -> errors.ModelError:
    return errors.ModelError(f"cannot be read ({exc.strerror})", where=str(path), fix=_FIX)


def _unusable(path: Path, exc: Exception) -> errors.ModelError:
    return errors.ModelError(f"is no usable GGUF model: {exc}", where=str(path), fix=_FIX)


def _header(data: mmap.mmap) -> Header:
    reader = _Reader(data)
    if reader.take(4) != _MAGIC:
        raise ValueError("it does not begin with GGUF")
    version = reader.number("I")
    if version not in _VERSIONS:
        raise ValueError(f"GGUF version {version} is not supported")
    tensors, keys = reader.count(), reader.count()
    values: dict[str, object] = {}
    for _ in range(keys):
        key = reader.text()
        values[key] = reader.value(reader.number("I"))
    dimensions, end = _tensors(reader, tensors)
    alignment = _int(values, "general.alignment", _ALIGNMENT)
    start = -(-reader.at // alignment) * alignment
    if start + end > len(data):
        raise ValueError(
            f"it is truncated: its tensors need {start + end} bytes, it has {len(data)}"
        )
    return Header(values, dimensions, len(data))


def _tensors(reader: _Reader, tensors: int) -> tuple[dict[str, tuple[int, ...]], int]:
    """Return each tensor's dimensions, and the byte after the last, from the data's start on."""
    found: dict[str, tuple[int, ...]] = {}
    end = 0
    for _ in range(tensors):
        name = reader.text()
        dimensions = reader.number("I")
        if dimensions > _MAX_DIMENSIONS:
            raise ValueError(f"tensor {name} has {dimensions} dimensions")
        found[name] = tuple(reader.number("Q") for _ in range(dimensions))
        elements = math.prod(found[name])
        kind, offset = reader.number("I"), reader.number("Q")
        if kind not in _BLOCKS:
            raise ValueError(f"tensor {name} has the unknown type {kind}")
        block, size = _BLOCKS[kind]
        end = max(end, offset + elements // block * size)
    return found, end


def _shape(path: Path, header: Header) -> Weights:
    values = header.values
    if _int(values, "split.count", 1) > 1:
        raise ValueError(
            "it is one part of a split model, and one hash names one file: join its parts with "
            "llama-gguf-split --merge"
        )
    if not header.tensors:
        raise ValueError("it holds a vocabulary only, no weights")
    architecture = str(values.get("general.architecture", ""))
    if not architecture:
        raise ValueError("general.architecture is missing")

    def number(key: str, default: int = 0) -> int:
        return _int(values, f"{architecture}.{key}", default)

    heads = number("attention.head_count", 1)
    embedding = number("embedding_length")
    return Weights(
        path=str(path),
        architecture=architecture,
        name=str(values.get("general.name") or path.stem),
        layers=number("block_count"),
        embedding=embedding,
        heads=heads,
        kv_heads=number("attention.head_count_kv", heads),
        head_size=number("attention.key_length", embedding // max(heads, 1)),
        context=number("context_length"),
        vocabulary=_int(values, "tokenizer.ggml.tokens", 0),
        file_bytes=header.file_bytes,
    )


def _int(values: dict[str, object], key: str, default: int) -> int:
    value = values.get(key, default)
    return value if isinstance(value, int) and value > 0 else default
