"""Private keys on disk: PKCS#8 files of mode 0600 in a folder of mode 0700, one file a key."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import ConfigurationError
from ledger.keys import Ed25519Signer
from ledger.names import parse_actor

__all__ = ["CHECKPOINT", "Keystore", "StoredKey"]

#: Name under which the key that signs checkpoints is kept.
CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key file: whose, the first 16 hex digits of its id, and where."""

    owner: str
    keyid_prefix: str
    path: Path


class Keystore:
    """The private keys of one ledger on this machine.

    Args:
        folder: where the files are; made when the first key is saved.
        passphrase: asked when a file is encrypted; None refuses such files.
    """

    def __init__(self, folder: Path, passphrase: Callable[[], bytes | None] | None = None) -> None:
        self.folder = folder
        self._passphrase = passphrase

    def list(self) -> list[StoredKey]:
        """All key files, sorted by owner."""
        found = []
        for path in self.folder.glob("*.pem") if self.folder.is_dir() else ():
            owner, _, prefix = path.stem.rpartition(".")
            if owner:
                found.append(StoredKey(owner, prefix, path))
        return sorted(found, key=lambda key: (key.owner, key.keyid_prefix))

    def save(self, owner: str, signer: Ed25519Signer, passphrase: bytes | None = None) -> Path:
        """Write a new key file.

        Args:
            owner: an actor id, ``root`` or ``checkpoint``.
            signer: the key.
            passphrase: encrypts the file when given.

        Raises:
            ConfigurationError: it cannot be written, or exists.
            InputError: the owner is no actor id.
        """
        parse_actor(owner)  # it becomes a part of a path
        path = self.folder / f"{owner}.{signer.public.keyid[:16]}.pem"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(signer.to_pem(passphrase))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ConfigurationError(f"the key file {path} cannot be written: {error.strerror}") from error
        return path

    def load(self, owner: str, *, keyid: str | None = None) -> Ed25519Signer:
        """Load a key of an owner: the one asked for, or the one written last.

        Raises:
            ConfigurationError: there is none, others can read it, or the passphrase is wrong.
        """
        paths = [key.path for key in self.list() if key.owner == owner]
        if keyid is not None:
            paths = [path for path in paths if path.stem.endswith("." + keyid[:16])]
        if not paths:
            raise ConfigurationError(
                f"there is no private key of {owner!r} in {self.folder}",
                hint="Sign as an actor whose key is here: --as ACTOR; `muniment key list` shows them.",
            )
        return self._read(max(paths, key=lambda path: path.lstat().st_mtime_ns))

    def has(self, owner: str, *, keyid: str | None = None) -> bool:
        """Whether a key of this owner is here: any, or the one asked for."""
        keys = (key for key in self.list() if key.owner == owner)
        return any(keyid is None or keyid.startswith(key.keyid_prefix) for key in keys)

    def _read(self, path: Path) -> Ed25519Signer:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                raise ConfigurationError(
                    f"the key file {path} can be read by others (mode {mode:04o})", hint=f"chmod 600 {path}"
                )
            data = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"the key file {path} cannot be read: {error.strerror}") from error
        secret = None
        if b"ENCRYPTED" in data:
            secret = self._passphrase() if self._passphrase is not None else None
            if secret is None:
                raise ConfigurationError(
                    f"the key file {path} is encrypted and no passphrase was given",
                    hint="Set MUNIMENT_PASSPHRASE or run in a terminal.",
                )
        try:
            return Ed25519Signer.from_pem(data, secret)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error.message}", hint=error.hint) from error
