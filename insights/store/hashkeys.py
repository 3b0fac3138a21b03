"""The keys of the input hash: which one the store is filled with, and how one replaces another.

The store keeps a check value for each key it was ever filled with, none of them overwritten:
`hash_key_check`, `hash_key_check_2` and so on. The highest number is the hash version.
"""

import hashlib

import msgspec

from insights import errors
from insights.store.insights import Registry


class HashKeys(msgspec.Struct, frozen=True):
    """The key in use, the one before it while both are needed, and the hash version."""

    key: bytes
    former: bytes | None = None
    version: int = 1


def agree(registry: Registry, key: bytes, former: bytes | None, *, begin: bool) -> HashKeys:
    """Return the keys that this store is read with.

    With `begin`, as a daemon starts, a store without a key takes this one, and a new key beside
    the right former one begins a rotation; else nothing is written: they are what they would be.

    Raises:
        errors.StoreError: If a key is not this store's, or the former one is still needed.
    """
    if begin:
        registry.set_setting(_name(1), _check(key))  # unless there is one
    known = _known(registry)
    if not known:
        return HashKeys(key)
    if known[-1] != _check(key):
        _refuse_rotation(registry, known, key, former)
        if not begin:
            return HashKeys(key, former, len(known) + 1)
        registry.rotate(_name(len(known) + 1), _check(key))
        known = _known(registry)
        if known[-1] != _check(key):
            raise _refused("another daemon rotates hash_key to another key", "give both the same")
    version = len(known)
    if version == 1:
        return HashKeys(key)
    if former is not None and _check(former) == known[-2]:
        return HashKeys(key, former, version)
    remaining = registry.former_rows(version)
    if remaining:
        raise _refused(
            f"{remaining} rows are still known by the former hash_key",
            "give it as hash_key_former until `insights status` says that it may be removed",
        )
    return HashKeys(key, None, version)


def _refuse_rotation(
    registry: Registry, known: list[str], key: bytes, former: bytes | None
) -> None:
    """Raise, unless this key may follow the one in use."""
    if _check(key) in known:
        raise _refused(
            "the credential hash_key is one that this store has left behind",
            "give the key in use now, or for a rotation one that was never used",
        )
    if former is None or _check(former) != known[-1]:
        raise _refused(
            "the credential hash_key is not the one this store was filled with: every row "
            "would look changed",
            "restore the credential; to rotate it, give the one in use now as hash_key_former",
        )
    if streams := registry.unswept():
        raise _refused(
            f"rows of {', '.join(streams)} still get hashes over other columns, because a pipeline "
            "reads other columns than before",
            "give back the key in use now, and rotate it after one sweep of each",
        )
    if remaining := registry.former_rows(len(known)):
        raise _refused(
            f"the rotation before this one has not ended: {remaining} rows are still known by "
            "the key before it",
            "give back both keys of that one, and wait until `insights status` says that the "
            "former may be removed",
        )


def version(registry: Registry) -> int:
    """Return the store's hash version."""
    return max(1, len(_known(registry)))


def _known(registry: Registry) -> list[str]:
    known: list[str] = []
    while (check := registry.setting(_name(len(known) + 1))) is not None:
        known.append(check)
    return known


def _name(number: int) -> str:
    return "hash_key_check" if number == 1 else f"hash_key_check_{number}"


def _check(key: bytes) -> str:
    return hashlib.blake2b(b"check", key=key, digest_size=16).hexdigest()


def _refused(what: str, fix: str) -> errors.StoreError:
    return errors.StoreError(what, where="hash_key", fix=fix)
