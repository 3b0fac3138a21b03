"""Which files were refused and why, so that one that is as it was is not read again and again."""

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from insights import errors

# An unchanged file that could not be read is tried again after this: a library may have been
# mended, a machine may have been short of memory. Until then it costs nothing.
_AGAIN_S = 6 * 3600.0


class _Refusal(NamedTuple):
    """Why a file of this content was refused, and when."""

    content: bytes
    since: float
    what: str
    fix: str


class Refusals:
    """Remembers refusals by name.

    Args:
        clock: Seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, _Refusal] = {}

    @contextmanager
    def of(self, uri: str, content: bytes, where: str) -> Iterator[None]:
        """Refuse at once what was refused with the same content; else note why the block does.

        An empty content is never the same.

        Raises:
            errors.KnowledgeError: As the block, or as it did last time; with its place.
        """
        known = self._known.pop(uri, None)
        same = known is not None and content and content == known.content
        if known is not None and same and self._clock() - known.since < _AGAIN_S:
            self._known[uri] = known
            raise errors.KnowledgeError(known.what, where=where, fix=known.fix)
        try:
            yield
        except errors.KnowledgeError as exc:
            self._known[uri] = _Refusal(content, self._clock(), exc.what, exc.fix)
            raise errors.KnowledgeError(exc.what, where=where, fix=exc.fix) from exc

    def keep(self, uris: Container[str]) -> None:
        """Forget all others."""
        self._known = {uri: why for uri, why in self._known.items() if uri in uris}
