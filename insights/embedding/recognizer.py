"""The recognizer: a child process that finds names with a token-classification model."""

import resource
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from insights import errors
from insights.embedding.embedder import libraries
from insights.embedding.files import verify
from insights.embedding.messages import FindRequest, Finds, RecognizerInit
from insights.model import Named
from insights.workers import serve

_WINDOWS = 8  # of a text that are computed together
_LONGEST = 512  # tokens of a window, also where a model takes more: attention grows with the square
_SHARED = 32  # tokens that neighbouring windows share, so that no name is cut by both
# What a text may take beside the loaded model. Eight windows through a model of the size of
# BERT-large take some 700 MB.
_MEMORY = 2 << 30


class Tagger:
    """A loaded model: that of the hash in the settings. Nothing is ever downloaded.

    Raises:
        errors.ModelError: If the folder is another by now, cannot be loaded, or knows no label
            that is asked for.
    """

    def __init__(self, init: RecognizerInit) -> None:
        verify(Path(init.path), init.sha256, "redact.names_model_sha256")
        self._torch, transformers = libraries()
        # A second thread made short texts ten times slower where both cores had other work.
        self._torch.set_num_threads(1)
        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
                init.path, local_files_only=True
            )
            # Only safetensors: a pickle is a program.
            self._model: Any = transformers.AutoModelForTokenClassification.from_pretrained(
                init.path, local_files_only=True, use_safetensors=True
            ).eval()
        except Exception as exc:  # torch, safetensors and transformers raise whatever they like
            raise errors.ModelError(
                f"the model that finds names cannot be loaded: {type(exc).__name__}: {exc}",
                where=init.path,
                fix="name a folder with config.json, model.safetensors and tokenizer.json",
            ) from exc
        config = self._model.config
        # By class: the label without its prefix, and whether a name begins with it.
        self._labels = {
            int(number): (name.removeprefix("B-").removeprefix("I-"), name.startswith("B-"))
            for number, name in config.id2label.items()
        }
        known = {name for name, _ in self._labels.values()}
        if not self._tokenizer.is_fast or (missing := sorted(set(init.labels) - known)):
            what = f"no label {missing[0]}" if self._tokenizer.is_fast else "no tokenizer.json"
            raise errors.ModelError(
                f"the model that finds names has {what}",
                where=init.path,
                fix=f"names_labels may name: {', '.join(sorted(known - {'O'}))}",
            )
        self._wanted = frozenset(init.labels)
        places = int(getattr(config, "max_position_embeddings", 0) or _LONGEST)
        if config.model_type in {"roberta", "xlm-roberta", "camembert"}:
            places -= 2  # they count positions from the padding's on
        self._window = min(_LONGEST, places, self._tokenizer.model_max_length)

    def find(self, texts: Sequence[str]) -> list[tuple[Named, ...]]:
        """Return what is found in each text, by position."""
        with self._torch.inference_mode():
            return [tuple(self._found(text)) for text in texts]

    def _found(self, text: str) -> Iterator[Named]:
        encoded = self._tokenizer(
            text,
            truncation=True,
            max_length=self._window,
            stride=min(_SHARED, self._window // 4),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )
        offsets = encoded["offset_mapping"].tolist()
        for at in range(0, len(offsets), _WINDOWS):
            part = slice(at, at + _WINDOWS)
            classes = self._model(
                input_ids=encoded["input_ids"][part],
                attention_mask=encoded["attention_mask"][part],
            ).logits.argmax(-1)
            for window, places in zip(classes.tolist(), offsets[part], strict=True):
                yield from self._named(window, places)

    def _named(self, classes: Sequence[int], places: Sequence[tuple[int, int]]) -> Iterator[Named]:
        """Yield the runs of one label; a new one begins with B- or behind more than a blank."""
        name: Named | None = None
        for number, (start, end) in zip(classes, places, strict=True):
            label, begins = self._labels[number]
            if start == end:  # the model's own signs
                continue
            follows = name is not None and name.label == label and start - name.end <= 1
            if name is not None and follows and (not begins or start == name.end):
                name = Named(name.start, end, label)
                continue
            if name is not None:
                yield name
            name = Named(start, end, label) if label in self._wanted else None
        if name is not None:
            yield name

    def prove(self) -> None:
        """Look for names in a short text, so that a build that cannot dies now."""
        self.find(["ready"])

    def answer(self, request: FindRequest) -> Finds:
        """Return what is found in the request's texts."""
        return Finds(found=tuple(self.find(request.texts)))


def bound_memory(more: int = _MEMORY) -> None:
    """Let this process take so many bytes more than it has, and leave no core."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    bound = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Serve until the supervisor is gone."""
    with serve.connect() as server:
        init = server.init(
            RecognizerInit, reads=lambda init: [init.path] if init.confined else None
        )
        tagger = Tagger(init)
        tagger.prove()
        bound_memory()
        server.run({"find": (FindRequest, tagger.answer)})


if __name__ == "__main__":
    main()
