"""Evidence of a store that contradicts what is known of its ledger: put together, and kept in files.

It is written once per contradiction and never overwritten or removed.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.config import state_folder
from ledger.durable import make_folder, sync_folder
from ledger.errors import InputError, LedgerError, StorageError, TrustStateError, VerificationError
from ledger.evidence import Evidence, Shown, format_evidence, verify_evidence
from ledger.identity import Trust
from ledger.merkle import prove_consistency, root_hash
from ledger.merkleproof import verify_consistency
from ledger.note import parse_note
from ledger.recorders.sql import SqlRecorder
from ledger.stored import Head
from ledger.treereader import TreeReader

__all__ = ["MAX_EVIDENCE_FILES", "check_identity", "gather_evidence", "keep_evidence", "keep_if_any"]

#: Evidence files kept of one ledger. The first ones say everything; a store that changes all the time fills no disk.
MAX_EVIDENCE_FILES = 64


def check_identity(recorder: SqlRecorder, trust: Trust) -> None:
    """Check that a store holds the ledger that is pinned.

    Raises:
        VerificationError: fault ``anchor`` at entry 0: it holds another one.
    """
    identity, genesis = recorder.identity(), recorder.leaf_hashes(0, 1)
    found = (identity.ledgerid, identity.origin, genesis[0].hex() if genesis else "")
    if found == (trust.ledgerid, trust.origin, trust.genesis):
        return
    told = (
        "with another first entry"
        if found[:2] == (trust.ledgerid, trust.origin)
        else f"and trust.json pins {trust.origin} ({trust.ledgerid})"
    )
    raise VerificationError(
        f"the store holds the ledger {identity.origin} ({identity.ledgerid}), {told}",
        fault="anchor",
        index=0,
        hint="Check which store `muniment doctor` names, or whether the store was replaced.",
    )


def _last_note(recorder: SqlRecorder) -> bytes | None:
    """The newest signed head, when it is a checkpoint at all."""
    last = recorder.last_checkpoint()
    if last is None:
        return None
    try:
        parse_checkpoint(parse_note(last.note).text)
    except InputError:
        return None
    return last.note


def _shown(recorder: SqlRecorder, head: Head) -> Shown:
    identity, genesis = recorder.identity(), recorder.leaf_hashes(0, 1)
    return Shown(
        ledgerid=identity.ledgerid,
        origin=identity.origin,
        genesis=genesis[0].hex() if genesis else "",
        size=head.size,
        root=head.root(),
        note=_last_note(recorder),
    )


def _proof(recorder: SqlRecorder, shown: Shown, known: Checkpoint) -> tuple[bytes | None, int, tuple[bytes, ...]]:
    """The root of the first entries and what leads from it to the tree shown, best to one that is signed."""
    trees = [Checkpoint(shown.origin, shown.size, shown.root)]
    if shown.note is not None:
        trees.insert(0, parse_checkpoint(parse_note(shown.note).text))
    reader = TreeReader(recorder)
    for tree in trees:
        if not 0 < known.size <= tree.size <= shown.size:
            continue
        try:
            before = root_hash(reader, known.size)
            hashes = prove_consistency(reader, known.size, tree.size)
            verify_consistency(known.size, before, tree.size, tree.root, hashes)
        except (VerificationError, LookupError):  # its tree does not hold together: no proof comes from it
            continue
        if before != known.root:
            return before, tree.size, hashes
    return None, 0, ()


def gather_evidence(recorder: SqlRecorder, trust: Trust, by: str, note: bytes, now: int) -> Evidence | None:
    """Put together what shows that a store contradicts a known head.

    Args:
        recorder: the store.
        trust: the pinned identity.
        by: who vouches for the head.
        note: the signed head, verbatim, authenticated.
        now: microseconds since the Unix epoch.

    Returns:
        The evidence, None when nothing contradicts the head.

    Raises:
        StorageError: the store failed.
    """
    known = parse_checkpoint(parse_note(note).text)
    with recorder.snapshot():  # one moment: a log that grows meanwhile must not look forked
        shown = _shown(recorder, recorder.head())
        before, size, hashes = _proof(recorder, shown, known)
    same = (shown.ledgerid, shown.origin, shown.genesis) == (trust.ledgerid, trust.origin, trust.genesis)
    kind = "shrunk" if shown.size < known.size else "forked"
    evidence = Evidence(
        contradiction=kind if same else "replaced",
        ledgerid=trust.ledgerid, origin=trust.origin, genesis=trust.genesis, vkeys=trust.vkeys,
        by=by, known=note, shown=shown, before=before, proof_size=size, proof=hashes, found_at=now,
    )  # fmt: skip
    try:
        verify_evidence(evidence, trust.verify_head)
    except VerificationError:
        return None
    return evidence


def _name(evidence: Evidence) -> str:
    """One name per contradiction: a forked log that goes on growing says nothing new."""
    shown = evidence.shown
    claim = evidence.before or b"%d " % shown.size + shown.root
    identity = f"{shown.ledgerid} {shown.origin} {shown.genesis}".encode("utf-8", "replace")
    known = parse_note(evidence.known).text.encode()
    return hashlib.sha256(b"\0".join((known, identity, claim))).hexdigest()[:32]


def keep_evidence(evidence: Evidence, folder: Path | None = None) -> Path:
    """Write evidence into a file of its own, unless it is there already.

    Args:
        evidence: what to keep.
        folder: the state folder, the user's own when None.

    Returns:
        The file.

    Raises:
        TrustStateError: it cannot be written, or there are too many.
    """
    place = (folder or state_folder()) / "evidence" / evidence.ledgerid
    path = place / f"{_name(evidence)}.evidence"
    try:
        if path.is_file():
            return path
        make_folder(place, 0o700)
        if sum(1 for _ in place.glob("*.evidence")) >= MAX_EVIDENCE_FILES:
            raise TrustStateError(
                f"the evidence is not kept: {place} holds {MAX_EVIDENCE_FILES} files already",
                hint="Move them to a safe place; nothing in there is ever overwritten.",
            )
        _write_new(path, format_evidence(evidence))
    except OSError as error:
        raise TrustStateError(
            f"the evidence cannot be kept in {path}: {error.strerror}", hint="Keep the store and the head as they are."
        ) from error
    return path


def _write_new(path: Path, data: bytes) -> None:
    """Write a file whole and durably, and never over another one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return  # another process was faster
    finally:
        Path(name).unlink(missing_ok=True)
    sync_folder(path.parent)


def keep_if_any(recorder: SqlRecorder, trust: Trust, by: str, note: bytes, now: int) -> tuple[Path | None, str]:
    """Keep evidence of a contradiction that was found, and say in words what became of it.

    Returns:
        The file, None when there is none, and a sentence.
    """
    try:
        evidence = gather_evidence(recorder, trust, by, note, now)
        if evidence is None:
            return None, "no evidence could be put together: the store is too damaged, or changed meanwhile"
        path = keep_evidence(evidence)
    except (StorageError, TrustStateError) as error:
        return None, error.message
    except LedgerError as error:
        return None, f"no evidence could be put together: {error.message}"
    return path, f"evidence kept in {path}"
