"""The bundle: a part of a ledger in one file, which can be checked with nothing but the file and a key (FORMAT §23).

Lines of RFC 8785 JSON: what it is and the signed head; what outsiders said about that head; every entry from 0 to the
head, with the envelope of those that were selected and of all that keys and roles rest on; the schemas; and the
SHA-256 of all lines before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ledger.base64text import encode_base64
from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.entry import Entry, format_entry, parse_entry
from ledger.envelope import format_signatures, join_envelope, parse_envelope
from ledger.errors import InputError
from ledger.note import parse_note
from ledger.stored import ATTESTATION_KINDS, Attestation, Row
from ledger.strictjson import format_json, parse_json

__all__ = [
    "MAX_BUNDLE", "MAX_BUNDLE_ENTRIES", "MAX_LINE", "Bundle", "Selection", "format_bundle", "parse_bundle",
    "rests_authority_on",
]  # fmt: skip

#: Bytes of a bundle, entries in it, and bytes of one line with its end.
MAX_BUNDLE = 1 << 30
MAX_BUNDLE_ENTRIES = 500_000
MAX_LINE = 262_144

_FORMAT = "muniment bundle v1"
_FIRST = {"checkpoint", "format", "selection"}
_ATTESTATION = {"attestation", "body", "issuer", "recorded_at", "size"}
_SELECTIONS = ("all", "digests", "indexes", "subject")
_MAX_ITEMS = 1_000


def rests_authority_on(stream: str) -> bool:
    """Whether keys and roles are read from a stream; its contents are in every bundle."""
    return stream.startswith(("ledger:", "actor:"))


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose contents are in a bundle, beside those that keys and roles rest on.

    Attributes:
        kind: ``all``, ``subject`` (a name; without version its whole stream), ``indexes`` or ``digests`` (what mentions
            them).
        items: the subject, the indexes in order, or the digests in order; none for ``all``.
    """

    kind: str
    items: tuple[str | int, ...] = ()

    def names(self, entry: Entry) -> bool:
        """Whether the header alone says that an entry is one of those asked for."""
        if self.kind == "subject":
            return self.items[0] in (entry.subject, entry.stream)
        return self.kind == "all" or (self.kind == "indexes" and entry.index in self.items)

    def asks_for(self, entry: Entry) -> bool:
        """Whether the header alone says that the content of an entry must be there."""
        return self.names(entry) or rests_authority_on(entry.stream)


@dataclass(slots=True)
class Bundle:
    """A parsed bundle; nothing in it is verified.

    Attributes:
        note: the signed head.
        head: what it says.
        selection: what was asked for.
        attestations: what outsiders said about that head.
        rows: every entry; payload and signatures are None where the content is not in the bundle.
        withheld: indexes of selected entries whose content the store did not have.
        schemas: JSON Schema of the body of each type that occurs.
    """

    note: bytes
    head: Checkpoint
    selection: Selection
    attestations: list[Attestation] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    withheld: list[int] = field(default_factory=list)
    schemas: dict[str, Any] = field(default_factory=dict)


def format_bundle(  # noqa: PLR0917 - the parts of a bundle, in order
    note: bytes,
    selection: Selection,
    attestations: Iterable[Attestation],
    rows: Iterable[Row],
    selected: Iterable[int],
    schemas: Mapping[str, Any],
) -> Iterator[bytes]:
    """Write a bundle, line by line.

    Args:
        note: the signed head.
        selection: what was asked for.
        attestations: about that head.
        rows: every entry below its size, in order.
        selected: indexes of entries whose content goes in.
        schemas: by type.

    Yields:
        Lines with their ends.

    Raises:
        InputError: a line is too long, or a row is malformed.
    """
    digest = hashlib.sha256()
    for value in _values(note, selection, attestations, rows, frozenset(selected), schemas):
        line = format_json(value) + b"\n"
        if len(line) > MAX_LINE:
            raise InputError(f"a line of the bundle would have {len(line)} bytes; at most {MAX_LINE} are allowed")
        digest.update(line)
        yield line
    yield format_json({"sha256": digest.hexdigest()}) + b"\n"


def _values(  # noqa: PLR0917 - the parts of a bundle, in order
    note: bytes,
    selection: Selection,
    attestations: Iterable[Attestation],
    rows: Iterable[Row],
    selected: frozenset[int],
    schemas: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    yield {
        "checkpoint": note.decode(),
        "format": _FORMAT,
        "selection": {"items": list(selection.items), "kind": selection.kind},
    }
    for said in attestations:
        body = encode_base64(said.body)
        yield {
            "attestation": said.kind, "body": body, "issuer": said.issuer, "recorded_at": said.recorded_at,
            "size": said.size,
        }  # fmt: skip
    for row in rows:
        line: dict[str, Any] = {"entry": format_entry(row.entry).decode("ascii")}
        if row.entry.index in selected:
            if row.payload is None or row.signatures is None:
                line["withheld"] = True
            else:
                line["envelope"] = _envelope(row).decode("ascii")
        yield line
    for name, schema in sorted(schemas.items()):
        yield {"schema": schema, "type": name}


def _envelope(row: Row) -> bytes:
    return join_envelope(row.payload or b"", row.signatures or b"")


class _Lines:
    """The lines of a bundle, each within its limits and in its only form."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._read = 0
        self._number = 0
        self.value: dict[str, Any] = {}
        self.advance()

    def advance(self) -> None:
        """Go to the next line, which must be there."""
        self._number += 1
        raw = self._file.readline(MAX_LINE + 1)
        self._read += len(raw)
        if self._read > MAX_BUNDLE:
            raise self.error(f"a bundle has at most {MAX_BUNDLE} bytes")
        if len(raw) > MAX_LINE:
            raise self.error(f"a line has at most {MAX_LINE} bytes")
        if not raw.endswith(b"\n"):
            raise self.error("the file ends too early")
        value = parse_json(raw[:-1], what=f"line {self._number} of the bundle")
        if not isinstance(value, dict) or format_json(value) != raw[:-1]:
            raise self.error("it is not an object in its only form")
        self.value = value
        if set(value) == {"sha256"}:
            if value["sha256"] != self._digest.hexdigest():
                raise self.error("the lines before it are not those that were written: it was damaged on the way")
            if self._file.read(1):
                raise self.error("something follows the last line")
        self._digest.update(raw)

    def error(self, words: str) -> InputError:
        """What is wrong with this line."""
        return InputError(f"line {self._number} of the bundle: {words}")

    def text(self, name: str) -> str:
        """A member that must be a string."""
        value = self.value[name]
        if not isinstance(value, str):
            raise self.error(f"{name} must be a string")
        return value


def parse_bundle(file: BinaryIO) -> Bundle:
    """Read a bundle.

    Args:
        file: a binary file, read once from where it stands.

    Returns:
        Its parts, nothing verified.

    Raises:
        InputError: any other form, or too large.
    """
    lines = _Lines(file)
    if set(lines.value) != _FIRST or lines.value["format"] != _FORMAT:
        raise InputError("this is no bundle, or one of another version of the format")
    note = lines.text("checkpoint").encode()
    bundle = Bundle(note, parse_checkpoint(parse_note(note).text), _selection(lines))
    if not 1 <= bundle.head.size <= MAX_BUNDLE_ENTRIES:
        raise lines.error(f"a bundle has 1 to {MAX_BUNDLE_ENTRIES} entries")
    lines.advance()
    while set(lines.value) == _ATTESTATION:
        bundle.attestations.append(_attestation(lines, len(bundle.attestations) + 1, bundle.head.size))
        lines.advance()
    for _ in range(bundle.head.size):
        _take_entry(lines, bundle)
        lines.advance()
    while set(lines.value) == {"schema", "type"}:
        name = lines.text("type")
        if bundle.schemas and name <= max(bundle.schemas):
            raise lines.error("the schemas are out of order")
        bundle.schemas[name] = lines.value["schema"]
        lines.advance()
    if set(lines.value) != {"sha256"}:
        raise lines.error("the digest of the lines before was expected here")
    return bundle


def _selection(lines: _Lines) -> Selection:
    value = lines.value["selection"]
    if not isinstance(value, dict) or set(value) != {"items", "kind"} or value["kind"] not in _SELECTIONS:
        raise lines.error(f"a selection is one of {', '.join(_SELECTIONS)}")
    kind, items = value["kind"], value["items"]
    wanted = int if kind == "indexes" else str
    if not isinstance(items, list) or len(items) > _MAX_ITEMS or not all(type(item) is wanted for item in items):
        raise lines.error("the items of the selection are malformed")
    if (kind == "all") is bool(items) or (kind == "subject" and len(items) > 1):
        raise lines.error("the selection has too many items, or too few")
    if sorted(set(items)) != items:
        raise lines.error("the items of the selection are out of order")
    return Selection(kind, tuple(items))


def _attestation(lines: _Lines, number: int, size: int) -> Attestation:
    value = lines.value
    if value["attestation"] not in ATTESTATION_KINDS or value["size"] != size or type(value["recorded_at"]) is not int:
        raise lines.error("the attestation is malformed, or about another head")
    try:
        body = base64.b64decode(lines.text("body"), validate=True)
    except (binascii.Error, ValueError):
        raise lines.error("the body is not base64") from None
    if encode_base64(body) != value["body"]:
        raise lines.error("the body is not base64 in its only form")
    return Attestation(number, size, value["attestation"], lines.text("issuer"), body, value["recorded_at"])


def _take_entry(lines: _Lines, bundle: Bundle) -> None:
    names = set(lines.value)
    if names not in ({"entry"}, {"entry", "envelope"}, {"entry", "withheld"}):
        raise lines.error(f"entry {len(bundle.rows)} was expected here")
    text = lines.text("entry").encode()
    entry = parse_entry(text)
    payload = signatures = None
    if "envelope" in names:
        envelope = parse_envelope(lines.text("envelope").encode())
        payload, signatures = envelope.payload, format_signatures(envelope.signatures)
    elif "withheld" in names:
        if lines.value["withheld"] is not True:
            raise lines.error("withheld can only be true")
        bundle.withheld.append(entry.index)
    leaf = hashlib.sha256(b"\x00" + text).digest()  # RFC 9162 2.1.1; parse_entry takes the only form
    bundle.rows.append(Row(entry, leaf, payload, signatures))
