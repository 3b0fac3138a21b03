"""Signatures of the Standard Webhooks specification, version 1.0.0.

`webhook-signature` is `v1,` and the Base64 of HMAC-SHA256 over id, time and body.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import time

PREFIX = "whsec_"  # of a secret, as the specification writes it


def signed(secret: str, made: str, body: bytes, at: float | None = None) -> dict[str, str]:
    """Return the headers that say who sent a body.

    Args:
        secret: `whsec_` and the key in Base64, or a key as it is.
        made: What is told, the same each time it is sent again: the receiver drops what it has.
        body: Byte by byte as it is sent.
        at: Seconds since 1970; None for now.

    Raises:
        ValueError: If the secret is no Base64.
    """
    when = str(int(time.time() if at is None else at))
    found = hmac.new(key(secret), f"{made}.{when}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(found).decode()}"
    return {"webhook-id": made, "webhook-timestamp": when, "webhook-signature": signature}


def key(secret: str) -> bytes:
    """Return the key that a secret is.

    Raises:
        ValueError: If it is no Base64.
    """
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ is no Base64") from None
