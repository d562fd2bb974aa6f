"""What a log holds, as plain values, and the reading side every store offers.

Nothing here knows SQL: verification and judging read through `LogReader`, whatever lies behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from ledger.entry import Entry
from ledger.merkle import EMPTY_ROOT, CompactRange

__all__ = [
    "ATTESTATION_KINDS",
    "BEFORE_ALL",
    "BEHIND_ALL",
    "NOTHING_SIGNED",
    "Attestation",
    "AuditReader",
    "Fields",
    "Head",
    "LogIdentity",
    "LogReader",
    "Row",
    "SignedHead",
    "StoredCheckpoint",
    "Tile",
    "Transfer",
    "attestations_behind",
    "head_at",
    "heads_behind",
    "row_of",
]

#: One row as the store gives it.
Fields = tuple[Any, ...]

#: Below and above every size that a row can have, whoever wrote it.
BEFORE_ALL, BEHIND_ALL = -(2**63), 2**63 - 1
#: Signed heads, or what outsiders said of them, that are read at a time.
_PAGE = 500


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which log this is: 32 hex digits, and its name in checkpoints."""

    ledgerid: str
    origin: str


@dataclass(frozen=True, slots=True)
class Head:
    """The store's own note of where it stands.

    Attributes:
        size: number of entries.
        last_leaf: leaf hash of the last entry (32 zero bytes when empty).
        peaks: peaks of the compact range, concatenated.
        recorded_at: of the last entry, microseconds since the Unix epoch.
        authority: index of the last change of keys, actors, rules or quarantines, -1 when there was none.
    """

    size: int
    last_leaf: bytes
    peaks: bytes
    recorded_at: int
    authority: int

    def root(self) -> bytes:
        """Root hash of this size."""
        return CompactRange.from_bytes(self.size, self.peaks).root()


@dataclass(frozen=True, slots=True)
class Row:
    """One committed entry with its content.

    Attributes:
        entry: the header columns.
        leaf_hash: the leaf hash as stored.
        payload: the signed bytes, or None when they are gone.
        signatures: the envelope's signatures as JSON, or None when they are gone.
    """

    entry: Entry
    leaf_hash: bytes
    payload: bytes | None
    signatures: bytes | None


def row_of(fields: Fields, ledgerid: str) -> Row:
    """Make a row of what a store gives.

    Args:
        fields: position, stream, revision, type, actor, id, emitter, sequence, subject, item, keys, payload digest,
            envelope digest, prev, recorded_at, leaf hash and, when contents were asked for, payload and signatures.
        ledgerid: of the log.
    """
    (position, stream, revision, kind, actor, event_id, emitter, sequence, subject, item) = fields[:10]
    keys, payload, envelope, prev, recorded_at, leaf_hash = fields[10:16]
    content, signatures = fields[16:] or (None, None)
    entry = Entry(
        actor, emitter, bytes(envelope).hex(), event_id, position - 1, item, tuple(keys.split(",")), ledgerid,
        bytes(payload).hex(), bytes(prev).hex(), recorded_at, revision, sequence, stream, subject, kind,
    )  # fmt: skip
    return Row(entry, leaf_hash, content, signatures)


@dataclass(frozen=True, slots=True)
class Tile:
    """A full tile: 256 hashes and the root over them."""

    level: int
    index: int
    hashes: bytes
    root: bytes


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A head that was signed: its size and the exact bytes of the note."""

    size: int
    note: bytes


@dataclass(frozen=True, slots=True)
class SignedHead:
    """The row of the last signed head: its size and its root hash."""

    size: int
    root: bytes


#: What the row says before anything was signed: the empty tree (RFC 6962 2.1).
NOTHING_SIGNED = SignedHead(0, EMPTY_ROOT)

#: What outsiders say about a signed head: a C2SP cosignature, an RFC 3161 timestamp, that it was published somewhere.
ATTESTATION_KINDS = ("cosignature", "rfc3161", "published")


@dataclass(frozen=True, slots=True)
class Attestation:
    """What an outsider said about a signed head.

    Attributes:
        number: in order of recording, from 1.
        size: of the signed head.
        kind: one of `ATTESTATION_KINDS`.
        issuer: who said it; of a cosignature, the witness's verifier key.
        body: the exact bytes; of a cosignature, the signature line without its line end.
        recorded_at: when it was stored, microseconds since the Unix epoch by the store's clock.
    """

    number: int
    size: int
    kind: str
    issuer: str
    body: bytes
    recorded_at: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """What made a store a copy of another; with it a store begins closed.

    Attributes:
        kind: ``copy``, ``backup`` or ``restore``.
        token: 32 hex digits that name this very copy.
        manifest: what a backup says of itself, as JSON; empty for the others.
    """

    kind: str
    token: str
    manifest: bytes = b""


class LogReader(Protocol):
    """Reading a log. Every method answers from committed rows and reads no more than it is asked for."""

    def identity(self) -> LogIdentity:
        """Which log this is."""

    def head(self) -> Head:
        """The head row."""

    def rows(self, start: int, limit: int) -> Sequence[Row]:
        """At most ``limit`` rows with index >= ``start``, in order."""

    def stream_rows(self, stream: str, start: int, stop: int, after: int = ...) -> Sequence[Row]:
        """Rows of one stream with ``start`` <= index < ``stop``, in order.

        Args:
            stream: its name.
            start: first index.
            stop: index behind the last.
            after: revision up to which the rows are known already; it saves walking over them.
        """

    def authority_streams(self) -> Sequence[str]:
        """Names of all streams of actors."""

    def authority_rows(self, start: int, stop: int) -> Sequence[Row]:
        """Rows of all streams of actors with ``start`` <= index < ``stop``, in order."""

    def quarantines(self, start: int, stop: int) -> Sequence[tuple[int, str]]:
        """Index and stream of every quarantine with ``start`` <= index < ``stop``, in order; valid or not."""

    def actor_rows(self, actor: str, start: int, stop: int, limit: int) -> Sequence[Row]:
        """At most ``limit`` rows of one author with ``start`` <= index < ``stop``, in order; walks over the others."""

    def leaf_hashes(self, start: int, stop: int) -> Sequence[bytes]:
        """Leaf hashes of indexes in [start, stop)."""

    def tile(self, level: int, index: int) -> Tile | None:
        """A full tile, or None."""

    def tile_roots(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """Roots of the full tiles of a level with index in [start, stop)."""

    def tiles(self, level: int, start: int, limit: int) -> Sequence[Tile]:
        """Stored tiles of one level with index >= ``start``, in order."""

    def checkpoints(self, after: int, limit: int) -> Sequence[StoredCheckpoint]:
        """Signed heads of size > ``after``, in order."""

    def last_checkpoint(self) -> StoredCheckpoint | None:
        """The largest signed head."""

    def signed_head(self) -> SignedHead | None:
        """The row of the last signed head, None when it is gone."""

    def attestations(self, after: tuple[int, int], limit: int) -> Sequence[Attestation]:
        """What outsiders said, in order of size and number.

        Args:
            after: (size, number) behind which to begin; (-1, 0) for all.
            limit: at most so many.
        """

    def attestations_before(self, before: tuple[int, int], limit: int) -> Sequence[Attestation]:
        """What outsiders said about heads of less than (size, number), the largest first."""

    def successor(self) -> tuple[str, bytes] | None:
        """Where the ledger has moved and the signed note that says so, None while this store takes entries."""

    def snapshot(self) -> AbstractContextManager[None]:
        """A block in which everything read is of one moment, whoever appends meanwhile."""


class EmitterReader(Protocol):
    """What is asked of a store about the numbers of emitters."""

    def overtaken(self, after: int) -> Sequence[tuple[str, str, int]]:
        """Emitters whose events are recorded in another order than they are numbered, the first ones by name.

        Returns:
            (actor, emitter, how many events were recorded before the one numbered before them).
        """

    def emitter_streams(self, after: int) -> Iterator[str]:
        """Streams ``emitter:…`` in order; those that are about, or from an emitter of, entries with index >= after."""

    def emitter_rows(self, stream: str, topic: str, limit: int, *, newest: bool) -> Sequence[Row]:
        """Rows of one type in a stream, in log order, or the newest first."""

    def numbers(self, actor: str, emitter: str, first: int, last: int | None) -> tuple[int, int, int]:
        """Of an emitter's numbers from ``first`` to ``last``: how many are in the log, the highest, when last recorded.

        Returns:
            Zeros when there is none; the time in microseconds since the Unix epoch.
        """

    def gap_ranges(self, actor: str, emitter: str, first: int, last: int, limit: int) -> Sequence[tuple[int, int]]:
        """The first ranges of an emitter's numbers from ``first`` to ``last`` that are not in the log."""


class AuditReader(LogReader, EmitterReader, Protocol):
    """What a verification of the whole log asks beside `LogReader`.

    Where there is an ``after``, it is a number of entries at the beginning that are not asked about.
    """

    def span(self, start: int, stop: int, *, contents: bool) -> Sequence[Fields]:
        """Rows with ``start`` <= index < ``stop``, in order, as `row_of` takes them."""

    def spans(self, wanted: Iterable[tuple[int, int]], *, contents: bool) -> Iterator[Sequence[Fields]]:
        """`span` for each pair of bounds, inside `snapshot`; the store may work on the next ones meanwhile."""

    def structure_faults(self, *, deep: bool = ...) -> Sequence[str]:
        """What is wrong with tables and indexes themselves, so that reading one way and another could differ.

        Args:
            deep: compare every index with its table too, which takes a walk over everything.
        """

    def counts(self, after: int = ...) -> tuple[int, int, int, int]:
        """Numbers of entries and contents with index >= ``after``, of full tiles, and of tiles no log reaches."""

    def repeated_ids(self, after: int = ...) -> Sequence[int]:
        """Indexes of entries whose author's id stands at an earlier entry too, at most ten."""

    def revision_faults(self, after: int) -> Sequence[tuple[int, int]]:
        """The first entries whose revision does not follow the one before in their stream.

        Returns:
            (index, revision before it) in order of the index.
        """

    def recurring_datasets(self, after: int) -> Collection[str]:
        """Streams of data sets in which some subject stands more than once, or was put in quarantine."""

    def sequence_faults(self, after: int) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        """What is wrong with emitters' numbers.

        Returns:
            Indexes of the first entries whose number their emitter had used before, and for each emitter some of whose
            numbers are missing (index of an entry of its, how many).
        """


def head_at(log: LogReader, size: int) -> bytes | None:
    """The note of the head that is stored at exactly this size, None when none is.

    Args:
        log: the store.
        size: the size.
    """
    return next((head.note for head in log.checkpoints(size - 1, 1) if head.size == size), None)


def heads_behind(log: LogReader, after: int = BEFORE_ALL) -> Iterator[StoredCheckpoint]:
    """The signed heads in a store, smallest first, read page by page.

    Args:
        log: the store.
        after: only heads that are larger.
    """
    while page := log.checkpoints(after, _PAGE):
        yield from page
        after = page[-1].size


def attestations_behind(
    log: LogReader, kinds: Collection[str], after: tuple[int, int] = (BEFORE_ALL, 0)
) -> Iterator[Attestation]:
    """What outsiders said of the signed heads in a store, by size and number, read page by page.

    Args:
        log: the store.
        kinds: only of these kinds.
        after: only what is behind this size and number.
    """
    while page := log.attestations(after, _PAGE):
        yield from (item for item in page if item.kind in kinds)
        after = (page[-1].size, page[-1].number)
