"""Signing keys in hardware: PKCS#11 tokens, named by key URIs (RFC 7512), through the package ``python-pkcs11``.

A private key never leaves its token. The PIN comes from a file or from whoever is asked for it; it is never part of a
URI, and no error shows it.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from ledger.errors import ConfigurationError, InputError
from ledger.forks import renew_in_child
from ledger.keys import ALG_ED25519, PublicKey

__all__ = ["KeyUri", "Pin", "TokenSigner", "is_key_uri", "parse_key_uri"]

#: Gives the PIN of a token by the token's name, None when there is nobody to ask.
Pin = Callable[[str], bytes | None]

_SCHEME = "pkcs11:"
_MODULE_VARIABLE, _PIN_VARIABLE = "MUNIMENT_PKCS11_MODULE", "MUNIMENT_PKCS11_PIN_FILE"
_ATTRIBUTES = frozenset({"token", "serial", "object", "id", "type"})
_QUERY = frozenset({"module-path", "pin-source"})
_MAX_PIN = 256
#: In which process each library was initialised; a forked child does it once more, for all keys.
_process_of: dict[str, int] = {}
_PERCENT = re.compile(r"(%[0-9A-Fa-f]{2}|[A-Za-z0-9\-._~:\[\]@!$'()*+,=&/?|])*")


@dataclass(frozen=True, slots=True)
class KeyUri:
    """A key on a token.

    Attributes:
        token: label of the token, or None.
        serial: its serial number, or None.
        label: label of the key (``object``), or None.
        id: id of the key, or None.
        module: the token maker's library, or None for ``MUNIMENT_PKCS11_MODULE``.
        pin_file: file with the PIN, or None.
        text: the URI as it was given.
    """

    token: str | None
    serial: str | None
    label: str | None
    id: bytes | None
    module: str | None
    pin_file: str | None
    text: str


def is_key_uri(text: str) -> bool:
    """Whether this names a key on a token, and no file."""
    return text.startswith(_SCHEME)


def _parts(text: str, separator: str, known: frozenset[str], where: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name in ("pin-value", "pin"):
            raise InputError("a PIN does not belong into a key URI", hint="Name a file: ?pin-source=file:/path")
        # What is unknown is not repeated: somebody may have put a secret there.
        if name not in known or not equals or name in found or _PERCENT.fullmatch(value) is None:
            raise InputError(
                f"the {where} of the key URI is malformed",
                hint="Write pkcs11:token=LABEL;object=LABEL?module-path=/path/to/library.so",
            )
        found[name] = unquote_to_bytes(value)
    return found


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        raise InputError("a part of the key URI is not UTF-8") from None


def parse_key_uri(text: str) -> KeyUri:
    """Read a key URI (RFC 7512).

    Args:
        text: ``pkcs11:token=…;object=…``, also with ``serial``, ``id``, and ``?module-path=…&pin-source=file:…``.

    Raises:
        InputError: it is malformed, names no key, or holds a PIN.
    """
    if not is_key_uri(text):
        raise InputError("a key URI begins with pkcs11:")
    path, _, query = text[len(_SCHEME) :].partition("?")
    attributes = _parts(path, ";", _ATTRIBUTES, "path")
    options = _parts(query, "&", _QUERY, "query")
    if attributes.pop("type", b"private") != b"private":
        raise InputError("the key URI does not name a private key")
    if not {"token", "serial"} & attributes.keys() or not {"object", "id"} & attributes.keys():
        raise InputError("the key URI must name a token and a key on it", hint="Write pkcs11:token=LABEL;object=LABEL")
    pin_file = _text(options.get("pin-source"))
    return KeyUri(
        token=_text(attributes.get("token")),
        serial=_text(attributes.get("serial")),
        label=_text(attributes.get("object")),
        id=attributes.get("id"),
        module=_text(options.get("module-path")),
        pin_file=None if pin_file is None else pin_file.removeprefix("file:").removeprefix("//"),
        text=text,
    )


def _read_pin(path: Path) -> bytes:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigurationError(f"the PIN file {path} can be read by others", hint=f"chmod 600 {path}")
        pin = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise ConfigurationError(f"the PIN file {path} cannot be read: {error.strerror}") from error
    if not 0 < len(pin) <= _MAX_PIN or b"\n" in pin:
        raise ConfigurationError(f"the PIN file {path} does not hold one line")
    return pin


def _library() -> Any:
    try:
        import pkcs11  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "keys on PKCS#11 tokens need the package python-pkcs11", hint="pip install 'muniment[pkcs11]'"
        ) from error
    return pkcs11


class TokenSigner:
    """A private Ed25519 key on a PKCS#11 token (CKK_EC_EDWARDS, CKM_EDDSA; PKCS#11 3.0 §6.3).

    Args:
        uri: the key.
        pin: asked when no file holds the PIN.

    Raises:
        ConfigurationError: the package, library, token or key is missing, or the PIN is wrong.
    """

    def __init__(self, uri: KeyUri, pin: Pin | None = None) -> None:
        self.uri = uri
        self._ask = pin
        self._lock, self._key = threading.Lock(), self._open()
        renew_in_child(self)
        self.public = self._read_public()

    def renew(self) -> None:
        """See `forks.Renewed`: a child must open the token anew (PKCS#11 3.0 §5.4)."""
        self._lock, self._key = threading.Lock(), None

    def __repr__(self) -> str:
        return f"TokenSigner({self._name!r})"

    @property
    def _name(self) -> str:
        uri = self.uri
        key = uri.label if uri.label is not None else (uri.id or b"").hex()
        return f"{uri.token or uri.serial}/{key}"

    def _pin(self) -> str:
        token = self.uri.token or self.uri.serial or "?"
        path = self.uri.pin_file or os.environ.get(_PIN_VARIABLE)
        found = _read_pin(Path(path)) if path else self._ask(token) if self._ask is not None else None
        if found is None:
            raise ConfigurationError(
                f"the token {token!r} needs its PIN and nobody can be asked for it",
                hint=f"Name a file of mode 0600 that holds it: {_PIN_VARIABLE}, or pin-source in the key URI.",
            )
        try:
            return found.decode()
        except UnicodeDecodeError:
            raise ConfigurationError(f"the PIN of the token {token!r} is not UTF-8") from None

    def _failed(self, error: Exception, doing: str) -> ConfigurationError:
        # The name of the fault only: what a library writes into a message is not ours to vouch for.
        words = {
            "PinIncorrect": "the PIN is wrong",
            "PinLenRange": "the PIN is wrong",
            "PinLocked": "the PIN is locked after too many wrong ones",
            "NoSuchToken": "there is no such token",
            "NoSuchKey": "there is no such key on the token",
            "MultipleObjectsReturned": "several keys have this name",
            "MultipleTokensReturned": "several tokens have this name",
        }.get(type(error).__name__, type(error).__name__)
        return ConfigurationError(
            f"the key {self._name!r} cannot be {doing}: {words}",
            hint="Look at the token with its maker's tools. If it is dead or lost, the keys on it are replaced as "
            "docs/how-to/keys-and-ceremonies.md says.",
        )

    def _open(self) -> Any:
        pkcs11 = _library()
        module = self.uri.module or os.environ.get(_MODULE_VARIABLE)
        if not module:
            raise ConfigurationError(
                "no PKCS#11 library is named",
                hint=f"Set {_MODULE_VARIABLE}, or add ?module-path=/path/to/library.so to the key URI.",
            )
        try:
            library = pkcs11.lib(module)
            if _process_of.setdefault(module, os.getpid()) != os.getpid():
                library.reinitialize()
                _process_of[module] = os.getpid()
            wanted = {"token_label": self.uri.token, "token_serial": self.uri.serial and self.uri.serial.encode()}
            token = library.get_token(**{name: value for name, value in wanted.items() if value is not None})
            self._session = self._log_in(pkcs11, token)
            return self._find(pkcs11.ObjectClass.PRIVATE_KEY)
        except pkcs11.PKCS11Error as error:
            raise self._failed(error, "opened") from None

    def _log_in(self, pkcs11: Any, token: Any) -> Any:
        try:
            return token.open(user_pin=self._pin())
        except pkcs11.UserAlreadyLoggedIn:  # by another key of this process: a login is the whole process's
            return token.open()

    def _find(self, kind: Any) -> Any:
        pkcs11 = _library()
        names = pkcs11.Attribute
        wanted = {names.CLASS: kind, names.KEY_TYPE: pkcs11.KeyType.EC_EDWARDS}
        wanted |= {} if self.uri.label is None else {names.LABEL: self.uri.label}
        wanted |= {} if self.uri.id is None else {names.ID: self.uri.id}
        found = list(self._session.get_objects(wanted))
        if len(found) != 1:
            raise pkcs11.MultipleObjectsReturned if found else pkcs11.NoSuchKey
        return found[0]

    def _read_public(self) -> PublicKey:
        pkcs11 = _library()
        try:
            point = bytes(self._find(pkcs11.ObjectClass.PUBLIC_KEY)[pkcs11.Attribute.EC_POINT])
        except pkcs11.PKCS11Error as error:
            raise self._failed(error, "read") from None
        # PKCS#11 3.0 wants an OCTET STRING, 3.1 and some tokens the 32 bytes themselves.
        raw = point[2:] if point[:2] == b"\x04\x20" and len(point) == 34 else point
        try:
            return PublicKey(ALG_ED25519, raw)
        except InputError as error:
            raise ConfigurationError(f"the key {self._name!r} is not an Ed25519 key: {error.message}") from None

    def sign(self, message: bytes) -> bytes:
        """Sign bytes (RFC 8032 5.1.6) on the token.

        Args:
            message: the bytes.

        Returns:
            64 bytes, verified under the public key before they are given out.

        Raises:
            ConfigurationError: the token did not sign, or signed wrongly.
        """
        pkcs11 = _library()
        with self._lock:
            try:
                if self._key is None:
                    self._key = self._open()
                signature = bytes(self._key.sign(message, mechanism=pkcs11.Mechanism.EDDSA))
            except pkcs11.PKCS11Error as error:
                raise self._failed(error, "used") from None
        try:
            self.public.verify(signature, message)
        except Exception:  # noqa: BLE001 - whatever is wrong with it: nothing that does not verify leaves here
            raise ConfigurationError(f"the key {self._name!r} made a signature that does not verify") from None
        return signature
