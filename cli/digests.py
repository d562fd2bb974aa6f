"""The digests of a file, as events name them."""

from __future__ import annotations

import hashlib
import sys
from contextlib import nullcontext
from pathlib import Path

__all__ = ["ALGORITHMS", "file_digests"]

#: In this order.
ALGORITHMS = ("sha256", "sha384", "sha512")
_CHUNK = 1 << 20


def file_digests(path: str) -> tuple[str, ...]:
    """Hash a file, read once and piece by piece.

    Args:
        path: its name, or ``-`` for standard input.

    Returns:
        ``algorithm:hex`` for each of `ALGORITHMS`.

    Raises:
        InputError: it cannot be read.
    """
    from ledger.errors import InputError

    digests = [hashlib.new(name) for name in ALGORITHMS]
    try:
        with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as file:
            while piece := file.read(_CHUNK):
                for digest in digests:
                    digest.update(piece)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return tuple(f"{name}:{digest.hexdigest()}" for name, digest in zip(ALGORITHMS, digests, strict=True))
