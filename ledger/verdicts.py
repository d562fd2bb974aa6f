"""What a verification concludes: one closed vocabulary, whatever was checked.

A verdict, faults that say what is wrong, and gaps that say what was not verified. The names are part of the machine
formats and never change; docs/FORMAT.md §22 lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["EXIT_OF", "FAULT_WORDS", "GAP_WORDS", "Fault", "Gap", "GapKind", "Verdict"]


class Verdict(StrEnum):
    """The conclusion."""

    VERIFIED = "verified"  # everything that was asked about is good; what was not asked is among the gaps
    BAD = "bad"  # at least one fault
    UNVERIFIED = "unverified"  # no fault, and what would make it mean something is missing


#: Exit code of a command that ends with a verdict.
EXIT_OF = {Verdict.VERIFIED: 0, Verdict.BAD: 1, Verdict.UNVERIFIED: 3}


class Fault(StrEnum):
    """What is wrong."""

    PAYLOAD = "payload"
    HEADER = "header"
    CHAIN = "chain"
    TREE = "tree"
    HEAD = "head"
    CHECKPOINT = "checkpoint"
    SIGNATURE = "signature"
    KEY = "key"
    LEGALITY = "legality"
    SCHEMA = "schema"
    SEQUENCE = "sequence"
    ANCHOR = "anchor"
    PROOF = "proof"
    BUNDLE = "bundle"


#: Each fault in words.
FAULT_WORDS = {
    Fault.PAYLOAD: "the content is not what the entry commits to, or is missing",
    Fault.HEADER: "the header columns are not what was signed, or not in their form",
    Fault.CHAIN: "an entry does not follow the one before it",
    Fault.TREE: "stored tiles are not those of the entries",
    Fault.HEAD: "the store's own row about its end, or its tables, do not fit the entries",
    Fault.CHECKPOINT: "a signed head does not fit the entries, is not signed as it must be, or is missing",
    Fault.SIGNATURE: "a signature of an event does not verify, or is not the one recorded",
    Fault.KEY: "a key that signed an event may not at that index",
    Fault.LEGALITY: "the rules in force at that index do not allow the event",
    Fault.SCHEMA: "an event does not have the form of its type",
    Fault.SEQUENCE: "an event, or its emitter's number, stands in the log twice",
    Fault.ANCHOR: "the log is not the one that somebody outside it vouches for",
    Fault.PROOF: "a proof does not lead to the root hash",
    Fault.BUNDLE: "the file is not a bundle in its only form",
}


class GapKind(StrEnum):
    """What was not verified."""

    LEVEL = "level"
    EARLIER = "earlier"
    UNSIGNED = "unsigned"
    UNANCHORED = "unanchored"
    UNWITNESSED = "unwitnessed"
    STALE = "stale"
    UNPINNED = "unpinned"
    OPAQUE = "opaque"
    SUSPECT = "suspect"
    ACKNOWLEDGED = "acknowledged"
    SEQUENCES = "sequences"
    WITHHELD = "withheld"
    SEALED = "sealed"
    CONTENT = "content"
    RULES = "rules"
    ATTESTATIONS = "attestations"
    SELECTION = "selection"


#: Each gap in words.
GAP_WORDS = {
    GapKind.LEVEL: "left out by the level of verification that was asked for",
    GapKind.EARLIER: "judged by an earlier verification, and not again",
    GapKind.UNSIGNED: "no signed head covers these entries",
    GapKind.UNANCHORED: "nobody outside the store vouches for these entries",
    GapKind.UNWITNESSED: "fewer witnesses than the policy asks for vouch for these entries",
    GapKind.STALE: "nobody outside the store said anything about this log as recently as was asked for",
    GapKind.UNPINNED: "who the ledger is, is only what it says of itself",
    GapKind.OPAQUE: "entries of types that are not known here: without effect, and not judged",
    GapKind.SUSPECT: "entries that a compromised key signed or made possible",
    GapKind.ACKNOWLEDGED: "void entries that an admin has acknowledged",
    GapKind.SEQUENCES: "numbers of an emitter that are not in the log, missing or declared",
    GapKind.WITHHELD: "content that is not there: the header is as labelled by the operator",
    GapKind.SEALED: "fields sealed with a data key that this store never had or has lost, and that no record erased",
    GapKind.CONTENT: "entries of which only the header is here, as labelled by the operator",
    GapKind.RULES: "rules that need entries whose content is not here",
    GapKind.ATTESTATIONS: "what witnesses, timestamps or publications say is there and was not checked",
    GapKind.SELECTION: "that nothing else belongs to the selection",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that was not verified.

    Attributes:
        kind: which.
        message: in words, with numbers.
        start: first entry concerned, None when it is about no place.
        stop: index behind the last entry concerned.
    """

    kind: GapKind
    message: str
    start: int | None = None
    stop: int | None = None

    def as_json(self) -> dict[str, object]:
        """For machine formats."""
        return {"kind": str(self.kind), "start": self.start, "stop": self.stop, "message": self.message}
