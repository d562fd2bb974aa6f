"""Entry v1: what the ledger commits to, the preimage of a leaf hash.

The columns are the truth: there is one function from columns to bytes, and `format_entry`, or `format_run` for many
entries at once, lead every reader and verifier through it. The entry holds digests instead of content, so published
logs show no content and content can be erased while every proof still holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import count, pairwise, repeat
from typing import Any

from ledger.errors import InputError
from ledger.merkle import leaf_hash
from ledger.strictjson import MAX_INTEGER, parse_json

__all__ = [
    "ENTRY_VERSION",
    "MAX_ENTRY",
    "MAX_ENTRY_KEYS",
    "MAX_HEADER_STRING",
    "MAX_TIME",
    "ZERO_HASH",
    "Entry",
    "entry_hash",
    "format_entry",
    "format_run",
    "format_time",
    "parse_entry",
    "parse_time",
]

ENTRY_VERSION = 1
#: Bytes of an entry.
MAX_ENTRY = 4_096
#: Bytes of one string column.
MAX_HEADER_STRING = 255
#: Keys that may sign one entry's envelope.
MAX_ENTRY_KEYS = 16
#: ``prev`` of the first entry.
ZERO_HASH = "0" * 64
#: 9999-12-31T23:59:59.999999Z in microseconds since the Unix epoch.
MAX_TIME = 253_402_300_799_999_999

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEX64 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{6})Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """The columns of one entry. Strings are 1 to 255 printable ASCII characters unless said otherwise.

    Args:
        actor: actor id of the author.
        emitter: UUID text of the author's emitter.
        envelope: hex SHA-256 of the DSSE envelope, 64 lower-case characters.
        id: event id.
        index: leaf index, 0 is the first.
        item: place in a signed batch; 0 now.
        keys: keyids that signed, sorted, unique, 1 to 16.
        ledgerid: 32 lower-case hex characters.
        payload: hex SHA-256 of the payload.
        prev: hex leaf hash of the entry before, :data:`ZERO_HASH` for the first.
        recorded_at: microseconds since the Unix epoch, UTC.
        revision: place in the stream, from 1.
        sequence: number given by the emitter, from 1.
        stream: the subject without its version.
        subject: what the event is about.
        type: event type.
    """

    actor: str
    emitter: str
    envelope: str
    id: str
    index: int
    item: int
    keys: tuple[str, ...]
    ledgerid: str
    payload: str
    prev: str
    recorded_at: int
    revision: int
    sequence: int
    stream: str
    subject: str
    type: str


_INTEGERS = frozenset({"index", "item", "revision", "sequence"})
_MEMBERS = tuple(sorted([*(field.name for field in fields(Entry)), "v"]))


@lru_cache(maxsize=1024)
def _to_the_second(seconds: int) -> str:
    # Entries are formatted in order of time, so that most share their second with the one before.
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def format_time(us: int) -> str:
    """Write a time.

    Args:
        us: microseconds since the Unix epoch, UTC.

    Returns:
        ``YYYY-MM-DDTHH:MM:SS.ffffffZ`` (RFC 3339), years 1970 to 9999.

    Raises:
        InputError: out of range.
    """
    if not 0 <= us <= MAX_TIME:
        raise InputError(f"{us} microseconds are not between the years 1970 and 9999")
    # Integer arithmetic all the way: a float of seconds loses microseconds.
    seconds, micro = divmod(us, 1_000_000)
    return f"{_to_the_second(seconds)}.{micro:06d}Z"


def parse_time(text: str) -> int:
    """Read a time.

    Args:
        text: ``YYYY-MM-DDTHH:MM:SS.ffffffZ``, exactly six decimals.

    Returns:
        Microseconds since the Unix epoch.

    Raises:
        InputError: any other form, a day that does not exist, a leap second, or a year before 1970.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise InputError(f"{text[:40]!r} is not a time of the form YYYY-MM-DDTHH:MM:SS.ffffffZ")
    year, month, day, hour, minute, second, micro = map(int, match.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC)
    except ValueError:
        raise InputError(f"there is no such time as {text}") from None
    if moment < _EPOCH:
        raise InputError(f"{text} is before 1970")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _refuse(strings: tuple[str, ...], integers: tuple[int, ...], digests: tuple[str, ...]) -> None:
    """Raise for the first column that is out of range; the fast path found that one is."""
    for name, text in zip(("actor", "emitter", "id", "stream", "subject", "type"), strings, strict=True):
        if not 1 <= len(text) <= MAX_HEADER_STRING or not (text.isascii() and text.isprintable()):
            raise InputError(f"entry column {name} must be 1 to {MAX_HEADER_STRING} printable ASCII characters")
    for name, number in zip(("index", "item", "revision", "sequence"), integers, strict=True):
        if type(number) is not int or not 0 <= number <= MAX_INTEGER:
            raise InputError(f"entry column {name} must be an integer from 0 to 2^53-1")
    for name, text in zip(("envelope", "payload", "prev"), digests, strict=True):
        if _HEX64.fullmatch(text) is None:
            raise InputError(f"entry column {name} must be 64 lower-case hex characters")
    raise InputError("entry column ledgerid must be 32 lower-case hex characters")


def _check_keys(keys: Sequence[str]) -> None:
    if not 1 <= len(keys) <= MAX_ENTRY_KEYS or any(_HEX64.fullmatch(key) is None for key in keys):
        raise InputError(f"entry column keys must be 1 to {MAX_ENTRY_KEYS} keyids of 64 lower-case hex characters")
    if any(left >= right for left, right in pairwise(keys)):
        raise InputError("entry column keys must be sorted and without repeats")


def _is_hex(text: str) -> bool:
    """Whether a text is lower-case hex: a third of the time a regular expression takes over three digests."""
    try:
        return bytes.fromhex(text).hex() == text
    except ValueError:
        return False


def _write(  # noqa: PLR0917 - the columns of `Entry`, one by one: an object a row costs as much as the rest
    actor: str,
    emitter: str,
    envelope: str,
    event_id: str,
    index: int,
    item: int,
    keys: str,
    ledgerid: str,
    payload: str,
    prev: str,
    recorded_at: str,
    revision: int,
    sequence: int,
    stream: str,
    subject: str,
    event_type: str,
) -> bytes:
    """The one place where columns become bytes; they were looked at, their strings escaped, and the keys joined."""
    return (
        f'{{"actor":"{actor}","emitter":"{emitter}","envelope":"{envelope}","id":"{event_id}",'
        f'"index":{index},"item":{item},"keys":["{keys}"],"ledgerid":"{ledgerid}",'
        f'"payload":"{payload}","prev":"{prev}","recorded_at":"{recorded_at}",'
        f'"revision":{revision},"sequence":{sequence},"stream":"{stream}","subject":"{subject}",'
        f'"type":"{event_type}","v":1}}'
    ).encode("ascii")


def format_entry(entry: Entry) -> bytes:
    r"""Write the columns of an entry: their RFC 8785 form with ``"v":1``.

    Total over well-typed columns: either bytes or InputError. Written by hand because it runs for every entry; it
    equals ``format_json`` because the members stand in RFC 8785 order, the strings are printable ASCII (only ``"``
    and ``\`` are escaped) and the numbers are integers within 2**53-1.

    Args:
        entry: the columns.

    Returns:
        At most 4,096 bytes of ASCII.

    Raises:
        InputError: a column is out of range, not ASCII, too long or not in its form, or the entry is too large.
    """
    strings: tuple[str, ...] = (entry.actor, entry.emitter, entry.id, entry.stream, entry.subject, entry.type)
    integers = (entry.index, entry.item, entry.revision, entry.sequence)
    envelope, payload, prev, ledgerid, keys = entry.envelope, entry.payload, entry.prev, entry.ledgerid, entry.keys
    joined = "".join(strings)
    # One pass over everything at once; _refuse finds out which column it was. bool is not an integer here.
    if not (
        joined.isascii()
        and joined.isprintable()
        and "" not in strings
        and (len(joined) <= MAX_HEADER_STRING or max(map(len, strings)) <= MAX_HEADER_STRING)
        and {*map(type, integers)} == {int}
        and min(integers) >= 0
        and max(integers) <= MAX_INTEGER
        and len(envelope) == len(payload) == len(prev) == 64
        and len(ledgerid) == 32
        and _is_hex(f"{envelope}{payload}{prev}{ledgerid}")
    ):
        _refuse(strings, integers, (envelope, payload, prev))
    if not (len(keys) == 1 and len(keys[0]) == 64 and _is_hex(keys[0])):
        _check_keys(keys)
    if '"' in joined or "\\" in joined:
        strings = tuple(text.replace("\\", "\\\\").replace('"', '\\"') for text in strings)
    actor, emitter, event_id, stream, subject, event_type = strings
    data = _write(
        actor, emitter, envelope, event_id, entry.index, entry.item, '","'.join(keys), ledgerid, payload, prev,
        format_time(entry.recorded_at), entry.revision, entry.sequence, stream, subject, event_type,
    )  # fmt: skip
    if len(data) > MAX_ENTRY:
        raise InputError(f"the entry has {len(data)} bytes; at most {MAX_ENTRY} are allowed")
    return data


def format_run(columns: Sequence[Sequence[Any]], start: int, ledgerid: str) -> list[bytes] | None:
    """Write entries that follow each other, column by column: a third of the time that `format_entry` takes for each.

    Args:
        columns: stream, revision, type, actor, id, emitter, sequence, subject, item, keys with commas between them,
            payload, envelope, prev (these three as bytes) and recorded_at, each of every entry. A store may hold
            anything in place of a value.
        start: index of the first one.
        ledgerid: of the log, 32 lower-case hex characters.

    Returns:
        What `format_entry` gives for each; None when it would refuse one, or a value is not as plain as values are:
        then they must be looked at one by one.
    """
    streams, revisions, types, actors, ids, emitters, sequences, subjects, items = columns[:9]
    keys, payloads, envelopes, prevs, times = columns[9:14]
    texts, integers = (streams, types, actors, ids, emitters, subjects), (revisions, sequences, items, times)
    try:
        joined = "".join(map("".join, texts))
        if not (
            joined.isascii()
            and joined.isprintable()
            and '"' not in joined
            and "\\" not in joined
            and all("" not in column and max(map(len, column)) <= MAX_HEADER_STRING for column in texts)
            and all({*map(type, column)} == {int} for column in integers)
            and all(min(column) >= 0 and max(column) <= MAX_INTEGER for column in integers[:3])
            and all({*map(len, column)} == {32} for column in (payloads, envelopes, prevs))
            and len(ledgerid) == 32
            and _is_hex(ledgerid)
        ):
            return None
        listed = {text: text.split(",") for text in {*keys}}
        for each in listed.values():
            _check_keys(each)
        quoted = {text: '","'.join(each) for text, each in listed.items()}
        written = map(
            _write, actors, emitters, map(bytes.hex, envelopes), ids, count(start), items, map(quoted.get, keys),
            repeat(ledgerid), map(bytes.hex, payloads), map(bytes.hex, prevs), map(format_time, times), revisions,
            sequences, streams, subjects, types,
        )  # fmt: skip
        found = list(written)
    except (InputError, TypeError, AttributeError, ValueError):
        return None
    return found if max(map(len, found)) <= MAX_ENTRY else None


def _of_type(value: dict[str, Any], name: str, kind: type) -> Any:
    if type(value[name]) is not kind:
        raise InputError(f"entry member {name} has a wrong type")
    return value[name]


def parse_entry(data: bytes) -> Entry:
    """Read an entry; accepted only if writing it again gives the same bytes.

    Args:
        data: at most 4,096 bytes.

    Returns:
        The columns.

    Raises:
        InputError: too large, another version, or any other form.
    """
    if len(data) > MAX_ENTRY:
        raise InputError(f"the entry has {len(data)} bytes; at most {MAX_ENTRY} are allowed")
    value = parse_json(data, what="entry", max_depth=2)
    if not isinstance(value, dict) or tuple(value) != _MEMBERS:
        raise InputError("an entry must have exactly the members of entry v1, in order")
    if _of_type(value, "v", int) != ENTRY_VERSION:
        raise InputError(f"entry version {value['v']} is unknown; this is version {ENTRY_VERSION}")
    keys = _of_type(value, "keys", list)
    if any(type(key) is not str for key in keys):
        raise InputError("entry member keys has a wrong type")
    columns: dict[str, Any] = {
        name: _of_type(value, name, int if name in _INTEGERS else str)
        for name in _MEMBERS
        if name not in ("keys", "recorded_at", "v")
    }
    entry = Entry(keys=tuple(keys), recorded_at=parse_time(_of_type(value, "recorded_at", str)), **columns)
    if format_entry(entry) != data:
        raise InputError("the entry is not written in its only form")
    return entry


def entry_hash(entry: Entry) -> bytes:
    """Return the leaf hash of an entry (RFC 9162 2.1.1), 32 bytes.

    Args:
        entry: the columns.

    Raises:
        InputError: as :func:`format_entry`.
    """
    return leaf_hash(format_entry(entry))
