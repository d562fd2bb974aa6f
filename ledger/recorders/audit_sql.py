"""What a verification asks a store beside its rows: order and numbers, answered by the database in bounded memory.

Each question has a cheap form that walks one index and finds nothing in a good log; only what it finds suspicious is
then looked at exactly. ``after`` restricts a question to what entries with position > ``after`` touch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from ledger.findings import MAX_FINDINGS
from ledger.payload import MAX_SEQUENCE
from ledger.recorders.read_sql import COLUMNS, ENTRY_COLUMNS, FROM, ReadSql
from ledger.stored import Fields, Row

__all__ = ["HEADERS", "WITH_CONTENTS", "AuditSql"]

# Revisions lead down to 1, each behind the one before it, and are as many as the highest says: then each is there once.
# The plus makes SQLite walk along the index of revisions; a count makes PostgreSQL compare in bulk.
_LED_BY_NONE = """SELECT count(*) FROM $entry e WHERE +e.position > 0 AND e.revision > 1 {only} AND NOT EXISTS
    (SELECT 1 FROM $entry p WHERE p.stream = e.stream AND p.revision = e.revision - 1
    AND p.position > 0 AND p.position < e.position)"""
_UNEVEN = """SELECT count(*) FROM (SELECT 1 FROM $entry WHERE position > 0 {only} GROUP BY stream
    HAVING max(revision) <> count(*)) AS found"""
_REVISIONS = """SELECT position, last FROM (SELECT position, revision, lag(revision, 1, CAST(0 AS bigint)) OVER
    (PARTITION BY stream ORDER BY position) AS last FROM $entry WHERE position > 0 {only}) AS found
    WHERE revision <> last + 1 AND position > ? ORDER BY position LIMIT ?"""
_TOUCHED_STREAMS = "AND stream IN (SELECT stream FROM $entry WHERE position > ?)"

# One actor, numbers from 1, as many as the highest: with each number once, none is missing.
_GAPS = """SELECT emitter FROM $entry WHERE position > 0 {only} GROUP BY emitter
    HAVING max(sequence) <> count(*) OR min(sequence) < 1 OR min(actor) <> max(actor)"""
_TWICE = """SELECT emitter FROM $entry WHERE position > 0 {only} GROUP BY emitter, sequence, actor
    HAVING count(*) > 1"""
_TOUCHED_EMITTERS = "AND emitter IN (SELECT emitter FROM $entry WHERE position > ?)"
_REPEATED = """SELECT position FROM (SELECT position, sequence, row_number() OVER
    (PARTITION BY actor, emitter, sequence ORDER BY position) AS nth FROM $entry
    WHERE position > 0 AND emitter IN ({odd})) AS found
    WHERE (nth > 1 OR sequence < 1) AND position > ? ORDER BY position LIMIT ?"""
_MISSING = """SELECT min(position), max(sequence) - count(DISTINCT CASE WHEN sequence > 0 THEN sequence END)
    FROM $entry WHERE position > 0 AND emitter IN ({odd}) GROUP BY actor, emitter
    HAVING max(sequence) > count(DISTINCT CASE WHEN sequence > 0 THEN sequence END)"""

_OF_NUMBERS = "FROM $entry WHERE position > 0 AND emitter = ? AND actor = ? AND sequence >= ? AND sequence <= ?"
_NUMBERS = f"SELECT count(DISTINCT sequence), coalesce(max(sequence), 0), coalesce(max(recorded_at), 0) {_OF_NUMBERS}"
_RANGES = f"""SELECT last + 1, sequence - 1 FROM (SELECT sequence, lag(sequence, 1, CAST(? AS bigint)) OVER
    (ORDER BY sequence) AS last {_OF_NUMBERS}) AS found WHERE sequence > last + 1 ORDER BY 1 LIMIT ?"""  # noqa: S608
# ';' follows ':' in ASCII, so this is a range on the index (stream, revision).
_EMITTERS = "FROM $entry e WHERE e.stream > ? AND e.stream < 'emitter;' {only} ORDER BY e.stream LIMIT 500"
_SPOKEN_OF = """AND (emitter IN (SELECT emitter FROM $entry WHERE position > ?) OR emitter IN
    (SELECT substr(stream, 9) FROM $entry WHERE position > ? AND stream > 'emitter:' AND stream < 'emitter;'))"""
_TOUCHED_EMITTER_STREAMS = """AND (e.stream IN (SELECT stream FROM $entry WHERE position > ?)
    OR e.stream IN (SELECT 'emitter:' || emitter FROM $entry WHERE position > ?))"""
# In order of their numbers, each entry stands behind the one before; one that does not was overtaken.
# The first walks the index in its order, all actors of an emitter together: what ascends there ascends for each.
_OUT_OF_ORDER = """SELECT emitter FROM (SELECT emitter, position, lag(position, 1, CAST(0 AS bigint)) OVER
    (PARTITION BY emitter ORDER BY sequence, actor, position) AS before FROM $entry WHERE position > 0 {only}) AS found
    WHERE position < before"""
_OVERTAKEN = """SELECT actor, emitter, count(*) FROM (SELECT actor, emitter, position,
    lag(position, 1, CAST(0 AS bigint)) OVER (PARTITION BY emitter, actor ORDER BY sequence, position) AS before
    FROM $entry WHERE position > 0 AND emitter IN ({odd})) AS found
    WHERE position < before GROUP BY actor, emitter ORDER BY 1, 2 LIMIT ?"""


_BETWEEN = "WHERE e.position > ? AND e.position <= ? ORDER BY e.position"
#: Entries behind one position up to another; and with their contents, the bounds given twice: so PostgreSQL walks over
#: both tables side by side.
HEADERS = f"FROM $entry e {_BETWEEN}"
WITH_CONTENTS = f"{FROM} AND c.position > ? AND c.position <= ? {_BETWEEN}"


class AuditSql(ReadSql):
    """The part of `stored.AuditReader` that is the same on both backends."""

    def span(self, start: int, stop: int, *, contents: bool) -> Sequence[Fields]:
        """See `AuditReader.span`."""
        if not contents:
            return self._run_text("SELECT ", ENTRY_COLUMNS, HEADERS, (start, stop))
        return self._run_text("SELECT ", COLUMNS, WITH_CONTENTS, (start, stop, start, stop))

    def spans(self, wanted: Iterable[tuple[int, int]], *, contents: bool) -> Iterator[Sequence[Fields]]:
        """See `AuditReader.spans`."""
        return (self.span(start, stop, contents=contents) for start, stop in wanted)

    def counts(self, after: int = 0) -> tuple[int, int, int, int]:
        """See `AuditReader.counts`."""
        where = "WHERE position > ? OR position < 1" if after else ""
        found = self._run(
            f"SELECT (SELECT count(*) FROM $entry {where}), (SELECT count(*) FROM $content {where}), "  # noqa: S608
            "(SELECT count(*) FROM $tile), (SELECT count(*) FROM $tile WHERE level < 0 OR level > 7)",
            (after, after) if after else (),
        )
        entries, contents, tiles, odd = found[0]
        return entries, contents, tiles, odd

    def repeated_ids(self, after: int = 0) -> list[int]:
        """See `AuditReader.repeated_ids`; in a SQLite file the index was compared with the rows before."""
        only = "WHERE (id, actor) IN (SELECT id, actor FROM $entry WHERE position > ?)" if after else ""
        sql = f"SELECT max(position) FROM $entry {only} GROUP BY id, actor HAVING count(*) > 1 ORDER BY 1 LIMIT 10"  # noqa: S608
        return [position - 1 for (position,) in self._run(sql, (after,) if after else ())]

    def revision_faults(self, after: int) -> Sequence[tuple[int, int]]:
        """See `AuditReader.revision_faults`."""
        only, touched = (_TOUCHED_STREAMS, (after,)) if after else ("", ())
        if not any(self._run(sql.format(only=only), touched)[0][0] for sql in (_LED_BY_NONE, _UNEVEN)):
            return ()
        found = self._run(_REVISIONS.format(only=only), (*touched, after, MAX_FINDINGS))
        return [(position - 1, last) for position, last in found]

    def recurring_datasets(self, after: int) -> Collection[str]:
        """See `AuditReader.recurring_datasets`."""
        # ';' follows ':' in ASCII, so this is a range on the index (stream, revision).
        only, touched = (_TOUCHED_STREAMS, (after,)) if after else ("", ())
        tail = f"FROM $entry e WHERE e.stream >= ? AND e.stream < ? {only} GROUP BY e.stream, e.subject"
        kept = "HAVING count(*) > 1 OR max(CASE WHEN e.type = ? THEN 1 ELSE 0 END) = 1"
        values = ("dataset:", "dataset;", *touched, "muniment.quarantine.placed.v1")
        found = self._run_text("SELECT DISTINCT ", ("e.stream",), f"{tail} {kept}", values)
        return frozenset(stream for (stream,) in found)

    def _any(self, question: str, parameters: Fields) -> bool:
        return bool(self._run(f"SELECT 1 FROM ({question}) AS found LIMIT 1", parameters))  # noqa: S608 - constants

    def sequence_faults(self, after: int) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        """See `AuditReader.sequence_faults`."""
        only, touched = (_TOUCHED_EMITTERS, (after,)) if after else ("", ())
        gaps, twice = _GAPS.format(only=only), _TWICE.format(only=only)
        if not self._any(gaps, touched) and not self._any(twice, touched):
            return (), ()
        odd, parameters = f"{gaps} UNION {twice}", (*touched, *touched)
        repeated = self._run(_REPEATED.format(odd=odd), (*parameters, after, MAX_FINDINGS))
        missing = self._run(_MISSING.format(odd=odd), parameters)
        return [position - 1 for (position,) in repeated], [(position - 1, count) for position, count in missing]

    def numbers(self, actor: str, emitter: str, first: int, last: int | None) -> tuple[int, int, int]:
        """See `EmitterReader.numbers`."""
        bound = MAX_SEQUENCE if last is None else last
        ((count, highest, recorded_at),) = self._run(_NUMBERS, (emitter, actor, first, bound))
        return count, highest, recorded_at

    def gap_ranges(self, actor: str, emitter: str, first: int, last: int, limit: int) -> Sequence[tuple[int, int]]:
        """See `EmitterReader.gap_ranges`."""
        found = self._run(_RANGES, (first - 1, emitter, actor, first, last, limit))
        ranges = [(start, stop) for start, stop in found]
        top = max(self.numbers(actor, emitter, first, last)[1], first - 1)
        return [*ranges, (top + 1, last)][:limit] if top < last else ranges

    def emitter_streams(self, after: int) -> Iterator[str]:
        """See `EmitterReader.emitter_streams`."""
        only, touched = (_TOUCHED_EMITTER_STREAMS, (after, after)) if after else ("", ())
        stream = "emitter:"
        sql = _EMITTERS.format(only=only)
        while found := self._run_text("SELECT DISTINCT ", ("e.stream",), sql, (stream, *touched)):
            yield from (name for (name,) in found)
            if found[-1][0] <= stream:  # bytes that are no text, so that nothing follows it in this order
                return
            stream = found[-1][0]

    def emitter_rows(self, stream: str, topic: str, limit: int, *, newest: bool) -> Sequence[Row]:
        """See `EmitterReader.emitter_rows`."""
        order = "DESC" if newest else "ASC"
        tail = f"WHERE e.stream = ? AND e.type = ? ORDER BY e.revision {order} LIMIT ?"
        return self._select(tail, (stream, topic, limit))

    def overtaken(self, after: int) -> Sequence[tuple[str, str, int]]:
        """See `EmitterReader.overtaken`."""
        only, touched = (_SPOKEN_OF, (after, after)) if after else ("", ())
        odd = _OUT_OF_ORDER.format(only=only)
        if not self._any(odd, touched):
            return []
        found = self._run(_OVERTAKEN.format(odd=odd), (*touched, MAX_FINDINGS))
        return [(actor, emitter, count) for actor, emitter, count in found]
