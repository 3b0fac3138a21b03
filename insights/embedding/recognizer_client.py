"""The supervisor's side of the recognizer: the port Recognizer over a child for each model."""

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from insights import errors
from insights.embedding.messages import FindRequest, Finds, RecognizerInit
from insights.model import Named, NamesModel
from insights.workers.confinement import Held
from insights.workers.process import Worker

_START_S = 120.0  # importing torch from a cold disk takes most of it
_DEADLINE_S = 60.0
_PER_CHARACTER_S = 0.005  # a core reads 7,700 a second with a model of 18 million parameters
_PIECE = 8_000  # characters of a text that are sent at once
_SHARED = 200  # characters that neighbouring pieces share, so that no name is cut by both
_TOGETHER = 16_000  # characters in a message


class RecognizerClient:
    """Finds names in child processes, which start at the first text.

    Args:
        confined: Whether a child is left nothing but its model and libraries.
    """

    def __init__(self, *, confined: bool = True) -> None:
        self._confined = confined
        self._lock = threading.Lock()
        self._workers: dict[RecognizerInit, Worker] = {}

    @property
    def workers(self) -> Mapping[str, Worker]:
        """The children so far, by the name of their model's folder."""
        with self._lock:
            return {Path(init.path).name: worker for init, worker in self._workers.items()}

    def recognize(self, model: NamesModel, texts: Sequence[str]) -> list[list[Named]]:
        """Return what the model finds in each text; finds at the edges of pieces may come twice.

        Raises:
            errors.ModelError: If the model is not the pinned one, or does not work here.
            errors.RecognizerDied: If the child dies over these texts, is late, or has no answer.
        """
        found: list[list[Named]] = [[] for _ in texts]
        for pieces in _messages(texts):
            reply = self._find(model, tuple(piece for _, _, piece in pieces))
            for (number, at, _), names in zip(pieces, reply.found, strict=True):
                found[number] += [Named(one.start + at, one.end + at, one.label) for one in names]
        return found

    def held(self, model: NamesModel) -> Held:
        """Load a model, and let its child try what it must not be able to do.

        Raises:
            errors.InsightsError: As `recognize`.
        """
        self.recognize(model, ["ready"])
        return self._worker(model).held()

    def close(self) -> None:
        """End the children."""
        with self._lock:
            for worker in self._workers.values():
                worker.close()
            self._workers.clear()

    def _find(self, model: NamesModel, texts: tuple[str, ...]) -> Finds:
        worker = self._worker(model)
        deadline_s = _DEADLINE_S + _PER_CHARACTER_S * sum(map(len, texts))
        try:
            return worker.call("find", FindRequest(texts=texts), Finds, deadline_s=deadline_s)
        except errors.ModelError:
            raise
        except errors.WorkerDied as exc:
            end = worker.last_end
            if end is None or end.ready:
                raise errors.RecognizerDied(exc.what, where=model.path, fix=exc.fix) from exc
            raise errors.ModelError(
                f"the recognizer of names {end.how} before it had read anything: torch does not "
                "work on this machine, or memory does not suffice",
                where=model.path,
                fix=f"{sys.executable} -m pip install --force-reinstall --no-deps torch",
            ) from exc
        except errors.InsightsError as exc:
            raise errors.RecognizerDied(
                f"the recognizer of names has no answer ({exc.what})", where=exc.where
            ) from exc

    def _worker(self, model: NamesModel) -> Worker:
        init = RecognizerInit(
            path=model.path,
            sha256=model.sha256,
            labels=tuple(label for label, _ in model.labels),
            confined=self._confined,
        )
        with self._lock:
            if init not in self._workers:
                self._workers[init] = Worker(
                    module="insights.embedding.recognizer",
                    init=init,
                    name="recognizer",
                    start_deadline_s=_START_S,
                )
            return self._workers[init]


def _messages(texts: Sequence[str]) -> Iterator[list[tuple[int, int, str]]]:
    """Yield pieces of texts, some in a message, as (number of the text, where in it, piece)."""
    pieces: list[tuple[int, int, str]] = []
    size = 0
    for number, text in enumerate(texts):
        for at in range(0, max(1, len(text) - _SHARED), _PIECE - _SHARED):
            piece = text[at : at + _PIECE]
            if not piece.strip():
                continue
            if pieces and size + len(piece) > _TOGETHER:
                yield pieces
                pieces, size = [], 0
            pieces.append((number, at, piece))
            size += len(piece)
    if pieces:
        yield pieces
