"""Certificates by their dates: what the standard library does not read of files."""

import datetime as dt
from typing import NamedTuple

from cryptography import x509


class Dates(NamedTuple):
    """From when until when a certificate is valid."""

    begin: dt.datetime
    end: dt.datetime


def dates(pem: bytes) -> list[Dates]:
    """Return the dates of each certificate in a PEM file, in order.

    Raises:
        ValueError: If it has none, or one that cannot be read.
    """
    found = x509.load_pem_x509_certificates(pem)
    return [Dates(one.not_valid_before_utc, one.not_valid_after_utc) for one in found]
