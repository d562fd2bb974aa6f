"""Sealed fields: a field of a body encrypted for one data subject, as the text that stands in its place.

A sealed field is ``sealed:v1:<id of the data key>:<nonce, ciphertext and tag>``, both in base64url without padding: a
text, so that it fits wherever a body has one, and the schemas of published bodies hold. The plaintext is the JSON of
the value. AES-256-GCM (NIST SP 800-38D) binds it to its ledger, event and place.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.errors import InputError, VerificationError
from ledger.strictjson import format_json, parse_json

__all__ = [
    "MARK",
    "NONCE_SIZE",
    "SealedField",
    "Sealer",
    "data_at",
    "find_sealed",
    "named_keys",
    "open_field",
    "parse_sealed",
    "replace_field",
    "replace_sealed",
    "seal_field",
]

NONCE_SIZE = 12
#: How every sealed field begins, as payloads hold it.
MARK = b"sealed:v1:"
_SEALED = re.compile(r"sealed:v1:([A-Za-z0-9_-]{22}):([A-Za-z0-9_-]{39,})")


@dataclass(frozen=True, slots=True)
class SealedField:
    """A sealed field: where it stands, by which data key, and its nonce, ciphertext and tag."""

    path: str
    data_key: str
    box: bytes


def _bound(ledgerid: str, event_id: str, path: str, data_key: str) -> bytes:
    return f"muniment sealed field v1\n{ledgerid}\n{event_id}\n{path}\n{data_key}".encode()


def seal_field(value: Any, key: bytes, data_key: str, nonce: bytes, *, ledgerid: str, event_id: str, path: str) -> str:
    """Encrypt one field.

    Args:
        value: any JSON value.
        key: the data key, 32 bytes.
        data_key: its id, 22 characters of base64url.
        nonce: 12 random bytes, never used with this key before.
        ledgerid: of the ledger the event belongs to.
        event_id: of the event.
        path: where the field stands in the body, names and positions in lists joined by dots.
    """
    box = nonce + AESGCM(key).encrypt(nonce, format_json(value), _bound(ledgerid, event_id, path, data_key))
    return f"sealed:v1:{data_key}:{base64.urlsafe_b64encode(box).rstrip(b'=').decode()}"


def parse_sealed(text: str, path: str) -> SealedField | None:
    """A sealed field, None when a text is none.

    Args:
        text: what stands in the body.
        path: where.
    """
    match = _SEALED.fullmatch(text)
    if match is None:
        return None
    try:
        box = base64.urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4))
    except binascii.Error:
        return None
    return SealedField(path, match[1], box)


def replace_sealed(text: str, words: Callable[[str], str]) -> str:
    """A text with others in place of every sealed field in it.

    Args:
        text: a field, or a sentence that somebody else put one into.
        words: what to say for a data key.
    """
    return _SEALED.sub(lambda match: words(match[1]), text)


def named_keys(payload: bytes) -> set[str]:
    """Data keys of all sealed fields that a payload holds anywhere, also inside a text and however it is spelled.

    Args:
        payload: strict JSON.
    """
    # Only an escape hides the mark from a look at the bytes.
    if MARK not in payload and b"\\u00" not in payload:
        return set()
    return {match[1] for text in _texts(parse_json(payload)) for match in _SEALED.finditer(text)}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        return
    inner = (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        yield from _texts(item)


def find_sealed(data: Any, path: str = "") -> Iterator[SealedField]:
    """All sealed fields of a body."""
    if isinstance(data, str):
        found = parse_sealed(data, path)
        if found is not None:
            yield found
        return
    within = f"{path}." if path else ""
    inner = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
    for name, value in inner:
        yield from find_sealed(value, f"{within}{name}")


def open_field(field: SealedField, key: bytes, *, ledgerid: str, event_id: str) -> Any:
    """Decrypt one field.

    Raises:
        VerificationError: it is not what was sealed with this key, for this place.
    """
    bound = _bound(ledgerid, event_id, field.path, field.data_key)
    try:
        plain = AESGCM(key).decrypt(field.box[:NONCE_SIZE], field.box[NONCE_SIZE:], bound)
        return parse_json(plain, what="sealed field")
    except (InvalidTag, ValueError, InputError) as error:
        raise VerificationError(
            f"the sealed field {field.path} does not open with its data key", fault="payload"
        ) from error


def replace_field(data: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A body with another value at a path; objects on the way are made, lists stay as long as they are.

    Args:
        data: the body.
        path: names and positions in lists, from 0, joined by dots: ``findings.0.statement``.
        value: any JSON value.

    Raises:
        InputError: something on the way is no object, a list ends before the position, or the path is empty.
    """
    names = path.split(".")
    if not all(names):
        raise InputError(f"{path!r} is no path of a field", hint="Write names joined by dots: content.email")
    return {**data, names[0]: _replaced(data.get(names[0]), names[0], names[1:], value)}


def _replaced(data: Any, where: str, names: list[str], value: Any) -> Any:
    if not names:
        return value
    name, *rest = names
    deeper = f"{where}.{name}"
    if data is None or isinstance(data, Mapping):
        known = data or {}
        return {**known, name: _replaced(known.get(name), deeper, rest, value)}
    position = _position(data, name)
    if position is None:
        what = f"has {len(data)} items" if isinstance(data, list | tuple) else "is no object"
        raise InputError(f"{where} {what}, so there is no {deeper}")
    return [*data[:position], _replaced(data[position], deeper, rest, value), *data[position + 1 :]]


def _position(data: Any, name: str) -> int | None:
    """Which item of a list a name of a path means."""
    if not isinstance(data, list | tuple) or not (name.isascii() and name.isdigit()) or str(int(name)) != name:
        return None
    return int(name) if int(name) < len(data) else None


def data_at(data: Mapping[str, Any], path: str) -> Any:
    """What stands at a path of a body, None when there is nothing."""
    found: Any = data
    for name in path.split("."):
        if isinstance(found, Mapping):
            found = found.get(name)
        else:
            position = _position(found, name)
            found = None if position is None else found[position]
    return found


class Sealer(Protocol):
    """Seals personal fields and opens them; see `datakeys.DataKeys`."""

    def seal(
        self, data: Mapping[str, Any], personal: Mapping[str, Any], subject: str, event_id: str, *,
        erased: Mapping[str, object], size: int,
    ) -> dict[str, Any]:  # fmt: skip
        """A body with personal fields sealed for a data subject."""

    def reveal(self, data: Mapping[str, Any], event_id: str) -> tuple[dict[str, Any], dict[str, str]]:
        """A body with fields opened, and the data key of each that stays closed."""

    def close(self) -> None:
        """Close the connection."""
