"""What a verification goes on from: an earlier one of the same log."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ChangedError", "Since"]


@dataclass(frozen=True, slots=True)
class Since:
    """How far an earlier verification came.

    Attributes:
        size: number of entries it judged.
        root: their root hash.
        heads: digest over the signed heads up to there.
        authority: what the head row rightly said of the last change of keys, actors or rules.
        reread: hash these entries and their contents again, which shows that they are the ones judged then. When
            False they are not read: only stored hashes are, so that a change in one of them goes unseen.
        again: judge them again all the same; only the signed heads are compared with those of then.
    """

    size: int
    root: bytes
    heads: bytes
    authority: int
    reread: bool = True
    again: bool = False


class ChangedError(Exception):
    """What was verified before is not what is in the store now."""
