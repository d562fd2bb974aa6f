"""Public keys, and the signer interface private keys hide behind.

Ed25519 (RFC 8032) is the only algorithm in force. ``ecdsa-p256`` is a reserved word for HSMs and key services: it is
refused by name, so that a later version can give it a meaning without a change of format.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ledger.base64text import decode_base64, encode_base64
from ledger.errors import AuthenticationError, ConfigurationError, InputError

__all__ = ["ALG_ED25519", "SIGNATURE_SIZE", "Ed25519Signer", "PublicKey", "Signer", "format_public_key",
           "parse_public_key"]  # fmt: skip

ALG_ED25519 = "ed25519"
#: Bytes of one signature.
SIGNATURE_SIZE = 64

_KEY_SIZE = 32
_RESERVED = frozenset({"ecdsa-p256"})
# Encodings of the eight points of small order (sign bit cleared; the last two are non-canonical). Under such a key one
# signature fits every message, so it would prove nothing (RFC 8032 has no such check; libsodium has this list).
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


@lru_cache(maxsize=4096)
def _load_public(raw: bytes) -> Ed25519PublicKey:
    # Building the library's object costs about as much as a tenth of a verification; keys repeat all the time.
    return Ed25519PublicKey.from_public_bytes(raw)


@lru_cache(maxsize=4096)
def _keyid(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key.

    Args:
        alg: ``ed25519``.
        raw: the 32 bytes of the key (RFC 8032 5.1.5).

    Raises:
        InputError: a reserved or unknown algorithm, a wrong length, or a point of small order.
    """

    alg: str
    raw: bytes

    def __post_init__(self) -> None:
        if self.alg in _RESERVED:
            raise InputError(f"key algorithm {self.alg} is reserved and not supported yet", hint="use an ed25519 key")
        if self.alg != ALG_ED25519:
            raise InputError(f"unknown key algorithm {self.alg[:40]!r}")
        if len(self.raw) != _KEY_SIZE:
            raise InputError(f"an ed25519 public key has 32 bytes, not {len(self.raw)}")
        if self.raw[:-1] + bytes([self.raw[-1] & 0x7F]) in _SMALL_ORDER:
            raise InputError("this ed25519 public key is a point of small order: it would accept forged signatures")

    @property
    def keyid(self) -> str:
        """Lower-case hex SHA-256 of the 32 key bytes (the DSSE keyid)."""
        return _keyid(self.raw)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check one signature (RFC 8032 5.1.7).

        Args:
            signature: 64 bytes.
            message: the bytes that were signed.

        Raises:
            AuthenticationError: the signature is not by this key over these bytes.
        """
        try:
            _load_public(self.raw).verify(signature, message)
        except InvalidSignature:
            raise AuthenticationError(f"wrong signature under key {self.keyid}") from None


def parse_public_key(text: str) -> PublicKey:
    """Read a public key.

    Args:
        text: ``ed25519:<padded standard base64 of 32 bytes>``.

    Returns:
        The key; ``format_public_key`` gives the same text back.

    Raises:
        InputError: another form, another algorithm, or a key that must not be used.
    """
    alg, colon, encoded = text.partition(":")
    if not colon:
        raise InputError("a public key is written ed25519:<base64>")
    if alg in _RESERVED:  # its length is not ours to judge
        raise InputError(f"key algorithm {alg} is reserved and not supported yet", hint="use an ed25519 key")
    key = PublicKey(alg, decode_base64(encoded, "a public key is not base64"))
    if format_public_key(key) != text:  # unused bits that are not zero
        raise InputError("a public key is not written in its only form")
    return key


def format_public_key(key: PublicKey) -> str:
    """Write a public key as ``alg:base64``.

    Args:
        key: the key.

    Returns:
        ``ed25519:<padded standard base64>``.
    """
    return f"{key.alg}:{encode_base64(key.raw)}"


class Signer(Protocol):
    """Something that signs: a key in memory, in an HSM or behind a service."""

    @property
    def public(self) -> PublicKey:
        """The public key its signatures verify under."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature (64 bytes) over ``message``."""
        ...


@dataclass(frozen=True, slots=True)
class Ed25519Signer:
    """A private Ed25519 key held in this process.

    Args:
        private_key: the key object of the ``cryptography`` package; never shown by ``repr``.
    """

    private_key: Ed25519PrivateKey = field(repr=False, compare=False)
    public: PublicKey = field(init=False)

    def __post_init__(self) -> None:
        raw = self.private_key.public_key().public_bytes_raw()
        object.__setattr__(self, "public", PublicKey(ALG_ED25519, raw))

    @classmethod
    def generate(cls) -> Ed25519Signer:
        """Return a new random key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Ed25519Signer:
        """Return the key of a seed (RFC 8032 5.1.5).

        Args:
            seed: 32 bytes.

        Raises:
            InputError: not 32 bytes.
        """
        if len(seed) != _KEY_SIZE:
            raise InputError(f"a seed has 32 bytes, not {len(seed)}")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """Sign bytes (RFC 8032 5.1.6).

        Args:
            message: the bytes.

        Returns:
            64 bytes.
        """
        return self.private_key.sign(message)

    def to_pem(self, passphrase: bytes | None) -> bytes:
        """Write the private key as PKCS#8 PEM (RFC 5958, RFC 7468).

        Args:
            passphrase: encrypts the key; None leaves it readable.

        Returns:
            ASCII bytes.

        Raises:
            ConfigurationError: the passphrase is empty or too long.
        """
        try:
            protection: KeySerializationEncryption = (
                NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
            )
            return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        except ValueError as error:
            raise ConfigurationError(f"this passphrase cannot be used: {error}") from None

    @classmethod
    def from_pem(cls, data: bytes, passphrase: bytes | None) -> Ed25519Signer:
        """Read a private key written by :meth:`to_pem` or ``openssl genpkey -algorithm ed25519``.

        Args:
            data: PKCS#8 PEM.
            passphrase: opens an encrypted key; None for a readable one.

        Raises:
            ConfigurationError: wrong passphrase, none given for an encrypted key, one given for a readable key,
                not PEM, or not an Ed25519 key.
        """
        try:
            key = load_pem_private_key(data, passphrase)
        except TypeError:
            if passphrase is None:
                raise ConfigurationError("this private key is encrypted", hint="give its passphrase") from None
            raise ConfigurationError("a passphrase was given but this private key is not encrypted") from None
        except (ValueError, UnsupportedAlgorithm):
            raise ConfigurationError("wrong passphrase, or not a private key in PKCS#8 PEM") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError("this private key is not an Ed25519 key")
        return cls(key)
