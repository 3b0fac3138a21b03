"""Which versions of which pipelines follow a stream, and by what its rows are known meanwhile."""

import hashlib

import msgspec

from insights.model.base import Value
from insights.model.streams import StreamSpec


def key_point(row_key: str) -> float:
    """Return where a row's key lies, from 0 up to 1: the first 32 bits of its SHA-256.

    A share of 0.05 is the keys below 0.05: the same on every host and for every version, so that a
    share that grows only adds keys. The store's `store.key_point` computes the same.
    """
    return int.from_bytes(hashlib.sha256(row_key.encode()).digest()[:4]) / 2**32


class Version(Value, frozen=True):
    """A version that makes new work: what it reads of a row, sorted, and the sink it tells."""

    version_id: int
    pipeline_id: int
    sink_id: int | None
    columns: tuple[str, ...]


class Following(Value, frozen=True):
    """The versions that follow a stream, and the form of the hashes of its rows.

    The ledger's hashes are over `columns`; rows may still be known by one over `former_columns`
    (None: the same), and with `rekeyed` by another key. `hash_version` counts the forms,
    `generation` the changes of versions.
    """

    stream_id: int
    generation: int
    hash_version: int
    versions: tuple[Version, ...]
    columns: tuple[str, ...]
    former_columns: tuple[str, ...] | None = None
    rekeyed: bool = False

    @property
    def own(self) -> tuple[tuple[str, ...], ...]:
        """The column sets of versions that do not read all columns, each once."""
        sets = (version.columns for version in self.versions)
        return tuple(dict.fromkeys(names for names in sets if names != self.columns))

    @property
    def slots(self) -> list[int]:
        """For each version, which of `own` it reads, from 1; 0: all columns."""
        places = {names: number for number, names in enumerate(self.own, start=1)}
        return [places.get(version.columns, 0) for version in self.versions]

    @property
    def changes(self) -> bool:
        """Whether rows are still known by another form."""
        return self.rekeyed or self.former_columns is not None

    def spec(self, stream: StreamSpec) -> StreamSpec:
        """Return the stream as its polls read it."""
        return msgspec.structs.replace(
            stream, inputs=self.columns, own=self.own, former_inputs=self.former_columns
        )
