"""LoRA adapters: a GGUF file beside a model's, laid on its tensors before llama.cpp sees it.

llama.cpp answers an adapter that does not fit with one line of its own and no pointer; here the
tensor and the way out are named. Source of the format: llama.cpp `src/llama-adapter.cpp`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from insights import errors
from insights.inference.messages import AdapterFile
from insights.inference.weights import Header, ModelFile
from insights.model import Adapter

_A, _B, _NORM = ".lora_a", ".lora_b", "_norm.weight"
_EMBEDDING = "token_embd.weight"  # its two halves stand the other way round
_ACTIVATED = "adapter.alora.invocation_tokens"
_MATRIX = 2


class Base(Protocol):
    """A loaded model."""

    def add_adapter(self, sha256: str, path: Path, *, name: str) -> None:
        """Load an adapter beside it."""
        ...


class Context(Protocol):
    """What evaluates under an adapter."""

    def adapt(self, adapter: Adapter | None) -> None:
        """Evaluate under it from the next batch on."""
        ...

    def decode(
        self, tokens: list[int], positions: list[int], sequences: list[int], wanted: list[bool]
    ) -> None:
        """Evaluate one batch."""
        ...

    def logits(self, index: int) -> npt.NDArray[np.float32]:
        """Return the logits of one entry of the last batch."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


class Adapters:
    """The adapters of one model. What is wrong with one stops no row that is made without it.

    Args:
        given: Their files.
        model: The model's open file.
    """

    def __init__(self, given: Sequence[AdapterFile], model: ModelFile) -> None:
        self._opened: dict[str, _Opened] = {}
        self._refused: dict[str, errors.AdapterError] = {}
        self._names: dict[str, str] = {}
        base = model.header() if given else None
        for one in given:
            if base is None or one.sha256 in self._opened:
                continue
            try:
                self._opened[one.sha256] = _Opened(one, base)
                self._refused.pop(one.sha256, None)  # of another place that had another file
            except errors.AdapterError as exc:
                self._refused[one.sha256] = exc
        self.bytes = sum(one.bytes for one in self._opened.values())
        """What they take in memory."""

    def load(self, model: Base) -> None:
        """Load them beside the model, and let go of their files."""
        for sha256, one in self._opened.items():
            try:
                model.add_adapter(sha256, one.path, name=one.where)
                self._names[sha256] = one.name
            except errors.AdapterError as exc:
                self._refused[sha256] = exc
            finally:
                one.close()

    def prove(self, context: Context, tokens: list[int]) -> None:
        """Evaluate a few tokens under each, and refuse one that makes no numbers of them."""
        last = len(tokens) - 1
        for sha256 in list(self._names):
            context.adapt(Adapter(sha256=sha256))
            wanted = [at == last for at in range(len(tokens))]
            context.decode(tokens, list(range(len(tokens))), [0] * len(tokens), wanted)
            finite = bool(np.isfinite(context.logits(last)).all())
            context.clear()
            context.adapt(None)
            if not finite:
                del self._names[sha256]
                self._refused[sha256] = errors.AdapterError(
                    "under this adapter the model's numbers overflow",
                    where=self._opened[sha256].where,
                    fix="train it again at a lower learning rate, or take [adapter] out",
                )

    def name(self, adapter: Adapter | None) -> str:
        """Return what is added to the model's name for what is made under an adapter.

        Raises:
            errors.AdapterError: If that is not loaded.
        """
        if adapter is None:
            return ""
        if (refused := self._refused.get(adapter.sha256)) is not None:
            raise errors.AdapterError(refused.what, where=refused.where, fix=refused.fix)
        if adapter.sha256 not in self._names:
            raise errors.AdapterError(
                f"the adapter {adapter.sha256[:12]} is not loaded beside this model",
                fix="restart the daemon: a pipeline that names it has come since",
            )
        return f" + {self._names[adapter.sha256]}"


class _Opened:
    """An adapter's file held open and checked: what is hashed and loaded is one and the same.

    Args:
        given: The file and its hash.
        base: The header of the model that it is for.

    Raises:
        errors.AdapterError: If it is not the file that is named, or does not fit the model.
    """

    def __init__(self, given: AdapterFile, base: Header) -> None:
        self.sha256 = given.sha256
        self.where = given.where or given.path
        try:
            self._file = ModelFile(Path(given.path))
        except errors.ModelError as exc:
            raise self._named(exc) from exc
        try:
            header = self._file.header()
            self._file.verify(given.sha256, "adapter.sha256")
            check(header, base)
        except errors.ModelError as exc:
            self._file.close()
            raise self._named(exc) from exc
        except ValueError as exc:
            self._file.close()
            raise self._named(_unfit(exc)) from exc
        self.bytes = header.file_bytes
        named = header.values.get("general.name")
        self.name = f"{named or Path(given.path).stem} {given.sha256[:12]}"

    @property
    def path(self) -> Path:
        """A path that leads to the open file; until `close`."""
        return self._file.opened

    def close(self) -> None:
        """Let go of the file; what was loaded stays."""
        self._file.close()

    def _named(self, exc: errors.ModelError) -> errors.AdapterError:
        fix = (exc.fix or "").replace("model.path in the settings", "adapter.path")
        return errors.AdapterError(exc.what, where=self.where, fix=fix)


def _unfit(exc: ValueError) -> errors.ModelError:
    return errors.ModelError(
        f"is no adapter of this model: {exc}",
        fix="convert it again for exactly this model, or correct adapter.path",
    )


def check(adapter: Header, base: Header) -> None:
    """Refuse an adapter that does not fit a model.

    Raises:
        ValueError: Saying what does not.
    """
    kind, what = adapter.values.get("general.type"), adapter.values.get("adapter.type")
    if kind != "adapter" or what != "lora":
        raise ValueError(
            f"general.type is {kind or 'not set'} and adapter.type {what or 'not set'}, "
            "where a LoRA adapter has adapter and lora"
        )
    if _ACTIVATED in adapter.values:
        raise ValueError("it is an activated LoRA, which begins at a word of the prompt: train one")
    wanted, found = (one.values.get("general.architecture") for one in (base, adapter))
    if wanted != found:
        raise ValueError(f"it is for the architecture {found}, and the model is {wanted}")
    if adapter.values.get("adapter.lora.alpha") is None:
        raise ValueError("adapter.lora.alpha is missing")
    names = list(dict.fromkeys(_names(adapter)))
    if not names:
        raise ValueError("it has no tensor")
    for name in names:
        _fits(name, adapter, base)


def _names(adapter: Header) -> Iterator[str]:
    """Yield the names of the model's tensors that it changes."""
    for name in adapter.tensors:
        if name.endswith(_NORM):
            raise ValueError(f"it replaces {name}, which llama.cpp would leave as it is")
        if not name.endswith((_A, _B)):
            raise ValueError(f"{name} is no half of a LoRA matrix")
        yield name.removesuffix(_A).removesuffix(_B)


def _fits(name: str, adapter: Header, base: Header) -> None:
    a, b = adapter.tensors.get(name + _A), adapter.tensors.get(name + _B)
    if a is None or b is None:
        raise ValueError(f"{name} has {'no ' + _A[1:] if a is None else 'no ' + _B[1:]}")
    whole = base.tensors.get(name)
    if whole is None:
        raise ValueError(f"the model has no tensor {name}")
    if len(a) != len(b) or len(a) != _MATRIX or len(whole) != _MATRIX:
        raise ValueError(f"{name} has {len(a)} and {len(b)} dimensions instead of two each")
    if name == _EMBEDDING:
        made, ranks = (b[1], a[1]), (a[0], b[0])
    else:
        made, ranks = (a[0], b[1]), (a[1], b[0])
    if made != whole:
        raise ValueError(
            f"{name} is {_shape(made)} in it, and {_shape(whole)} in the model: another model's"
        )
    if ranks[0] != ranks[1]:
        raise ValueError(f"the halves of {name} have the ranks {ranks[0]} and {ranks[1]}")


def _shape(dimensions: tuple[int, ...]) -> str:
    return " x ".join(map(str, dimensions))
