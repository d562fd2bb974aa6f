"""Wrapping keys: files of mode 0600 in the keys folder, each with one key that wraps data keys.

The file is JSON: ``{"id":…,"key":…}``, or, under a passphrase, ``{"id":…,"salt":…,"box":…}``: the key encrypted by
AES-256-GCM under scrypt (RFC 7914, N = 2^15, r = 8, p = 1) of the passphrase.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ledger.base64text import encode_base64
from ledger.durable import sync_folder, write_new
from ledger.errors import ConfigurationError, LedgerError
from ledger.strictjson import format_json, parse_json

__all__ = ["WrappingKeys"]


def _derive(passphrase: bytes, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt, length=32, n=2**15, r=8, p=1).derive(passphrase))


class WrappingKeys:
    """The wrapping keys of one ledger on this machine; the newest one wraps.

    Args:
        folder: where the files are.
        passphrase: asked when a file is encrypted.
        encrypt: asks for the passphrase of a new key; None leaves it unencrypted.
    """

    def __init__(
        self, folder: Path, passphrase: Callable[[], bytes | None], encrypt: Callable[[], bytes] | None = None
    ) -> None:
        self._folder = folder
        self._passphrase = passphrase
        self._encrypt = encrypt
        self._loaded: dict[str, bytes] = {}

    def _path(self, name: str) -> Path:
        return self._folder / f"wrapping.{name}.key"

    def names(self) -> list[str]:
        """Ids of the wrapping keys here, the newest last."""
        found = [(path.lstat().st_mtime_ns, path.name) for path in self._folder.glob("wrapping.*.key")]
        return [name.removeprefix("wrapping.").removesuffix(".key") for _, name in sorted(found)]

    def current(self) -> tuple[str, bytes]:
        """The key that wraps, made when there is none yet.

        Raises:
            ConfigurationError: it cannot be read or made.
        """
        names = self.names()
        return (names[-1], self.load(names[-1])) if names else self.make()

    def make(self) -> tuple[str, bytes]:
        """Make a new key, durable when this returns; it wraps from now on."""
        name, key = secrets.token_hex(8), AESGCM.generate_key(256)
        content: dict[str, Any] = {"id": name, "key": encode_base64(key)}
        if self._encrypt is not None:
            salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
            box = nonce + _derive(self._encrypt(), salt).encrypt(nonce, key, name.encode())
            content = {"id": name, "salt": encode_base64(salt), "box": encode_base64(box)}
        path = self._path(name)
        try:
            write_new(path, format_json(content) + b"\n")
        except OSError as error:
            raise ConfigurationError(f"the wrapping key {path} cannot be written: {error.strerror}") from error
        self._loaded[name] = key
        return name, key

    def load(self, name: str) -> bytes:
        """A wrapping key.

        Raises:
            ConfigurationError: it is not here, others can read it, it is damaged, or the passphrase is wrong.
        """
        if name not in self._loaded:
            self._loaded[name] = self._read(name)
        return self._loaded[name]

    def _read(self, name: str) -> bytes:
        path = self._path(name)
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            content: Any = parse_json(path.read_bytes().strip(), what="wrapping key")
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"the wrapping key {name} is not in {self._folder}",
                hint="Copy its file from the machine that sealed, or read without: sealed fields stay closed.",
            ) from error
        except (OSError, LedgerError) as error:
            raise ConfigurationError(f"the wrapping key {path} cannot be read: {error}") from error
        if mode & 0o077:
            raise ConfigurationError(
                f"the wrapping key {path} can be read by others (mode {mode:04o})", hint=f"chmod 600 {path}"
            )
        try:
            if "key" in content:
                return base64.b64decode(content["key"], validate=True)
            box, salt = (
                base64.b64decode(content["box"], validate=True),
                base64.b64decode(content["salt"], validate=True),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"the wrapping key {path} is damaged") from error
        secret = self._passphrase()
        if secret is None:
            raise ConfigurationError(
                f"the wrapping key {path} is encrypted and no passphrase was given",
                hint="Set MUNIMENT_PASSPHRASE or run in a terminal.",
            )
        try:
            return _derive(secret, salt).decrypt(box[:12], box[12:], name.encode())
        except InvalidTag as error:
            raise ConfigurationError(f"{path}: the passphrase is wrong, or the file is damaged") from error

    def destroy_others(self, keep: Collection[str]) -> None:
        """Overwrite and remove the files of wrapping keys that wrap nothing any more."""
        for name in self.names():
            if name in keep:
                continue
            path = self._path(name)
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            self._loaded.pop(name, None)
        sync_folder(self._folder)
