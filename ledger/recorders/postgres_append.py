"""Calling the server-side append (`postgres_functions.sql`): arguments packed into arrays, outcomes made of the answer.

The arrays are written in PostgreSQL's binary form here, because twenty parameters that are adapted element by element
cost more than everything the server does for one event. They go to libpq as they are: a cursor, which would look at
each of them, costs twice what a signature does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import generators, pq
from psycopg.adapt import Transformer

from ledger.errors import InputError, LedgerError, StorageError
from ledger.mapper import SignedStoredEvent
from ledger.recorders.append import clock_behind
from ledger.recorders.layouts import refused
from ledger.recorders.units import StaleReadError, StoredAt, Unit, id_taken, number_taken

__all__ = ["call_append", "explain_refusal"]

# SQLSTATEs of our own, raised by the function.
_CLOCK_BEHIND = "MU001"
_OUT_OF_BOUNDS = "MU002"
_CLOSED = "MU003"
_NOT_STORED = "MU004"

_TYPES = (
    "int4", "int8", "text", "int4", "int4", "int8", "int4", "text", "text", "text", "text", "text", "int8", "text",
    "int4", "text", "bytea", "bytea", "bool", "bytea", "bytea",
)  # fmt: skip
_PARAMETERS = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_TYPES, 1))


class _Prepared:
    """What one connection has prepared: names of statements by their text, and a reader of answers."""

    def __init__(self) -> None:
        self.names: dict[str, bytes] = {}
        self.reader = Transformer()


#: What connections have prepared. Nothing here may hold on to a connection.
_PREPARED: WeakKeyDictionary[psycopg.Connection, _Prepared] = WeakKeyDictionary()


# -- arrays in PostgreSQL's binary form --------------------------------------------------------------

_NULL = b"\xff\xff\xff\xff"


def _pack(element: int, cells: Sequence[bytes]) -> bytes:
    # Dimensions, whether there may be NULLs, type of the elements; length and lower bound (src/backend/utils/adt/
    # arrayfuncs.c, array_recv).
    if not cells:
        return struct.pack("!iii", 0, 0, element)
    return struct.pack("!iiiii", 1, 1, element, len(cells), 1) + b"".join(cells)


def _int4s(values: Iterable[int]) -> bytes:
    return _pack(23, [struct.pack("!ii", 4, value) for value in values])


def _int8s(values: Iterable[int | None]) -> bytes:
    return _pack(20, [_NULL if value is None else struct.pack("!iq", 8, value) for value in values])


def _bools(values: Iterable[bool]) -> bytes:
    return _pack(16, [b"\0\0\0\1\1" if value else b"\0\0\0\1\0" for value in values])


def _sized(values: Iterable[bytes]) -> list[bytes]:
    return [len(value).to_bytes(4, "big") + value for value in values]


def _byteas(values: Iterable[bytes]) -> bytes:
    return _pack(17, _sized(values))


def _texts(values: Iterable[str]) -> bytes:
    return _pack(25, _sized(value.encode() for value in values))


# -- the call ----------------------------------------------------------------------------------------


def _arguments(units: Sequence[Unit]) -> list[bytes]:
    events = [event for unit in units for event in unit.events]
    reads = [(stream, revision) for unit in units for stream, revision in unit.reads.items()]
    streams: dict[str, int] = {}
    for stream in (*(str(event.originator_id) for event in events), *(stream for stream, _ in reads)):
        streams.setdefault(stream, len(streams) + 1)
    return [
        _int4s(_starts([len(unit.events) for unit in units])),
        _int8s(unit.authority for unit in units),
        _texts(streams),
        _int4s(_starts([len(unit.reads) for unit in units])),
        _int4s(streams[stream] for stream, _ in reads),
        _int8s(revision for _, revision in reads),
        _int4s(streams[str(event.originator_id)] for event in events),
        _texts(str(event.originator_id) for event in events),
        _texts(event.topic for event in events),
        _texts(event.actor for event in events),
        _texts(event.id for event in events),
        _texts(event.emitter for event in events),
        _int8s(event.sequence for event in events),
        _texts(event.subject for event in events),
        _int4s(event.item for event in events),
        _texts(",".join(event.keys) for event in events),
        _byteas(bytes.fromhex(event.payload) for event in events),
        _byteas(bytes.fromhex(event.envelope) for event in events),
        _bools(event.authority for event in events),
        _byteas(event.state for event in events),
        _byteas(event.signatures for event in events),
    ]


def _starts(counts: Sequence[int]) -> list[int]:
    """The number of the first item of each unit, counted from 1."""
    starts, place = [], 1
    for count in counts:
        starts.append(place)
        place += count
    return starts


def _ask(connection: psycopg.Connection, text: str, given: Sequence[bytes]) -> tuple[Any, ...]:
    """Run a statement with one row for an answer, prepared once a connection; parameters are in binary."""
    libpq = connection.pgconn
    with connection.lock:
        prepared = _PREPARED.get(connection)
        if prepared is None:
            prepared = _PREPARED[connection] = _Prepared()
        name = prepared.names.get(text)
        if name is None:
            name = b"muniment_%d" % len(prepared.names)
            libpq.send_prepare(name, text.encode())
            _result(connection, pq.ExecStatus.COMMAND_OK)
            prepared.names[text] = name
        libpq.send_query_prepared(name, given, [pq.Format.BINARY] * len(given), pq.Format.BINARY)
        prepared.reader.set_pgresult(_result(connection, pq.ExecStatus.TUPLES_OK))
        row = prepared.reader.load_row(0, tuple)
    assert row is not None  # noqa: S101 - a function with OUT parameters returns one row
    return row


def _result(connection: psycopg.Connection, wanted: pq.ExecStatus) -> pq.abc.PGresult:
    result: pq.abc.PGresult = connection.wait(generators.execute(connection.pgconn))[-1]
    if result.status != wanted:
        raise psycopg.errors.error_from_result(result, encoding="utf-8")
    return result


def _statement(
    schema: str, units: Sequence[Unit], now: int | None, until: int | None, stop: int | None
) -> tuple[str, list[bytes]]:
    """The call with its parameters: it fails where it is recorded at or after ``until``, or behind ``stop``."""
    given = _arguments(units)
    call, clock = "append", ""
    if now is not None:
        call, clock = "append_at", f"${len(given) + 1}::int8, "
        given.append(now.to_bytes(8, "big", signed=True))
    text = f"SELECT * FROM {schema}.{call}({clock}{_PARAMETERS}) AS done"  # noqa: S608 - a schema's name has been checked
    if until is not None:  # the statement fails, and nothing was appended, when it was recorded too late
        given.append(until.to_bytes(8, "big", signed=True))
        text += f" WHERE 1 / (done.recorded < ${len(given)}::int8)::int4 = 1"
    if stop is not None:  # the same, by another error, when it would stand behind the end of a key
        given.append(stop.to_bytes(8, "big", signed=True))
        last = "coalesce((SELECT max(position) FROM unnest(done.positions) AS position), 0)"
        text += f" {'WHERE' if until is None else 'AND'} sqrt((${len(given)}::int8 - {last})::float8) >= 0"
    return text, given


def call_append(
    connection: psycopg.Connection,
    schema: str,
    units: Sequence[Unit],
    now: int | None,
    known_at: Callable[[Sequence[int]], dict[int, StoredAt]],
) -> list[list[StoredAt] | LedgerError]:
    """Append units, which `separate` put together, by one call.

    Args:
        connection: in autocommit mode, so that the call is one durable transaction.
        schema: the log's schema.
        units: what to append.
        now: the clock, microseconds since the Unix epoch; the server's when None.
        known_at: finds entries by position, for events that were recorded before.

    Returns:
        One outcome a unit, as `append.append_units` gives it.

    Raises:
        StaleReadError: a role that one of them rests on has ended, or a key that signed one; nothing was appended.
        psycopg.Error: the call failed.
    """
    until = min((unit.until for unit in units if unit.until is not None), default=None)
    stop = min((unit.stop for unit in units if unit.stop is not None), default=None)
    text, given = _statement(schema, units, now, until, stop)
    try:
        answer = _ask(connection, text, given)
    except psycopg.errors.DivisionByZero:
        raise StaleReadError.expired(until or 0) from None
    except psycopg.errors.InvalidArgumentForPowerFunction:
        raise StaleReadError.key_ended(stop or 0) from None
    recorded, positions, revisions, leaves, known, refused, detail, seen = answer
    try:
        before = known_at([position for position in known if position is not None])
    except StorageError as error:
        raise StorageError(error.message, outcome_unknown=True, hint="Retrying with the same event is safe.") from error

    def place(at: int, event: SignedStoredEvent) -> StoredAt:
        if known[at] is not None:
            return before[known[at]]
        stream = str(event.originator_id)
        return StoredAt(positions[at] - 1, leaves[at], stream, revisions[at], recorded, existing=False)

    outcomes: list[list[StoredAt] | LedgerError] = []
    first = 0
    for number, unit in enumerate(units):
        if refused[number] is None:
            outcomes.append([place(at, event) for at, event in enumerate(unit.events, first)])
        else:
            outcomes.append(_refusal(unit, refused[number], detail[number] or 0, seen[number] or 0))
        first += len(unit.events)
    return outcomes


def _refusal(unit: Unit, why: str, which: int, seen: int) -> LedgerError:
    if why == "id":
        return id_taken(unit.events[which].id, seen - 1)
    if why == "sequence":
        return number_taken(unit.events[which].emitter, unit.events[which].sequence)
    if why == "stream":
        stream, revision = list(unit.reads.items())[which]
        return StaleReadError.moved(stream, revision, seen)
    return StaleReadError.partly_recorded() if why == "part" else StaleReadError.authority_moved()


def explain_refusal(error: psycopg.Error) -> LedgerError | None:
    """What the function means by an error of its own; None when it is another's."""
    if error.sqlstate == _CLOCK_BEHIND:
        _, now, last = str(error).splitlines()[0].rsplit(" ", 2)
        return clock_behind(int(now), int(last))
    if error.sqlstate == _OUT_OF_BOUNDS:
        return InputError("an event is out of the bounds of an entry (docs/FORMAT.md)")
    if error.sqlstate == _NOT_STORED:
        return InputError(str(error).splitlines()[0])
    if error.sqlstate == _CLOSED:
        return refused(int(str(error).splitlines()[0].rpartition(" ")[2]))
    return None
