"""Signing heads: only after the commit is durable, only forward, and only what was read again.

Everything since the last signed head is recomputed from the stored bytes before a new head is signed,
so that a bit that flipped in the store is found and never signed (the end of the CT log Yeti 2022).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.cosignature import Cosignature, read_cosignature
from ledger.crashpoints import crashpoint
from ledger.entry import ZERO_HASH, entry_hash
from ledger.errors import ConfigurationError, LedgerError, NothingToVerifyError, StorageError, VerificationError
from ledger.identity import LogKeys
from ledger.keys import Signer
from ledger.merkle import CompactRange, peaks_of, prove_consistency
from ledger.merkleproof import verify_consistency
from ledger.note import VerifierKey
from ledger.recorders.sql import SqlRecorder
from ledger.stored import NOTHING_SIGNED, Attestation, Row, SignedHead, StoredCheckpoint
from ledger.treereader import TreeReader

__all__ = ["GENESIS_SIZE", "check_extends", "cosignatures_of", "extend_range", "sign_as_needed", "sign_head"]

_PAGE = 1000
_ATTEMPTS = 100
#: Entries of a new ledger, whose head is signed when it is made.
GENESIS_SIZE = 2


def _check_row(row: Row, index: int, prev: bytes) -> bytes:
    leaf = entry_hash(row.entry)
    if row.entry.index != index:
        raise VerificationError(f"entry {index} is missing", fault="chain", index=index)
    if leaf != row.leaf_hash:
        raise VerificationError(f"entry {index}: its columns do not give its leaf hash", fault="header", index=index)
    if row.entry.prev != prev.hex():
        raise VerificationError(f"entry {index} does not follow entry {index - 1}", fault="chain", index=index)
    if row.payload is not None and hashlib.sha256(row.payload).hexdigest() != row.entry.payload:
        raise VerificationError(f"entry {index}: the payload is not the one recorded", fault="payload", index=index)
    return leaf


def _last_leaf(recorder: SqlRecorder, size: int) -> bytes:
    return recorder.leaf_hashes(size - 1, size)[0] if size else bytes.fromhex(ZERO_HASH)


def extend_range(recorder: SqlRecorder, grown: CompactRange, stop: int) -> CompactRange:
    """Extend the range over the first entries by those up to ``stop``, each read again from its stored bytes.

    Args:
        recorder: the store.
        grown: range over the entries that were checked.
        stop: size to reach.

    Returns:
        The range over ``stop`` entries.

    Raises:
        VerificationError: an entry is missing, altered, or does not follow the one before.
    """
    prev = _last_leaf(recorder, grown.size)
    while grown.size < stop:
        rows = recorder.rows(grown.size, min(_PAGE, stop - grown.size))
        if not rows:
            raise VerificationError(f"entry {grown.size} is missing", fault="chain", index=grown.size)
        for row in rows:
            prev = _check_row(row, grown.size, prev)
            grown = grown.append(prev)
    return grown


def sign_as_needed(head: Checkpoint, before: int, keys: LogKeys, signers: Sequence[Signer]) -> bytes:
    """Sign a head with the key of its size, and with the old one too where a change of the key is new.

    Args:
        head: the head; its tree must be durable.
        before: size of the signed head before it, 0 for none.
        keys: all keys of the log.
        signers: the private keys at hand.

    Returns:
        The note.

    Raises:
        ConfigurationError: a key that must sign is not among them.
    """
    here = {signer.public.raw: signer for signer in signers}
    chosen = []
    for vkey in keys.needed(before, head.size):
        if vkey.public in here:
            chosen.append(here[vkey.public])
        elif not chosen:
            raise ConfigurationError(
                f"no key given for signing heads is the checkpoint key {vkey.key_hash.hex()} of {vkey.name}",
                hint="`muniment checkpoint keys` shows it; keep exactly that key under the name 'checkpoint'.",
            )
        else:
            raise ConfigurationError(
                f"the first head behind the change of the checkpoint key must be signed by the old key "
                f"{vkey.key_hash.hex()} too, and it is not here",
                hint="Sign this one head where both keys are; when the old key is lost, the roots say so: "
                "muniment root propose checkpoint-key --lost",
            )
    return sign_checkpoint(head, *chosen)


def sign_head(recorder: SqlRecorder, signers: Sequence[Signer], keys: Callable[[], LogKeys]) -> bytes:
    """Sign the present head and store the note, or return the note that already covers it.

    Args:
        recorder: the store.
        signers: the checkpoint keys at hand: the present one, and the one before it until a head behind its change is
            signed.
        keys: gives the keys of the log, asked for when the head was read.

    Returns:
        The signed note.

    Raises:
        ConfigurationError: a key that must sign is not here.
        NothingToVerifyError: the log is empty.
        VerificationError: the stored bytes do not extend the last signed head; nothing is signed.
    """
    for _ in range(_ATTEMPTS):
        session = recorder.session()
        try:
            note = _sign_present(recorder, signers, keys, session)
        except VerificationError:
            if recorder.session() == session:
                raise
            continue  # what was read before a failover need not fit what was read after it
        if note is not None:
            return note
    raise StorageError("others kept signing heads of this log", hint="Retry in a moment.")


def _last_signed(row: SignedHead | None, last: StoredCheckpoint | None, keys: LogKeys) -> SignedHead:
    """The head that the next one must extend: what the row says, and the last stored note, which must agree."""
    if row is None:
        raise VerificationError("the row of the last signed head is gone from the store", fault="checkpoint")
    signed = NOTHING_SIGNED
    if last is not None:
        found = keys.verify(last.note)
        if found.size != last.size:
            words = f"the signed head stored at size {last.size} is about size {found.size}"
            raise VerificationError(words, fault="checkpoint")
        signed = SignedHead(found.size, found.root)
    if row != signed:
        raise VerificationError(
            f"a head of size {row.size} was signed last, and the last one in the store is of size {signed.size}: "
            "signed heads were removed or put in",
            fault="checkpoint",
            hint="Nothing is signed over that. Keep the store as it is and run: muniment verify log",
        )
    return signed


def _sign_present(
    recorder: SqlRecorder, signers: Sequence[Signer], keys: Callable[[], LogKeys], session: int
) -> bytes | None:
    """One attempt; None when somebody else was faster or the server changed meanwhile."""
    # In this order: others append and sign between the two, and a head signed after `head` was read looks forked.
    (row, last), head = recorder.last_signed(), recorder.head()
    if head.size == 0:
        raise NothingToVerifyError("the log is empty, so there is no head to sign")
    # Before signing, not only after: a key that signed what a failover took away has signed two histories.
    recorder.settle()
    known = keys()
    signed = _last_signed(row, last, known)
    if last is not None and signed.size == head.size:
        return last.note if recorder.session() == session else None
    if last is None and head.size != GENESIS_SIZE:  # both entries are appended at once, and a head is signed then
        raise VerificationError("the signed heads of this log are gone from the store", fault="checkpoint")
    size = signed.size
    grown = CompactRange(size, tuple(TreeReader(recorder).read_hashes(peaks_of(size)))) if size else CompactRange(0, ())
    if size > head.size or grown.root() != signed.root:
        raise VerificationError(f"the store no longer extends the head signed at size {size}", fault="tree", index=None)
    grown = extend_range(recorder, grown, head.size)
    if grown.root() != head.root():
        raise VerificationError("the head row does not fit the entries", fault="head", index=None)
    if recorder.session() != session:
        return None
    present = Checkpoint(recorder.identity().origin, head.size, grown.root())
    note = sign_as_needed(present, size, known, signers)
    crashpoint("checkpoint.signed")
    if not recorder.add_checkpoint(SignedHead(head.size, grown.root()), note, signed):
        return None
    crashpoint("checkpoint.stored")
    return note


def check_extends(recorder: SqlRecorder, known: Checkpoint) -> None:
    """Check that the store still extends a head seen before; reads O(log n) hashes.

    Args:
        recorder: the store.
        known: the head.

    Raises:
        VerificationError: fault ``anchor``: it shrank or forked.
    """
    head = recorder.head()
    if head.size < known.size:
        raise VerificationError(
            f"the log shrank: it had {known.size} entries when this machine last saw it and has {head.size} now",
            fault="anchor",
            hint="Keep the store as it is and run: muniment verify log",
        )
    reader = TreeReader(recorder)
    try:
        proof = prove_consistency(reader, known.size, head.size)
        verify_consistency(known.size, known.root, head.size, head.root(), proof)
    except (VerificationError, LookupError) as error:
        raise VerificationError(
            f"the log is not the one seen before: its first {known.size} entries give another root",
            fault="anchor",
            hint="Keep the store as it is and run: muniment verify log",
        ) from error


def cosignatures_of(recorder: SqlRecorder, head: Checkpoint) -> tuple[Cosignature, ...]:
    """The good cosignatures that a store has of one head, the newest of each witness.

    What does not verify is left out: it is a finding of `verify log`, and nobody is given it as good.

    Args:
        recorder: the store.
        head: the head, authenticated.
    """
    found: dict[VerifierKey, Cosignature] = {}
    after = (head.size - 1, 2**62)
    while page := recorder.attestations(after, _PAGE):
        for item in page:
            if item.size != head.size:
                return tuple(found.values())
            good = _good(head, item)
            if good is not None and (good.vkey not in found or found[good.vkey].time < good.time):
                found[good.vkey] = good
        after = (page[-1].size, page[-1].number)
    return tuple(found.values())


def _good(head: Checkpoint, item: Attestation) -> Cosignature | None:
    if item.kind != "cosignature":
        return None
    try:
        return read_cosignature(head, item.issuer, item.body)
    except LedgerError:
        return None
