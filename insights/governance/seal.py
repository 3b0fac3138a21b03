"""Sealing what placeholders stand for: by the reader, opened by the publisher, kept by neither.

AES-GCM (NIST SP 800-38D) with a random nonce of 96 bits for each value, bound to the row's key and
the placeholder, so that what is sealed for one row says nothing beside another. Who holds sealed
values without the credential `seal_key` (the supervisor's memory, the store) cannot read them.
"""

import base64
import os
from collections.abc import Callable, Collection, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from insights.governance.redact.restoring import PLACEHOLDER
from insights.model import Json

_NONCE_BYTES = 12

Sealed = Mapping[str, str]  # by placeholder, base64 of nonce and ciphertext


class Seal:
    """Seals and opens with one key.

    Args:
        key: 32 bytes, from the credential `seal_key`.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def sealed(
        self, values: Mapping[str, str], row_key: str, kinds: Collection[str]
    ) -> dict[str, str]:
        """Return what placeholders of some kinds stand for, sealed for one row."""
        made = {}
        for placeholder, value in values.items():
            match = PLACEHOLDER.fullmatch(placeholder)
            if match is None or match["kind"].casefold() not in kinds:
                continue
            nonce = os.urandom(_NONCE_BYTES)
            text = self._cipher.encrypt(nonce, value.encode(), _bound(row_key, placeholder))
            made[placeholder] = base64.b64encode(nonce + text).decode()
        return made

    def restored(self, output: Json, sealed: Sealed, row_key: str) -> Json:
        """Return an output with the values of its placeholders; what cannot be opened stays one."""
        opened: dict[str, str] = {}
        for placeholder, text in sealed.items():
            raw = base64.b64decode(text)
            try:
                value = self._cipher.decrypt(
                    raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(row_key, placeholder)
                )
            except (InvalidTag, ValueError):  # another key, another row
                continue
            opened[placeholder] = value.decode()
        made = _each(output, lambda text: PLACEHOLDER.sub(lambda m: opened.get(m[0], m[0]), text))
        assert isinstance(made, dict)  # noqa: S101 - as it came
        return made


def _bound(row_key: str, placeholder: str) -> bytes:
    return f"{placeholder}\0{row_key}".encode()


def _each(value: object, change: Callable[[str], str]) -> object:
    """Return JSON with every text in it changed."""
    if isinstance(value, dict):
        return {name: _each(part, change) for name, part in value.items()}
    if isinstance(value, list):
        return [_each(part, change) for part in value]
    return change(value) if isinstance(value, str) else value
