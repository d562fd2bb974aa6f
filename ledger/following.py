"""Following a log from the keys that are pinned to those that sign its heads now.

Nothing of it rests on the store's word: entry 0 is the pinned one, it names the root keys, they signed each change, and
the first head behind a change covers it and is signed as the change demands.
"""

from __future__ import annotations

from ledger.domain import LedgerState
from ledger.entry import entry_hash
from ledger.errors import InputError, VerificationError
from ledger.identity import LogKey, LogKeys, Trust
from ledger.merkle import prove_inclusion
from ledger.merkleproof import verify_inclusion
from ledger.recorders.sql import SqlRecorder
from ledger.stored import heads_behind
from ledger.treereader import TreeReader
from ledger.worlds import StoreWorld

__all__ = ["follow_keys", "ledger_state_of"]


def ledger_state_of(recorder: SqlRecorder) -> LedgerState | None:
    """State of a log's own stream, each of its rows checked and judged; None when entry 0 is missing or bad."""
    world = StoreWorld(recorder)
    state = world.state_before(f"ledger:{world.ledgerid}", world.refresh())
    return state if isinstance(state, LedgerState) else None


def _check_entry(recorder: SqlRecorder, index: int) -> bytes:
    rows = recorder.rows(index, 1)
    try:
        leaf = entry_hash(rows[0].entry) if rows and rows[0].entry.index == index else b""
    except InputError:
        leaf = b""
    if not leaf or leaf != rows[0].leaf_hash:
        raise VerificationError(f"entry {index} is missing or altered", fault="header", index=index)
    return leaf


def _proven(recorder: SqlRecorder, keys: LogKeys, key: LogKey) -> bool:
    """Whether a head that is signed as it must be covers a change; False while there is none yet."""
    index = key.since - 1
    found = next(heads_behind(recorder, index), None)
    if found is None:
        return False
    head = keys.verify(found.note, index)
    if head.size != found.size:
        raise VerificationError(
            f"the signed head stored at size {found.size} is about size {head.size}", fault="checkpoint"
        )
    try:
        hashes = prove_inclusion(TreeReader(recorder), index, head.size)
    except LookupError:
        raise VerificationError("the store lost hashes of the tree", fault="tree") from None
    verify_inclusion(_check_entry(recorder, index), index, head.size, hashes, head.root)
    return True


def follow_keys(recorder: SqlRecorder, state: LedgerState, trust: Trust) -> Trust:
    """Learn the keys that sign a log's heads now, starting from those pinned.

    Args:
        recorder: the store.
        state: state of the log's own stream, folded from checked rows.
        trust: what is pinned.

    Returns:
        The pinned identity with the keys that came since; the same when none did, or none is in use yet.

    Raises:
        VerificationError: the log is not the pinned one, or a change is not covered by a head signed as it must be.
        AuthenticationError: such a head is not signed by the keys it must be signed by.
    """
    keys = state.log_keys
    if found := trust.contradiction(keys, recorder.head().size):
        raise VerificationError(found[1], fault="anchor", index=found[0])
    if len(keys.keys) <= len(trust.vkeys):
        return trust
    if _check_entry(recorder, 0).hex() != trust.genesis:
        raise VerificationError("entry 0 is not the one the trust file pins", fault="anchor", index=0)
    proven = [keys.keys[0]]
    for key in keys.keys[1:]:
        if not _proven(recorder, keys, key):
            break
        proven.append(key)
    return trust.follow(LogKeys(tuple(proven)))
