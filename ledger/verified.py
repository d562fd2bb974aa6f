"""How far this user's last full verification of a ledger came, beside the head last seen.

It saves time and is no proof: whoever can write it decides what is not judged again. So it is worth something only
together with a remembered head that covers it, and a damaged one is an error and never "nothing verified yet".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ledger.checkpoint import Checkpoint
from ledger.config import state_folder
from ledger.durable import write_atomically
from ledger.entry import format_time, parse_time
from ledger.errors import LedgerError, TrustStateError
from ledger.identity import Trust
from ledger.statefile import read_state_file
from ledger.strictjson import format_json, parse_json
from ledger.verify import LogVerification, Since

__all__ = ["Verified", "VerifiedMark"]

_FORMAT = 1
_HEX64 = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"at", "authority", "format", "heads", "ledgerid", "level", "root", "size", "version"}
_HINT = "Restore it, or delete it: then the next verification checks everything again."


def _version() -> str:
    """The judging code that verified; another may judge otherwise."""
    return metadata.version("muniment")


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified in full.

    Attributes:
        size: number of entries; the size of a signed head.
        root: root hash of that size.
        heads: digest over the signed heads up to there.
        authority: index of the last change of keys, actors or rules.
        at: when, microseconds since the Unix epoch.
        version: version of Muniment that did it.
    """

    size: int
    root: bytes
    heads: bytes
    authority: int
    at: int
    version: str

    def trustworthy(self, known: Checkpoint | None) -> bool:
        """Whether to rest on it: this very Muniment made it, and the remembered head covers it.

        Args:
            known: the remembered head.
        """
        return self.version == _version() and known is not None and known.size >= self.size

    def since(self, *, reread: bool, again: bool = False) -> Since:
        """Where a verification goes on, see `Since`."""
        return Since(self.size, self.root, self.heads, self.authority, reread, again)


class VerifiedMark:
    """The file in which `Verified` is kept.

    Args:
        trust: the identity of the ledger.
        folder: the state folder, the user's own when None.
    """

    def __init__(self, trust: Trust, folder: Path | None = None) -> None:
        self._trust = trust
        self._folder = folder or state_folder()
        self.path = self._folder / "heads" / f"{trust.ledgerid}.verified"

    def recall(self) -> Verified | None:
        """What was verified last, None when nothing was.

        Raises:
            TrustStateError: the file is damaged, or about another ledger.
        """
        raw = read_state_file(self.path, self._folder)
        if raw is None:
            return None
        try:
            return self._read(parse_json(raw.removesuffix(b"\n"), what=str(self.path)))
        except LedgerError as error:
            message = f"the mark of the last verification {self.path} is damaged: {error.message}"
            raise TrustStateError(message, hint=_HINT) from error

    def _read(self, data: Any) -> Verified:
        if not isinstance(data, dict) or set(data) != _FIELDS or data["format"] != _FORMAT or data["level"] != "full":
            raise TrustStateError(f"it must have exactly {', '.join(sorted(_FIELDS))}")
        if data["ledgerid"] != self._trust.ledgerid:
            raise TrustStateError("it is about another ledger")
        size, authority, at, version = data["size"], data["authority"], data["at"], data["version"]
        digests = [data["root"], data["heads"]]
        if type(size) is not int or type(authority) is not int or size < 1 or authority < -1:
            raise TrustStateError("its size or authority is malformed")
        if not all(isinstance(text, str) and _HEX64.fullmatch(text) for text in digests):
            raise TrustStateError("its digests are malformed")
        if not isinstance(at, str) or not isinstance(version, str):
            raise TrustStateError("its time or version is malformed")
        root, heads = (bytes.fromhex(text) for text in digests)
        return Verified(size, root, heads, authority, parse_time(at), version)

    def keep(self, found: LogVerification, now: int) -> None:
        """Keep how far a good and full verification came: up to the last signed head.

        Args:
            found: the verification.
            now: the present time, microseconds since the Unix epoch.

        Raises:
            TrustStateError: the file cannot be written.
        """
        if not found.ok or found.level != "full" or not found.authority < found.signed_size:
            return  # of what no head covers yet nothing is kept
        data = {
            "at": format_time(now),
            "authority": found.authority,
            "format": _FORMAT,
            "heads": found.heads.hex(),
            "ledgerid": self._trust.ledgerid,
            "level": found.level,
            "root": found.signed_root.hex(),
            "size": found.signed_size,
            "version": _version(),
        }
        try:
            write_atomically(self.path, format_json(data) + b"\n")
        except OSError as error:
            raise TrustStateError(f"what was verified cannot be kept in {self.path}: {error.strerror}") from error
