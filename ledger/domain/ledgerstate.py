"""The state of the ledger's own stream: root keys and rules in force, restores, legal holds, records of erasures."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from ledger.events.ledgers import RuleSet
from ledger.identity import LogKey, LogKeys
from ledger.keys import PublicKey
from ledger.note import parse_vkey

__all__ = ["ErasedWhole", "Erasure", "Hold", "LedgerState", "Restore"]


@dataclass(frozen=True, slots=True)
class Restore:
    """That the ledger went on from an old copy.

    Attributes:
        id: event id.
        index: leaf index of the entry that says so.
        size: entries of the copy.
        lost_from, lost_to: indexes of the entries that are lost, the last one excluded.
        reason: why.
    """

    id: str
    index: int
    size: int
    lost_from: int
    lost_to: int
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold that stands: nothing about streams that a pattern stands for may be erased.

    Attributes:
        id: event id of the entry that placed it.
        index: leaf index of that entry.
    """

    id: str
    index: int
    actor: str
    subjects: tuple[str, ...]
    matter: str
    reason: str
    custodian: str | None = None
    authority: str | None = None


@dataclass(frozen=True, slots=True)
class Erasure:
    """A record of an erasure: where it stands, who signed it, about whom and on which basis."""

    index: int
    actor: str
    subject: str
    basis: str
    reason: str
    recorded_at: int
    data_keys: tuple[str, ...]
    withheld: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ErasedWhole:
    """What a record says of an entry whose content may be missing."""

    record: int
    actor: str
    basis: str


def _none_withheld() -> MappingProxyType[tuple[int, str], ErasedWhole]:
    return MappingProxyType({})


def _no_keys() -> MappingProxyType[str, Erasure]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger's own stream.

    Attributes:
        vkey: verifier key of the checkpoints that entry 0 names.
        roots: root keys in force.
        threshold: how many of them a root event needs.
        acknowledged: void entries that an admin has seen, by leaf index and leaf hash.
        former_roots: key ids of root keys that were replaced.
        changes: later keys of the checkpoints.
        restores: when the ledger went on from an old copy, in order.
        holds: legal holds that stand.
        erasures: records of erasures, in log order.
        withheld: entries whose content may be missing, by leaf index and the stream that the record gives; a false one
            excuses nothing.
        erased_keys: data keys that were to be destroyed, with the first record that says so.
    """

    ledgerid: str
    origin: str
    vkey: str
    roots: tuple[PublicKey, ...]
    threshold: int
    rules: RuleSet
    acknowledged: frozenset[tuple[int, str]] = frozenset()
    former_roots: frozenset[str] = frozenset()
    changes: tuple[LogKey, ...] = ()
    restores: tuple[Restore, ...] = ()
    holds: tuple[Hold, ...] = ()
    erasures: tuple[Erasure, ...] = ()
    withheld: MappingProxyType[tuple[int, str], ErasedWhole] = field(default_factory=_none_withheld)
    erased_keys: MappingProxyType[str, Erasure] = field(default_factory=_no_keys)

    @property
    def log_keys(self) -> LogKeys:
        """All keys of the checkpoints."""
        return LogKeys((LogKey(parse_vkey(self.vkey)), *self.changes))
