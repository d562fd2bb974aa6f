"""Bytes as text: padded standard base64 (RFC 4648 section 4), for the formats that carry it."""

from __future__ import annotations

import base64
import binascii

from ledger.errors import InputError

__all__ = ["decode_base64", "encode_base64"]


def encode_base64(data: bytes) -> str:
    """Write bytes as text.

    Args:
        data: any bytes.
    """
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str | bytes, wrong: str) -> bytes:
    """Read bytes from text; unused bits are the business of the callers: each writes again what it read.

    Args:
        text: padded standard base64.
        wrong: what is said of anything else.

    Raises:
        InputError: it is anything else.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(wrong) from None
