"""The witness itself: a key, a state, and what it answers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ledger.addcheckpoint import AddCheckpoint, format_add_checkpoint, parse_add_checkpoint
from ledger.checkpoint import Checkpoint, cosign_checkpoint, format_checkpoint, parse_checkpoint
from ledger.cosignature import format_lines
from ledger.errors import ConfigurationError, InputError, VerificationError
from ledger.keys import Ed25519Signer, Signer
from ledger.keystore import Keystore
from ledger.merkleproof import proven_before, verify_consistency
from ledger.note import (
    MAX_NOTE_SIGNATURES,
    TYPE_COSIGNATURE,
    Note,
    NoteSignature,
    VerifierKey,
    format_note,
    format_vkey,
    parse_note,
    parse_vkey,
)
from witness.judging import PLAIN, Answer, Latest, authenticate, judge
from witness.state import WitnessState

__all__ = ["KEY", "STATE", "VKEY", "Witness", "create_witness", "open_witness"]

#: Names of files in a witness's folder; the private key lies in `keys`.
STATE, VKEY, _KEYS = "state.db", "witness.vkey", "keys"
#: Name under which the private key is kept.
KEY = "witness"
#: Status of the answer to a proof that does not prove.
_UNPROVEN = 422


class Witness:
    """A witness at work.

    Args:
        signer: its own key, used for nothing else.
        vkey: the name it signs under, with that key.
        state: what it cosigned.
        clock: seconds since the Unix epoch.
    """

    def __init__(
        self, signer: Signer, vkey: VerifierKey, state: WitnessState, clock: Callable[[], float] = time.time
    ) -> None:
        self.vkey = vkey
        self.state = state
        self._signer = signer
        self._clock = clock

    def close(self) -> None:
        """Close the state."""
        self.state.close()

    def add_log(self, vkey: VerifierKey) -> bool:
        """Know a log, or another key of one.

        Returns:
            False when it was known.

        Raises:
            ConfigurationError: the key is not of a log, or is the witness's own.
        """
        if vkey.public == self.vkey.public:
            raise ConfigurationError("a log cannot be witnessed with its own key", hint="Make a witness with its own.")
        return self.state.add_log(vkey)

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer a request for a cosignature (C2SP tlog-witness, add-checkpoint).

        Raises:
            StorageError: the state failed; nothing was cosigned.
        """
        try:
            request = parse_add_checkpoint(body)
        except InputError as error:
            return Answer(400, f"{error.message}\n".encode())
        vkeys = self.state.logs()
        checkpoint = authenticate(request, vkeys)
        if isinstance(checkpoint, Answer):
            return checkpoint
        now, text = int(self._clock()), format_checkpoint(checkpoint)
        with self.state.changing():
            latest, known = self.state.latest(checkpoint.origin)
            refusal = judge(request, checkpoint, latest)
            shown = _kept(request.note, vkeys)
            if refusal is not None:
                return self._keep(request, checkpoint, (refusal, latest), (known, shown), now)
            line = cosign_checkpoint(text, self._signer, self.vkey.name, now)
            head = Latest(checkpoint.size, checkpoint.root)
            cosigned = _kept(request.note, vkeys, line)
            self.state.advance(checkpoint.origin, head, cosigned)
            # A head of this size that was refused before is proven now, or with this one it proves a fork.
            rival = self.state.settle(checkpoint.origin, head)
            forked = rival and self.state.keep_evidence(checkpoint.origin, "fork", cosigned, rival, now)
            unproven = self.state.unproven_sizes(checkpoint.origin, checkpoint.size)
        # What was stored is durable now, and only now the cosignature may be seen.
        return Answer(200, format_lines([line]), evidence="fork" if forked else "", unproven=unproven)

    def _keep(
        self, request: AddCheckpoint, checkpoint: Checkpoint, judged: tuple[Answer, Latest],
        notes: tuple[bytes, bytes], now: int,
    ) -> Answer:  # fmt: skip
        """Keep what a refused request proves, or may prove one day; inside `changing`.

        A head that the log signed and that came with a bad proof may be the log's, and the proof a stranger's: it is
        kept as unproven. Two of one size, or one and the head that is cosigned there, are a fork whoever sent them.

        Returns:
            The answer, with the kind of evidence that is kept.
        """
        (refusal, latest), (known, shown) = judged, notes
        origin, head = checkpoint.origin, Latest(checkpoint.size, checkpoint.root)
        if refusal.evidence == "rewritten":
            shown = format_add_checkpoint(replace(request, note=shown))
        kind = refusal.evidence
        if not kind and (rival := self.state.rival(origin, head)):
            kind, known = "fork", rival
        if kind:
            kept = known and self.state.keep_evidence(origin, kind, known, shown, now)
            return replace(refusal, evidence=kind if kept else "")
        if head == latest:
            return replace(refusal, evidence=self._prove(request, origin, latest, shown, now))
        if refusal.status != _UNPROVEN or checkpoint.size <= request.old:
            return refusal
        room = self.state.keep_unproven(origin, head, shown, now)
        return refusal if room else replace(refusal, notice=f"no room for more unproven heads of {origin}: not kept")

    def _prove(self, request: AddCheckpoint, origin: str, latest: Latest, shown: bytes, now: int) -> str:
        """Whether an unproven head is one of the log, by a proof from its size to the head that is cosigned.

        Returns:
            The kind of evidence that is kept: such a proof from another root says that the log signed two histories.
        """
        found = self.state.unproven_at(origin, request.old) if request.old < latest.size else None
        if found is None:
            return ""
        root, note = found
        try:
            verify_consistency(request.old, root, latest.size, latest.root, request.proof)
        except VerificationError:
            before = proven_before(request.old, latest.size, latest.root, request.proof)
            if before in (None, root):
                return ""  # whoever sent it may have spoiled it
            body = format_add_checkpoint(replace(request, note=shown))
            if not self.state.keep_evidence(origin, "rewritten", note, body, now):
                return ""
            self.state.settle(origin, Latest(request.old, root))
            return "rewritten"
        self.state.settle(origin, Latest(request.old, root))
        return ""

    def last_checkpoint(self, digest: str) -> Answer:
        """Answer a monitor (C2SP tlog-witness): the last head of a log with its cosignature.

        Args:
            digest: SHA-256 of the origin, hex.
        """
        for origin, note in self.state.heads():
            if hashlib.sha256(origin.encode()).hexdigest() == digest:
                return Answer(200, note)
        return Answer(404, b"no checkpoint of such a log was cosigned here\n", PLAIN)


def _kept(note: bytes, vkeys: Sequence[VerifierKey], *own: NoteSignature) -> bytes:
    """What is kept of a note: the lines that were verified, and our own where there is one."""
    parsed = parse_note(note)
    known = {(vkey.name, vkey.key_hash) for vkey in vkeys if vkey.name == parse_checkpoint(parsed.text).origin}
    lines = tuple(item for item in parsed.signatures if (item.name, item.key_hash) in known)
    return format_note(Note(parsed.text, (*lines[: MAX_NOTE_SIGNATURES - len(own)], *own)))


def create_witness(folder: Path, name: str, passphrase: bytes | None = None) -> Witness:
    """Make a witness with a new key in a folder.

    Args:
        folder: made when missing; it must hold no witness.
        name: key name of the witness, a schema-less URL such as ``witness.example/w1``.
        passphrase: encrypts the private key.

    Raises:
        ConfigurationError: there is one already, or the folder cannot be written.
        InputError: the name is no key name.
    """
    signer = Ed25519Signer.generate()
    vkey = VerifierKey(name, TYPE_COSIGNATURE, signer.public.raw)
    for path in (folder / STATE, folder / VKEY, folder / _KEYS):
        if path.exists():
            raise ConfigurationError(f"{path} already exists", hint="A witness keeps its key and state for life.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made: {error.strerror}") from error
    Keystore(folder / _KEYS).save(KEY, signer, passphrase)
    state = WitnessState.create(folder / STATE, vkey)
    try:
        (folder / VKEY).write_text(f"{format_vkey(vkey)}\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{folder / VKEY} cannot be written: {error.strerror}") from error
    return Witness(signer, vkey, state)


def open_witness(folder: Path, passphrase: Callable[[], bytes | None] | None = None) -> Witness:
    """Open the witness in a folder.

    Raises:
        ConfigurationError: there is none, or a part of it is missing or does not fit.
    """
    try:
        vkey = parse_vkey((folder / VKEY).read_text(encoding="utf-8").removesuffix("\n"))
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise ConfigurationError(
            f"{folder} holds no witness: {error}", hint="Make one: muniment witness init FOLDER --name NAME"
        ) from error
    signer = Keystore(folder / _KEYS, passphrase).load(KEY)
    if signer.public.raw != vkey.public:
        raise ConfigurationError(f"the private key in {folder / _KEYS} is not that of {vkey.name}")
    return Witness(signer, vkey, WitnessState(folder / STATE, vkey))
