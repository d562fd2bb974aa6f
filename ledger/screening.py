"""Keeping secrets out of events: what is about to be signed is looked through, and hidden or refused.

A log cannot forget. So everything an author of ours signs is searched for what looks like a secret (`secretpatterns`),
and for strings that look random and stand in no field that is meant for such: digests, ids, nonces, keys that are
public. A secret without any form of its own, as a short password in a sentence, is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import groupby
from typing import Any, Final, NamedTuple

from ledger.secretpatterns import (
    KEY_ENDINGS,
    PATTERNS,
    SECRET_ENDINGS,
    SECRET_NAMES,
    Pattern,
    is_placeholder,
    looks_base32,
    looks_mixed,
    looks_random,
)
from ledger.secretspans import MIN_ENCODED, Span, encoded_spans, key_spans, merged, near, pieces, spans_of, suspects_in

__all__ = ["REDACTED", "Secret", "find_secrets", "hide_secrets", "redact_secrets"]

#: Field of a body that lists what was hidden in it.
REDACTED: Final = "secrets_redacted"
#: So many hidden places are listed by name at most; the rest are hidden all the same.
_LISTED = 50
#: Stands in a path for the name of a field.
_NAME: Final = "(name)"

_LONG = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_=-]{32,}")
_HEX = re.compile(r"[0-9a-fA-F-]+")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Where a value is a name of something: said in the field's last word.
_NAMES: Final = frozenset(
    [
        "id",
        "ids",
        "uid",
        "uuid",
        "guid",
        "digest",
        "digests",
        "hash",
        "hashes",
        "sha",
        "sha1",
        "sha256",
        "sha384",
        "sha512",
        "md5",
        "blake2b",
        "blake3",
        "crc",
        "crc32",
        "crc32c",
        "checksum",
        "checksums",
        "etag",
        "etags",
        "nonce",
        "nonces",
        "commit",
        "commits",
        "revision",
        "rev",
        "signature",
        "signatures",
        "sig",
        "fingerprint",
        "fingerprints",
        "integrity",
        "root",
        "roots",
        "leaf",
        "leaves",
        "keyid",
        "vkey",
        "vkeys",
        "subject",
        "traceparent",
        "tracestate",
        "cursor",
        "proof",
        "salt",
        "iv",
        "cid",
        "ciphertext",
        "wrapped",
    ]
)
_FORMS: Final = ("sha256:", "sha384:", "sha512:", "sha1:", "md5:", "ed25519:", "sha256-", "sha384-", "sha512-", "urn:")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_JWK: Final = frozenset(("d", "k", "p", "q", "dp", "dq", "qi"))


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret was found.

    Attributes:
        field: path of the field, with dots, ``params.token``; a name that is a secret itself is not shown.
        pattern: what it looks like.
    """

    field: str
    pattern: str


class _Place(NamedTuple):
    field: str
    text: str
    name: str  # the field's own name, or that of the list it is in
    jwk: bool  # a part of an object that is a JSON Web Key


def _join(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _named(key: str, value: Mapping[str, Any], name: str) -> str:
    """The name a member of an object goes by: a ``value`` by what stands beside it or above it, others by their own."""
    if key != "value":
        return key
    beside = value.get("name", value.get("key"))
    return beside if isinstance(beside, str) else name or key


def _option(before: Any, item: Any, name: str) -> str:
    """The name an item of a list goes by: what follows the option of a command by that, others by the list's."""
    if isinstance(before, str) and before.startswith("--") and isinstance(item, str) and not item.startswith("-"):
        return before[2:]
    return name


def _collect(value: Any, field: str, name: str, jwk: bool, found: list[_Place]) -> None:
    """Every string of a body with its field, names of fields too; what is too short to be a secret is left out."""
    if isinstance(value, str):
        if len(value) >= 4:
            found.append(_Place(field, value, name, jwk))
    elif isinstance(value, Mapping):
        private = "kty" in value
        for key, item in value.items():
            if len(key) >= 8:
                found.append(_Place(_join(field, _NAME), key, "", jwk=False))
            if not isinstance(item, (int, float)):
                _collect(item, _join(field, key), _named(key, value, name), private and key in _JWK, found)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            option = _option(value[number - 1] if number else None, item, name)
            _collect(item, f"{field}.{number}", option, jwk=False, found=found)


@lru_cache(maxsize=4096)
def _kind_of(name: str) -> str:
    """What a field's name says of its value: ``secret``, ``token``, ``key``, ``name`` (random, public), or nothing."""
    words = _WORDS.findall(name)
    if words and words[-1].lower() in _NAMES:
        return "name"
    bare = name.lower().replace("_", "").replace("-", "").replace(".", "")
    if bare in SECRET_NAMES or bare.endswith(SECRET_ENDINGS):
        return "secret"
    if bare.endswith(KEY_ENDINGS):
        return "key"
    return "token" if bare.endswith("token") else ""


def _random_spans(text: str) -> Iterator[Span]:
    for match in _LONG.finditer(text):
        found = match[0]
        before = text[max(0, match.start() - 8) : match.start()]
        if before.endswith(_FORMS) or found.startswith(_FORMS):
            continue
        # A path or a URL is made of parts, of which each is looked at; otherwise '/' is a digit of base 64.
        path = found[0] == "/" or before[-1:] in (":", ".", "~", "@") or found.count("/") * 12 > len(found)
        parts = found.split("/") if path else [found]
        at = match.start()
        for part in parts:
            bare = part.rsplit("=", 1)[-1] if not part.endswith("=") else part
            seed = bare.isalnum() and bare.isupper() and looks_base32(bare)
            if len(bare) >= 32 and not _HEX.fullmatch(bare) and (seed or looks_random(bare)):
                yield at + len(part) - len(bare), at + len(part), "high-entropy"
            at += len(part) + 1


def _by_field(place: _Place, kind: str) -> str:
    """What a value is because of its field alone, empty when that tells nothing."""
    text = place.text
    if not (place.jwk or kind in ("secret", "token", "key")) or is_placeholder(text):
        return ""
    if place.jwk:
        return "jwk"
    if kind == "secret":
        return "" if " " in text.strip() and not looks_base32(text) else "secret-field"
    if kind == "key" and (text.startswith(_FORMS) or _UUID.fullmatch(text)):
        return ""  # which key, and not the key
    return "secret-field" if len(text) >= 16 and looks_mixed(text) else ""


def _look(place: _Place, suspects: Sequence[Pattern], *, blocks: bool) -> list[Span]:
    """Parts of one string that are secrets, in order, without overlap."""
    text = place.text
    kind = _kind_of(place.name) if place.name else ""
    if why := _by_field(place, kind):
        return [(0, len(text), why)]
    found = list(key_spans(text)) if blocks else []
    for pattern in suspects:
        found += spans_of(pattern, text)
    if len(text) >= MIN_ENCODED:
        found += encoded_spans(text)
    if len(text) >= 32 and kind != "name":
        found += _random_spans(text)
    return merged(found) if found else found


def _cut(places: Sequence[_Place], candidates: Sequence[Pattern]) -> dict[int, list[Span]]:
    """Pieces of tokens in places that stand side by side in one list or object, by the number of the place."""
    found: dict[int, list[Span]] = {}
    values = [(number, place) for number, place in enumerate(places) if not place.field.endswith(_NAME)]
    for _, group in groupby(values, key=lambda value: value[1].field.rpartition(".")[0]):
        beside = list(group)
        for number, span in pieces([place.text for _, place in beside], candidates) if len(beside) > 1 else ():
            found.setdefault(beside[number][0], []).append(span)
    return found


def _search(body: Mapping[str, Any], allow: Sequence[str]) -> Iterator[tuple[_Place, list[Span]]]:
    places: list[_Place] = []
    _collect(body, "", "", jwk=False, found=places)
    joined = "\n".join([place.text for place in places])
    candidates = near(joined)
    suspects = suspects_in(joined, candidates)
    blocks = "PRIVATE KEY" in joined or "PuTTY-" in joined
    cut = _cut(places, candidates) if candidates else {}
    for number, place in enumerate(places):
        if not (suspects or blocks or place.name or len(place.text) >= MIN_ENCODED or number in cut):
            continue
        spans = _look(place, suspects, blocks=blocks)
        spans = merged(spans + cut[number]) if number in cut else spans
        if spans and not any(fnmatchcase(place.field, pattern) for pattern in allow):
            yield place, spans


def _listed(hits: Iterable[tuple[_Place, list[Span]]]) -> list[Secret]:
    return [Secret(hide_secrets(place.field), name) for place, spans in hits for _, _, name in spans]


def hide_secrets(text: str) -> str:
    """A text as it may be shown, such as the name of a field: what looks like a secret in it is hidden."""
    return _hide(text, _look(_Place(text, text, "", jwk=False), PATTERNS, blocks=True))


def find_secrets(body: Mapping[str, Any], allow: Sequence[str] = ()) -> list[Secret]:
    """Find what looks like a secret in the body of an event.

    Args:
        body: what is about to be signed.
        allow: paths of fields that are not looked at, ``params.note``; ``*`` stands for any characters.

    Returns:
        Where, in order; never the secret itself.
    """
    return _listed(_search(body, allow))


def _hide(text: str, spans: Sequence[Span]) -> str:
    parts, at = [], 0
    for start, stop, name in spans:
        parts += [text[at:start], f"[redacted: {name}]"]
        at = stop
    return "".join([*parts, text[at:]])


def _rewritten(value: Any, field: str, hidden: Mapping[tuple[str, str], str]) -> Any:
    if isinstance(value, str):
        return hidden.get((field, value), value)
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = hidden.get((_join(field, _NAME), key), key)
            while name in found:  # two names that look the same once they are hidden
                name += "'"
            found[name] = _rewritten(item, _join(field, key), hidden)
        return found
    if isinstance(value, (list, tuple)):
        return [_rewritten(item, f"{field}.{number}", hidden) for number, item in enumerate(value)]
    return value


def redact_secrets(body: Mapping[str, Any], allow: Sequence[str] = ()) -> tuple[Mapping[str, Any], list[Secret]]:
    """Put a marker in the place of everything that looks like a secret, and list in the body what was hidden.

    Args:
        body: what is about to be signed.
        allow: as `find_secrets`.

    Returns:
        The body to sign, which is ``body`` itself when nothing was found, and where something was.
    """
    hits = list(_search(body, allow))
    if not hits:
        return body, []
    found = _listed(hits)
    clean = _rewritten(body, "", {(place.field, place.text): _hide(place.text, spans) for place, spans in hits})
    clean[REDACTED] = [{"field": item.field, "pattern": item.pattern} for item in found[:_LISTED]]
    return clean, found
