"""Making a bundle of an open ledger: which contents go in, and every header up to the signed head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ledger.bodyschemas import BODY_SCHEMAS, body_schema_digest
from ledger.bundle import MAX_BUNDLE_ENTRIES, Selection, format_bundle, rests_authority_on
from ledger.checkpoint import parse_checkpoint
from ledger.errors import InputError, NothingToVerifyError, VerificationError
from ledger.events import known_event_type
from ledger.handle import LogHandle
from ledger.note import parse_note
from ledger.payload import parse_payload
from ledger.sealing import MARK
from ledger.stored import Attestation, LogReader, Row

__all__ = ["export_bundle", "find_mentions", "mentions"]

_PAGE = 500


def export_bundle(ledger: LogHandle, selection: Selection) -> Iterator[bytes]:
    """Write a bundle, line by line; the present head is signed first, where the key is at hand.

    Args:
        ledger: the log.
        selection: whose contents go in.

    Yields:
        Lines with their ends.

    Raises:
        InputError: nothing is selected, or the log is too long for a bundle.
        NothingToVerifyError: no head is signed yet.
        VerificationError: entries are missing, or an entry that keys rest on has lost its content.
        StorageError: the store failed.
    """
    last = ledger.recorder.last_checkpoint()
    note = ledger.checkpoint() if ledger.can_sign_heads else None if last is None else last.note
    if note is None:
        raise NothingToVerifyError(
            "no head of this ledger is signed yet, so nothing can be proven", hint="muniment checkpoint show"
        )
    note = ledger.cosigned(note)
    size = parse_checkpoint(parse_note(note).text).size
    if not 1 <= size <= MAX_BUNDLE_ENTRIES:
        raise InputError(
            f"a bundle has 1 to {MAX_BUNDLE_ENTRIES} entries, and this log has {size}",
            hint="Hand over a backup: muniment backup create …",
        )
    with ledger.recorder.snapshot():
        selected, types = _select(ledger.recorder, size, selection)
        # The witnesses' lines are in the note.
        said = [
            item for item in _attestations(ledger.recorder, size) if item.size == size and item.kind != "cosignature"
        ]
        yield from format_bundle(note, selection, said, _rows(ledger.recorder, size), selected, _schemas(types))


def _rows(log: LogReader, size: int) -> Iterator[Row]:
    start = 0
    while start < size:
        rows = [row for row in log.rows(start, _PAGE) if row.entry.index < size]
        for row in rows:
            if row.entry.index != start:
                raise VerificationError(f"entry {start} is missing", fault="chain", index=start)
            start += 1
            yield row
        if not rows:
            raise VerificationError(f"entry {start} is missing", fault="chain", index=start)


def _select(log: LogReader, size: int, selection: Selection) -> tuple[set[int], set[str]]:
    selected, types, found = set[int](), set[str](), 0
    for row in _rows(log, size):
        chosen = mentions(row, selection.items) if selection.kind == "digests" else selection.names(row.entry)
        held = rests_authority_on(row.entry.stream)
        if held and (row.payload is None or row.signatures is None):
            words = "the content of an entry that keys and roles rest on is missing"
            raise VerificationError(words, fault="payload", index=row.entry.index)
        found += chosen
        if chosen or held:
            selected.add(row.entry.index)
            types.add(row.entry.type)
    _refuse_empty(selection, size, found)
    return selected, types


def _refuse_empty(selection: Selection, size: int, found: int) -> None:
    if selection.kind == "indexes":
        last = selection.items[-1]
        if found != len(selection.items):
            raise InputError(f"there is no entry {last} under the head signed at size {size}")
    elif selection.kind == "subject":
        if not found:
            raise InputError(f"no entry under the head signed at size {size} is about {selection.items[0]}")
    elif not found:
        raise NothingToVerifyError("these bytes are not mentioned in the ledger", hint="muniment verify file …")


def _attestations(log: LogReader, size: int) -> Iterator[Attestation]:
    after = (size - 1, 2**62)
    while page := log.attestations(after, _PAGE):
        yield from page
        after = (page[-1].size, page[-1].number)


def _schemas(types: Iterable[str]) -> dict[str, Any]:
    """Schemas as they were published; one that libraries here write in another way is left out."""
    kinds = ((name, known_event_type(name)) for name in sorted(types))
    found = {name: kind.body.model_json_schema() for name, kind in kinds if kind is not None}
    return {name: schema for name, schema in found.items() if BODY_SCHEMAS[name] == body_schema_digest(name, schema)}


def mentions(row: Row, digests: Iterable[object]) -> bool:
    """Whether an event's signed body holds one of these digests as a value.

    Args:
        row: the entry with its content; one without content mentions nothing.
        digests: algorithm and hex, as bodies write them.
    """
    payload = row.payload
    if payload is None or not any(str(digest).encode() in payload for digest in digests):
        return False
    wanted = {str(digest) for digest in digests}
    try:
        return _holds(parse_payload(payload).data, wanted)
    except InputError:
        return False


def _holds(value: object, wanted: set[str]) -> bool:
    if isinstance(value, dict):
        return any(_holds(item, wanted) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_holds(item, wanted) for item in value)
    return isinstance(value, str) and value in wanted


def find_mentions(log: LogReader, size: int, digests: Iterable[str]) -> tuple[list[Row], list[int]]:
    """All entries that mention one of these digests; reads every content once.

    Args:
        log: the store.
        size: entries to look at.
        digests: algorithm and hex.

    Returns:
        Those entries, and the indexes of others of which it cannot be told, because content is missing or sealed.
    """
    wanted, found, unread = tuple(digests), list[Row](), list[int]()
    for row in _rows(log, size):
        if mentions(row, wanted):
            found.append(row)
        elif row.payload is None or MARK in row.payload:
            unread.append(row.entry.index)
    return found, unread
