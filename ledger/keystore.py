"""Private keys on this machine: PKCS#8 files of mode 0600 in a folder of mode 0700, or references to tokens."""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.durable import write_new
from ledger.errors import ConfigurationError, InputError, LedgerError
from ledger.keys import Ed25519Signer, Signer, format_public_key, parse_public_key
from ledger.names import parse_actor
from ledger.strictjson import format_json, parse_json
from ledger.tokens import Pin, TokenSigner, is_key_uri, parse_key_uri

__all__ = ["CHECKPOINT", "Keystore", "StoredKey", "open_key"]

#: Name under which the key that signs checkpoints is kept.
CHECKPOINT = "checkpoint"

_FILE, _TOKEN = ".pem", ".pkcs11"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key: whose, the first 16 hex digits of its id, and the file that holds it or says where it is."""

    owner: str
    keyid_prefix: str
    path: Path

    @property
    def on_token(self) -> bool:
        """Whether the file only names a key that is on a PKCS#11 token."""
        return self.path.suffix == _TOKEN


def _read(path: Path) -> bytes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise ConfigurationError(
                f"the key file {path} can be read by others (mode {mode:04o})", hint=f"chmod 600 {path}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be read: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    try:
        write_new(path, data)
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be written: {error.strerror}") from error


def _from_pem(path: Path, data: bytes, passphrase: Callable[[], bytes | None] | None) -> Ed25519Signer:
    secret = None
    if b"ENCRYPTED" in data:
        secret = passphrase() if passphrase is not None else None
        if secret is None:
            raise ConfigurationError(
                f"the key file {path} is encrypted and no passphrase was given",
                hint="Set MUNIMENT_PASSPHRASE or run in a terminal.",
            )
    try:
        return Ed25519Signer.from_pem(data, secret)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error.message}", hint=error.hint) from error


def _from_reference(path: Path, data: bytes, pin: Pin | None) -> TokenSigner:
    try:
        found: Any = parse_json(data.removesuffix(b"\n"), what=str(path))
        if not isinstance(found, dict) or set(found) != {"public", "uri"}:
            raise InputError("it must have exactly public and uri")
        public, uri = parse_public_key(str(found["public"])), parse_key_uri(str(found["uri"]))
    except LedgerError as error:
        raise ConfigurationError(f"the key file {path} is damaged: {error.message}", hint=error.hint) from error
    signer = TokenSigner(uri, pin)
    if signer.public != public:
        raise ConfigurationError(f"the key on the token is not the one that {path} names")
    return signer


def open_key(
    reference: str, passphrase: Callable[[], bytes | None] | None = None, pin: Pin | None = None
) -> Ed25519Signer | TokenSigner:
    """Open a private key by what a person names it by.

    Args:
        reference: path of a PKCS#8 file or of a reference to a token, or a key URI (``pkcs11:…``).
        passphrase: asked when a file is encrypted.
        pin: asked when a token needs its PIN.

    Raises:
        ConfigurationError: it cannot be used, or others can read it.
        InputError: the key URI is malformed.
    """
    if is_key_uri(reference):
        return TokenSigner(parse_key_uri(reference), pin)
    path = Path(reference)
    data = _read(path)
    return _from_reference(path, data, pin) if path.suffix == _TOKEN else _from_pem(path, data, passphrase)


class Keystore:
    """The private keys of one ledger on this machine.

    Args:
        folder: where the files are; made when the first key is saved.
        passphrase: asked when a file is encrypted; None refuses such files.
        pin: asked for the PIN of a token by its name.
    """

    def __init__(
        self, folder: Path, passphrase: Callable[[], bytes | None] | None = None, pin: Pin | None = None
    ) -> None:
        self.folder = folder
        self._passphrase = passphrase
        self._pin = pin

    def list(self) -> list[StoredKey]:
        """All keys, sorted by owner."""
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            owner, _, prefix = path.stem.rpartition(".")
            if owner and path.suffix in (_FILE, _TOKEN):
                found.append(StoredKey(owner, prefix, path))
        return sorted(found, key=lambda key: (key.owner, key.keyid_prefix))

    def _path(self, owner: str, signer: Signer, suffix: str) -> Path:
        parse_actor(owner)  # it becomes a part of a path
        return self.folder / f"{owner}.{signer.public.keyid[:16]}{suffix}"

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
        path = self._path(owner, signer, _FILE)
        _write(path, signer.to_pem(passphrase))
        return path

    def attach(self, owner: str, signer: TokenSigner) -> Path:
        """Write down where a key on a token is.

        Args:
            owner: see `save`.
            signer: the key.

        Raises:
            ConfigurationError: it cannot be written, or exists.
            InputError: the owner is no actor id.
        """
        path = self._path(owner, signer, _TOKEN)
        data = {"public": format_public_key(signer.public), "uri": signer.uri.text}
        _write(path, format_json(data) + b"\n")
        return path

    def keep(self, owner: str, signer: Signer, passphrase: bytes | None = None) -> Path:
        """Keep a key: `save` one that is in memory, `attach` one that is on a token.

        Args:
            owner: see `save`.
            signer: the key.
            passphrase: encrypts a file when given.
        """
        if isinstance(signer, TokenSigner):
            return self.attach(owner, signer)
        if not isinstance(signer, Ed25519Signer):
            raise ConfigurationError("this kind of key cannot be kept here")
        return self.save(owner, signer, passphrase)

    def load(self, owner: str, *, keyid: str | None = None, among: Collection[str] = ()) -> Ed25519Signer | TokenSigner:
        """Load a key of an owner: the one asked for, or the one written last.

        Args:
            owner: see `save`.
            keyid: the one asked for.
            among: key ids that are of use; another one is taken only when none of these is here.

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
        useful = [path for path in paths if any(known.startswith(path.stem.rpartition(".")[2]) for known in among)]
        path = max(useful or paths, key=lambda path: path.lstat().st_mtime_ns)
        return open_key(str(path), self._passphrase, self._pin)

    def has(self, owner: str, *, keyid: str | None = None) -> bool:
        """Whether a key of this owner is here: any, or the one asked for."""
        keys = (key for key in self.list() if key.owner == owner)
        return any(keyid is None or keyid.startswith(key.keyid_prefix) for key in keys)
