"""Judging the entries of a bundle by the rules, as far as the contents that this takes are in it.

What `judge` reads are states of streams, and each is folded from the contents of its own stream. So a content that is
not there leaves open only what reads that stream, from there on; and what is left open leaves open its own stream. A
wrong judgement is worse than none: whatever reads a stream that is not all here is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.domain import RecordedEvent, judge, signing_keys
from ledger.envelope import Envelope, verify_envelope
from ledger.errors import AuthenticationError, LedgerError, VerificationError
from ledger.events import Erasable, known_event_type
from ledger.replay import open_row
from ledger.stored import Row
from ledger.verdicts import Fault
from ledger.worlds import StoreWorld, WorldAt

__all__ = ["RuleCheck", "Ruling"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of an entry whose content is there.

    Attributes:
        error: why it is void, or its content is bad; None when nothing is wrong with it.
        opaque: whether its type is not known here.
        blind: a stream that its judgement reads and that is not all here; empty when it was judged by all rules.
    """

    error: LedgerError | None = None
    opaque: bool = False
    blind: str = ""


class RuleCheck:
    """Takes the entries of a bundle in order.

    Args:
        world: over the bundle.
    """

    def __init__(self, world: StoreWorld) -> None:
        self._world = world
        self._unsure: dict[str, int] = {}  # stream: first index behind which its state is not known

    def missing(self, row: Row) -> None:
        """Take an entry whose content is not there."""
        if self._may_change(row):
            self._unsure.setdefault(row.entry.stream, row.entry.index)

    def judge(self, row: Row) -> Ruling:
        """Judge an entry whose content is there."""
        if not self._unsure:  # all before it is here
            verdict = self._world.judge_row(row).verdict
            return Ruling(verdict.error, opaque=verdict.kind == "opaque")
        index, world = row.entry.index, self._world.at(row.entry.index)
        try:
            event, envelope = open_row(row)
        except VerificationError as error:
            return Ruling(error)
        verdict = judge(world, event)
        blind = next((stream for stream in world.reads if self._unsure.get(stream, index) < index), "")
        if blind:  # keys, roles and who answers rest on what every bundle has, and are judged first
            self.missing(row)
            return Ruling(self._wrongly_signed(world, event, envelope), blind=blind)
        if not isinstance(verdict.error, AuthenticationError):
            bad = self._wrongly_signed(world, event, envelope)
            return Ruling(bad or verdict.error, opaque=verdict.kind == "opaque")
        return Ruling(verdict.error)

    def _may_change(self, row: Row) -> bool:
        """Whether an entry of which nobody knows whether it is valid may change the state of its stream.

        One that says of itself to be of a type without effect has none: signed as another type it is void. But the
        first one of a stream makes the difference between nothing and an empty state.
        """
        kind, entry = known_event_type(row.entry.type), row.entry
        if kind is None:
            return False
        if kind.erasable is not Erasable.WHOLE:
            return True
        return self._world.state_before(entry.stream, entry.index) is None

    @staticmethod
    def _wrongly_signed(world: WorldAt, event: RecordedEvent, envelope: Envelope) -> LedgerError | None:
        try:
            verify_envelope(envelope, signing_keys(world, event))
        except LedgerError as error:
            return VerificationError(error.message, fault=Fault.SIGNATURE, index=event.index)
        return None
