"""Random lives of a ledger in which everything happens that may happen to one: the clean ledgers of the campaign."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from ledger.application import Ledger, Receipt
from ledger.backup import create_backup, restore_backup
from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.events import Erasable, known_event_type
from ledger.findings import Anchor
from ledger.following import follow_keys
from ledger.identity import Trust
from ledger.keys import Ed25519Signer, format_public_key
from ledger.note import TYPE_ED25519, VerifierKey, format_vkey, parse_note
from ledger.transfer import Outside
from tests.contract.keyring_histories import KeyringHistory
from tests.contract.support import ORIGIN
from tests.contract.test_witnessed import KEYS, cosign

_SUBJECTS = ("person:p-1", "person:p-2")


class LedgerLife(KeyringHistory):
    """As `KeyringHistory`, with changes of the root keys and the checkpoint key, erasures, holds and restores.

    Args:
        url: an empty store.
        seed: of everything random here.
        folder: for backups.
    """

    def __init__(self, url: str, seed: int, folder: Path) -> None:
        super().__init__(url, seed)
        folder.mkdir(exist_ok=True)
        self._folder, self._url = folder, url
        self._roots, self._threshold = [self.cast.new.root], 1
        self._signers = [self.cast.new.checkpoint]
        self._backup: tuple[Path, int] | None = None
        self._restores = 0
        self._holds: list[str] = []
        self.cast.enrol("p-eraser", "person", ["eraser"])
        self.heads: list[bytes] = []

    def trust(self) -> Trust:
        """What a verifier knows who has followed the log."""
        admin = self.cast.admin
        return follow_keys(self.cast.recorder, admin.ledger_state(), self.cast.new.trust)

    def anchors(self) -> list[Anchor]:
        """Every signed head that was seen and is of this history."""
        trust = self.trust()
        return [Anchor("seen", trust.verify_head(note)) for note in self.heads]

    def _by_roots(self) -> Ledger:
        return Ledger(self.cast.recorder, actor="root", signers=self.chance.sample(self._roots, self._threshold))

    def do_checkpoint(self) -> None:
        note = self.cast.admin.checkpoint()
        if note not in self.heads:
            self.heads.append(note)
        del self._signers[1:]
        self.cast.admin.sign_heads_with(self._signers, None)

    def do_change_roots(self) -> Receipt:
        if self.chance.random() < 0.4:
            return self.do_envelope()
        roots = [Ed25519Signer.generate() for _ in range(self.chance.randrange(1, 4))]
        roots += self.chance.sample(self._roots, self.chance.randrange(len(self._roots) + 1))
        threshold = self.chance.randrange(1, len(roots) + 1)
        body = {
            "roots": [format_public_key(root.public) for root in roots], "threshold": threshold, "reason": "a ceremony",
        }  # fmt: skip
        missing = [root for root in roots if root not in self._roots]
        ledger = Ledger(self.cast.recorder, actor="root", signers=self._roots)
        receipt = ledger.emit("ledger.roots_changed", f"ledger:{ledger.ledgerid}", body, also_sign=missing)
        self._roots, self._threshold = roots, threshold
        self.counts["roots changed"] += 1
        return receipt

    def do_change_checkpoint_key(self) -> Receipt:
        if self.chance.random() < 0.4:
            return self.do_envelope()
        self.do_checkpoint()
        key, dual = Ed25519Signer.generate(), self.chance.random() < 0.7
        vkey = format_vkey(VerifierKey(ORIGIN, TYPE_ED25519, key.public.raw))
        body = {"vkey": vkey, "dual": dual, "reason": "its time is over"}
        subject = f"ledger:{self.cast.admin.ledgerid}"
        receipt = self._by_roots().emit("ledger.checkpoint_key_changed", subject, body, also_sign=[key])
        self._signers = [key, *self._signers] if dual else [key]
        self.cast.admin.sign_heads_with(self._signers, None)
        self.do_checkpoint()
        self.counts["checkpoint key changed"] += 1
        return receipt

    def do_cosign(self) -> None:
        self.do_checkpoint()
        size = parse_checkpoint(parse_note(self.heads[-1]).text).size
        cosign(self.cast.recorder, size, self.chance.randrange(len(KEYS)))
        self.counts["cosigned"] += 1

    # -- erasures and holds --------------------------------------------------------------------

    def do_erase(self) -> Receipt:
        """Content that may be withheld as a whole, about somebody who may be under a hold."""
        rows = self.cast.recorder.rows(0, self.cast.recorder.head().size)
        kinds = [(row, known_event_type(row.entry.type)) for row in rows if row.payload is not None]
        whole = [row for row, kind in kinds if kind is not None and kind.erasable is Erasable.WHOLE]
        chosen = self.chance.sample(whole, min(len(whole), self.chance.randrange(1, 4)))
        affected = [
            {
                "index": row.entry.index, "leaf_hash": row.leaf_hash.hex(), "stream": row.entry.stream,
                "scope": "whole",
            }
            for row in sorted(chosen, key=lambda row: row.entry.index)
        ]  # fmt: skip
        body = {
            "subject": self.chance.choice(_SUBJECTS), "basis": "GDPR Art. 17(1)(b)", "reason": "asked for",
            "entries": affected,
        }  # fmt: skip
        receipt = self.cast["p-eraser"].emit("subject.erased", f"ledger:{self.cast.admin.ledgerid}", body)
        self.cast.recorder.withhold([row.entry.index for row in chosen])
        self.counts["erased"] += len(chosen)
        return receipt

    def do_hold(self) -> Receipt:
        subject = f"ledger:{self.cast.admin.ledgerid}"
        if self._holds and self.chance.random() < 0.6:
            return self._admin().emit("hold.released", subject, hold=self._holds.pop(), reason="settled")
        body = {"subjects": [self.chance.choice(_SUBJECTS)], "matter": "case 1", "reason": "a dispute"}
        receipt = self._admin().emit("hold.placed", subject, body)
        self._holds.append(receipt.id)
        self.counts["held"] += 1
        return receipt

    # -- an old copy is put back ---------------------------------------------------------------

    def do_backup(self) -> None:
        self.do_checkpoint()
        path = self._folder / f"{hashlib.sha256(self._url.encode()).hexdigest()[:12]}-{self.counts['do_backup']}.backup"
        outside = Outside(self.trust(), tuple(self.anchors()))
        self._backup = create_backup(self.cast.recorder, path, outside)[0], len(self._roots)
        self._then = (list(self._roots), self._threshold, list(self._signers), len(self.heads))

    def do_restore(self) -> Receipt:
        """The store is lost, and the ledger goes on from the last backup, as its root keys say."""
        if self._backup is None or self.chance.random() < 0.3:
            return self.do_envelope()
        self.do_checkpoint()
        known = self.heads[-1]
        self._restores += 1
        url = f"{self._url.removesuffix('.db')}_{self._restores}" + (".db" if self._url.startswith("sqlite") else "")
        trust = self.cast.new.trust
        restore_backup(self._backup[0], url, Outside(trust), older=True)
        self._backup = None
        self.cast.recorder.close()
        self._roots, self._threshold, self._signers, seen = self._then
        del self.heads[seen:]
        self._move_to(url)
        return self._say_restored(known, trust)

    def _move_to(self, url: str) -> None:
        """Everybody opens the copy; what they sent before may or may not be in it."""
        cast, old = self.cast, self.cast.ledgers
        admin = Ledger.open(url, actor="p-admin", signers=cast.admin.signers, clock=lambda: self.now)
        admin.sign_heads_with(self._signers, None)
        cast.url, cast.new = url, replace(cast.new, ledger=admin)
        for actor, ledger in old.items():
            cast.ledgers[actor] = Ledger(cast.recorder, actor=actor, signers=ledger.signers)
        size = cast.recorder.head().size
        self._envelopes = [item for item in self._envelopes if item[1].index < size]
        self.receipts = [item for item in self.receipts if item.index < size]

    def _say_restored(self, note: bytes, trust: Trust) -> Receipt:
        known: Checkpoint = parse_checkpoint(parse_note(note).text)
        head = self.cast.recorder.head()
        body = {
            "size": head.size, "root": head.root().hex(), "lost_from": head.size, "lost_to": max(known.size, head.size),
            "known": {"size": known.size, "root": known.root.hex(), "note": hashlib.sha256(note).hexdigest()},
            "reason": "the disk was lost",
        }  # fmt: skip
        receipt = self._by_roots().emit("ledger.restored", f"ledger:{trust.ledgerid}", body)
        self.counts["restored"] += 1
        return receipt
