"""False proofs, exhaustively for small trees: as bare claims before three verifiers, and as files with signed heads."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

from ledger.checkpoint import Checkpoint, sign_checkpoint, signed_by, verify_checkpoint
from ledger.errors import LedgerError
from ledger.keys import Ed25519Signer, PublicKey
from ledger.merkleproof import verify_consistency
from ledger.note import TYPE_ED25519, VerifierKey
from ledger.proof import verify_proof
from tests.attacks.claims import (
    Claim,
    Consistency,
    Inclusion,
    b64,
    consistency,
    false_consistencies,
    false_inclusions,
    inclusion,
    leaves_of,
    literal,
    ours,
)
from tests.faults.scorecard import Result
from tests.unit.reference_merkle import mth

#: No hash commits to the size: the same hashes are a proof in every tree of the same shape. A checkpoint binds it.
UNBOUND = "size"

ORIGIN = "ledger.example/attacked"
LOG, STRANGER = (Ed25519Signer.from_seed(bytes([number]) * 32) for number in (21, 22))
VKEY = VerifierKey(ORIGIN, TYPE_ED25519, LOG.public.raw)


def claims(most: int) -> Iterator[tuple[str, Claim]]:
    """Every true claim about trees up to ``most`` leaves (named ``true``), each followed by all false ones."""
    leaves = leaves_of(most)
    roots = [mth(leaves[:size]) for size in range(most + 1)]
    for size in range(1, most + 1):
        for index in range(size):
            yield "true", inclusion(leaves, index, size)
            yield from false_inclusions(leaves, roots, index, size)
        for old in range(size + 1):
            yield "true", consistency(leaves, old, size)
            yield from false_consistencies(leaves, roots, old, size)


def bare_claims(most: int, seed: int, verifier: Path | None, share: float = 1.0) -> Result:
    """Ask three verifiers about every claim.

    Args:
        most: size of the largest tree.
        seed: of the choice of claims that Go is asked about.
        verifier: the program ``tests/foreign/verify.go``; None to do without.
        share: part of the claims that Go is asked about.
    """
    result = Result.counting("accepted", "true refused", "we and the definition differ", "we and Go differ")
    result.figures = {"same hashes in another shape of tree": 0, "asked of Go": 0}
    choose = random.Random(seed)
    asked: list[tuple[str, Claim, bool]] = []
    for kind, claim in claims(most):
        result.n += kind != "true"
        said = ours(claim)
        if said != literal(claim):
            result.failed("we and the definition differ", f"{kind}: {claim}")
        if kind == "true" and not said:
            result.failed("true refused", str(claim))
        elif said and kind == UNBOUND:
            result.figures["same hashes in another shape of tree"] += 1
        elif said and kind != "true":
            result.failed("accepted", f"{kind}: {claim}")
        if verifier is not None and choose.random() < share and not _beyond_go(claim):
            asked.append((kind, claim, said))
        if len(asked) == 20_000:
            _ask_go(verifier, asked, result)
            asked = []
    if asked:
        _ask_go(verifier, asked, result)
    return result


def _beyond_go(claim: Claim) -> bool:
    """x/mod says nothing about the empty tree, and looks for a power of two for ever in trees of more than 2**62."""
    return claim.size > 2**62 or (isinstance(claim, Consistency) and claim.old == 0)


def _ask_go(verifier: Path | None, asked: Sequence[tuple[str, Claim, bool]], result: Result) -> None:
    assert verifier is not None
    lines = "".join(f"{claim.line()}\n" for _, claim, _ in asked)
    answers = subprocess.run(
        [verifier, "claims"], input=lines, capture_output=True, text=True, check=True, timeout=300
    ).stdout.split()
    result.figures["asked of Go"] += len(answers)
    for (kind, claim, said), answer in zip(asked, answers, strict=True):
        if said != (answer == "1"):
            result.failed("we and Go differ", f"{kind}: {claim}")


# -- with signed heads ----------------------------------------------------------------------------


def _forged(true: bytes, claim: Claim) -> bytes:
    """A note whose text says what a claim says, under the signature of the true one: nobody here has the key."""
    text, signatures = true.split(b"\n\n", 1)
    origin = text.split(b"\n", 1)[0].decode()
    return f"{origin}\n{claim.size}\n{b64(claim.root)}\n\n".encode() + signatures


def _file(claim: Inclusion, note: bytes) -> bytes:
    lines = ["c2sp.org/tlog-proof@v1", f"index {claim.index}", *map(b64, claim.proof), "", ""]
    return "\n".join(lines).encode() + note


def _accepts(check: Callable[..., object], *arguments: object) -> bool:
    try:
        check(*arguments)
    except LedgerError:
        return False
    return True


def _consistent(old_note: bytes, note: bytes, proof: Sequence[bytes]) -> None:
    old, new = (verify_checkpoint(item, [VKEY]) for item in (old_note, note))
    verify_consistency(old.size, old.root, new.size, new.root, proof)


class SignedLog:
    """A small log with a signed head of every size.

    Args:
        most: its size.
    """

    def __init__(self, most: int) -> None:
        self.leaves = leaves_of(most)
        self.entries = {leaf: b"entry %d" % number for number, leaf in enumerate(self.leaves)}
        self.roots = [mth(self.leaves[:size]) for size in range(most + 1)]
        heads = [Checkpoint(ORIGIN, size, root) for size, root in enumerate(self.roots)]
        self.notes = [sign_checkpoint(head, LOG) for head in heads]
        self.foreign = [sign_checkpoint(head, STRANGER) for head in heads]
        self.renamed = [sign_checkpoint(Checkpoint("ledger.example/other", h.size, h.root), LOG) for h in heads]

    def note_for(self, claim: Claim, size: int) -> bytes:
        """The best that a forger of a claim about the tree of ``size`` can show."""
        if claim.root != self.roots[size] or claim.size != size:
            if 0 <= claim.size < len(self.roots) and claim.root == self.roots[claim.size]:
                return self.notes[claim.size]  # a head of the log, which proves something else
            return _forged(self.notes[size], claim)
        return self.notes[size]


def files(most: int, seed: int, share: float = 1.0) -> Result:
    """Show every false claim with signed heads; all must be refused.

    Args:
        most: size of the largest tree.
        seed: of the choice of claims.
        share: part of the claims that is tried.
    """
    result = Result.counting("accepted", "true refused")
    log, choose = SignedLog(most), random.Random(seed)
    # The same signature over the same bytes is checked once; one that does not verify is never remembered.
    with patch.object(PublicKey, "verify", lru_cache(maxsize=1024)(PublicKey.verify)):
        for size in range(1, most + 1):
            for index in range(size):
                _try_inclusions(log, index, size, result, lambda: choose.random() < share)
            for old in range(1, size + 1):
                _try_consistencies(log, old, size, result, lambda: choose.random() < share)
    return result


def _try_inclusions(log: SignedLog, index: int, size: int, result: Result, chosen: Callable[[], bool]) -> None:
    true = inclusion(log.leaves, index, size)
    entry = log.entries[true.leaf]
    if not _accepts(verify_proof, _file(true, log.notes[size]), entry, signed_by(VKEY)):
        result.failed("true refused", str(true))
    others = [("another head", note) for at, note in enumerate(log.notes) if at != size]
    for name, note in (("origin", log.renamed[size]), ("key", log.foreign[size]), *others):
        result.n += 1
        if _accepts(verify_proof, _file(true, note), entry, signed_by(VKEY)):
            result.failed("accepted", f"{name}: {true}")
    for kind, claim in false_inclusions(log.leaves, log.roots, index, size):
        assert isinstance(claim, Inclusion)
        if not chosen():
            continue
        shown = log.entries.get(claim.leaf, claim.leaf)
        result.n += 1
        if _accepts(verify_proof, _file(claim, log.note_for(claim, size)), shown, signed_by(VKEY)):
            result.failed("accepted", f"{kind}: {claim}")


def _try_consistencies(log: SignedLog, old: int, size: int, result: Result, chosen: Callable[[], bool]) -> None:
    true = consistency(log.leaves, old, size)
    if not _accepts(_consistent, log.notes[old], log.notes[size], true.proof):
        result.failed("true refused", str(true))
    for kind, claim in false_consistencies(log.leaves, log.roots, old, size):
        assert isinstance(claim, Consistency)
        if not chosen():
            continue
        before = Inclusion(b"", 0, claim.old, (), claim.old_root)
        notes = log.note_for(before, old), log.note_for(claim, size)
        result.n += 1
        if _accepts(_consistent, *notes, claim.proof):
            result.failed("accepted", f"{kind}: {claim}")
