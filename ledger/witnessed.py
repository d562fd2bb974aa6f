"""What witnesses cosigned already, as a store keeps it."""

from __future__ import annotations

from ledger.checkpoint import Checkpoint, VerifyHead
from ledger.checkpoints import cosignatures_of
from ledger.cosignature import read_cosignature
from ledger.errors import LedgerError
from ledger.findings import Witnessed
from ledger.merkle import root_hash
from ledger.note import VerifierKey, parse_vkey
from ledger.recorders.sql import SqlRecorder
from ledger.stored import BEHIND_ALL, head_at
from ledger.treereader import TreeReader
from ledger.witnesspolicy import Policy

__all__ = ["last_met", "last_witnessed"]

#: Rows that are looked through for the last cosignatures of all witnesses.
_LOOK_BACK = 1000


def last_witnessed(recorder: SqlRecorder) -> dict[VerifierKey, Witnessed]:
    """The largest head that each key cosigned, of the last 1,000 rows in a store; each is verified.

    Returns:
        By key. That a key is a witness's, a policy says.
    """
    found: dict[str, Witnessed] = {}
    size, reader = recorder.head().size, TreeReader(recorder)
    for item in recorder.attestations_before((size + 1, 0), _LOOK_BACK):
        if item.kind != "cosignature" or item.issuer in found:
            continue
        try:
            head = Checkpoint(recorder.identity().origin, item.size, root_hash(reader, item.size))
            good = read_cosignature(head, item.issuer, item.body)
        except (LedgerError, LookupError):  # `verify log` says so
            continue
        found[item.issuer] = Witnessed(item.size, good.time)
    return {parse_vkey(issuer): last for issuer, last in found.items()}


def last_met(recorder: SqlRecorder, verify_head: VerifyHead, policy: Policy, index: int) -> bytes | None:
    """The largest signed head that a quorum cosigned and that covers an entry.

    Args:
        recorder: the store.
        verify_head: checks a signed head of this log.
        policy: whose cosignatures count.
        index: of the entry.

    Returns:
        The signed note, None when there is none.

    Raises:
        VerificationError, AuthenticationError: a signed head in the store is not good.
    """
    before = (BEHIND_ALL, 0)
    while page := recorder.attestations_before(before, _LOOK_BACK):
        for size in sorted({item.size for item in page if item.kind == "cosignature"}, reverse=True):
            note = head_at(recorder, size) if size > index else None
            if note is not None:
                head = verify_head(note)
                if policy.met([item.vkey for item in cosignatures_of(recorder, head)]):
                    return note
        if page[-1].size <= index:
            return None
        before = (page[-1].size, page[-1].number)
    return None
