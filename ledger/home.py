"""A ledger as its users meet it: the ``.muniment`` folder with settings, trust, keys and people.

The folder holds nothing that the log's integrity rests on; losing it loses convenience, and the pinned
identity that `trust.json` is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ledger.application import Ledger
from ledger.casefiles import check_identity, keep_if_any
from ledger.checkpoint import Checkpoint
from ledger.checkpoints import check_extends
from ledger.config import SETTINGS, Settings, absolute_url, config_folder, load_settings, replace_setting
from ledger.custody import head_keyids, valid_keyids
from ledger.datakeys import DataKeys
from ledger.domain.restores import covering
from ledger.durable import write_atomically
from ledger.errors import ConfigurationError, LedgerError, TrustStateError, VerificationError
from ledger.following import follow_keys
from ledger.handle import LogHandle
from ledger.identity import Trust
from ledger.keys import Signer
from ledger.keystore import CHECKPOINT, Keystore
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.screen import Screening
from ledger.strictjson import format_json, parse_json
from ledger.tokens import Pin
from ledger.trust import RememberedHead, TrustPin, read_trust, write_trust
from ledger.wrapping import WrappingKeys

__all__ = ["REMEMBERED", "Home", "environment_passphrase"]

#: Who vouches for the head last seen, in words.
REMEMBERED = "the head this machine remembers"

Passphrase = Callable[[], bytes | None]


def environment_passphrase() -> bytes | None:
    """The passphrase in ``MUNIMENT_PASSPHRASE``, or None."""
    value = os.environ.get("MUNIMENT_PASSPHRASE")
    return None if value is None else value.encode()


class Home:
    """Everything this machine has about one ledger.

    Args:
        settings: resolved settings.
        passphrase: asked when a private key is encrypted.
        pin: asked for the PIN of a PKCS#11 token by its name.
    """

    def __init__(
        self, settings: Settings, passphrase: Passphrase = environment_passphrase, pin: Pin | None = None
    ) -> None:
        self.settings = settings
        self.folder = settings.folder
        self.url = settings.url
        self._passphrase = passphrase
        self._pin = pin
        self._followed: Trust | None = None

    @classmethod
    def find(
        cls, ledger: str | None = None, passphrase: Passphrase = environment_passphrase, pin: Pin | None = None
    ) -> Home:
        """Find the ledger meant; see `config.load_settings`.

        Raises:
            ConfigurationError: there is none.
        """
        return cls(load_settings(ledger), passphrase, pin)

    @property
    def trust_path(self) -> Path | None:
        """Where ``trust.json`` is, when there is a folder."""
        return None if self.folder is None else self.folder / "trust.json"

    def trust(self) -> Trust | None:
        """The pinned identity with what `follow` added to it, None when nothing was ever pinned here.

        Raises:
            TrustStateError: the file is damaged, missing from a folder that must have it, or not what it was.
        """
        if self.trust_path is None:
            return None
        found = read_trust(self.trust_path)
        if found is None:
            raise TrustStateError(
                f"{self.trust_path} is missing",
                hint="Restore it from a copy, or get the ledger's identity anew from somebody you trust.",
            )
        TrustPin(self.trust_path).check(found)
        more = self._followed
        if more is not None and more.genesis == found.genesis and more.vkeys[: len(found.vkeys)] == found.vkeys:
            return more
        return found

    def follow(self, ledger: LogHandle) -> None:
        """Learn from a log which keys sign its heads since what is pinned here; kept in memory (see `pin`).

        Raises:
            TrustStateError: the pinned identity is damaged.
            VerificationError, AuthenticationError: the log contradicts what is pinned; see `following.follow_keys`.
        """
        trust = self.trust()
        if trust is None:
            return
        try:
            state = ledger.ledger_state()
        except ConfigurationError:
            return  # no good entry 0, so there is nothing to learn; that is said elsewhere
        self._followed = follow_keys(ledger.recorder, state, trust)

    def pin(self) -> None:
        """Write what `follow` learned into ``trust.json``.

        Raises:
            TrustStateError: it cannot be written.
        """
        path = self.trust_path
        more = self._followed
        if path is None or more is None or read_trust(path) == more:
            return
        try:
            write_trust(path, more)
        except OSError as error:
            raise TrustStateError(
                f"the new checkpoint key cannot be kept in {path}: {error.strerror}", hint="Make the file writable."
            ) from error

    def remembered(self) -> RememberedHead | None:
        """The last head this user saw."""
        trust = self.trust()
        return None if trust is None else RememberedHead(trust)

    def keystore(self, ledgerid: str) -> Keystore:
        """The private keys of this ledger on this machine."""
        folder = self.settings.keys or config_folder() / "keys" / ledgerid
        return Keystore(folder, self._passphrase, self._pin)

    def data_keys(self, ledgerid: str, encrypt: Callable[[], bytes] | None = None) -> DataKeys:
        """The data keys of this ledger, with the wrapping keys on this machine.

        Args:
            ledgerid: of the ledger.
            encrypt: asks for the passphrase of a new wrapping key; None leaves it unencrypted.
        """
        folder = self.settings.keys or config_folder() / "keys" / ledgerid
        return DataKeys(self.url, ledgerid, WrappingKeys(folder, self._passphrase, encrypt))

    # -- opening ---------------------------------------------------------------------------

    def open_reader(self) -> Ledger:
        """Open for reading; no key is touched.

        Raises:
            ConfigurationError, StorageError: as `Ledger.open`.
        """
        return Ledger.open(self.url)

    def open_signer(self) -> Ledger:
        """Open for reading and, where the checkpoint key is here, for signing heads; no actor's key is touched.

        Raises:
            TrustStateError, VerificationError: as `check`.
        """
        ledger = self.open_reader()
        try:
            self.check(ledger)
            self._ready_to_sign(ledger)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def _ready_to_sign(self, ledger: Ledger) -> None:
        ledger.sign_heads_with(self.checkpoint_signers(ledger), self.recall)

    def checkpoint_signers(self, ledger: LogHandle) -> list[Signer]:
        """The keys that sign the next head; none when one of them is not here.

        Raises:
            ConfigurationError: one is here and cannot be used.
        """
        keys = self.keystore(ledger.ledgerid)
        if not keys.has(CHECKPOINT):
            return []
        ids = head_keyids(ledger)
        if not all(keys.has(CHECKPOINT, keyid=keyid) for keyid in ids):
            return []
        return [keys.load(CHECKPOINT, keyid=keyid) for keyid in ids]

    def screening(self) -> Screening:
        """What the settings say is done about secrets."""
        return Screening(self.settings.secrets, self.settings.secrets_allow)

    def open_courier(self) -> Ledger:
        """Open for appending events that were signed elsewhere; no actor's key is touched.

        Raises:
            TrustStateError, VerificationError: as `check`.
        """
        ledger = Ledger(open_recorder(self.url), on_close=self._after_writing, screening=self.screening())
        try:
            self.check(ledger)
            self._ready_to_sign(ledger)
        except BaseException:
            ledger.recorder.close()
            raise
        return ledger

    def check(self, ledger: LogHandle) -> None:
        """Check that a store holds the ledger pinned here and still extends the head last seen.

        This is what every command asks first, whether it reads or writes. What contradicts the head is kept as
        evidence in the user's state folder.

        Raises:
            TrustStateError: the trust state is damaged.
            VerificationError: fault ``anchor``: another ledger stands there, or the log shrank or forked since this
                machine last saw it; the hint names the evidence.
        """
        trust = self.trust()
        if trust is None:
            return
        try:
            check_identity(ledger.recorder, trust)
            self.follow(ledger)
            known = self.recall()
            if known is not None:
                check_extends(ledger.recorder, known)
        except VerificationError as error:
            hint = self._keep_evidence(ledger.recorder)
            hint = self._restored(ledger) or (f"{error.hint} ({hint})" if error.hint else hint)
            raise VerificationError(error.message, fault=error.fault, index=error.index, hint=hint) from error

    def _restored(self, ledger: LogHandle) -> str:
        """What to do next when the root keys said that the ledger goes on from an old copy."""
        remembered = self.remembered()
        known = None if remembered is None else remembered.recall()
        try:
            state = ledger.ledger_state()
        except LedgerError:  # damaged too, which is said already
            return ""
        if remembered is None or known is None or (found := covering(state, known, remembered.settled())) is None:
            return ""
        return (
            f"the root keys say at entry {found.index} that it was restored to {found.size} entries and that entries "
            f"{found.lost_from} to {found.lost_to - 1} are lost: ask the operator, then muniment admin restore-accept"
        )

    def _keep_evidence(self, recorder: SqlRecorder) -> str:
        """Keep what contradicts the head last seen, and say in words what became of it."""
        trust = self.trust()
        known = None if trust is None else RememberedHead(trust).recall_note()
        if trust is None or known is None:
            return "no head was remembered here, so there is nothing to hold against it"
        return keep_if_any(recorder, trust, REMEMBERED, known[0], time.time_ns() // 1000)[1]

    def open(self, actor: str | None = None) -> Ledger:
        """Open for writing as an actor, after checking that the store still extends the head last seen.

        Args:
            actor: actor id; the settings' actor when None; ``root`` signs with the root keys.

        Raises:
            ConfigurationError: no actor is set, or its key is not here.
            VerificationError: the log shrank or forked since this machine last saw it.
        """
        actor = actor or self.settings.actor
        if actor is None:
            raise ConfigurationError("no actor is set to sign as", hint="Name one: --as ACTOR or MUNIMENT_ACTOR.")
        recorder = open_recorder(self.url)
        try:
            ledger = Ledger(recorder, actor=actor, on_close=self._after_writing, screening=self.screening())
            self.check(ledger)
            ledger.sign_with([self.keystore(ledger.ledgerid).load(actor, among=valid_keyids(ledger, actor))])
            ledger.seal_with(self.data_keys(ledger.ledgerid))
            self._ready_to_sign(ledger)
        except BaseException:
            recorder.close()
            raise
        return ledger

    def _after_writing(self, ledger: Ledger) -> None:
        if ledger.can_sign_heads and not set(head_keyids(ledger)) <= {key.keyid for key in ledger.head_keys}:
            ledger.sign_heads_with(self.checkpoint_signers(ledger), self.recall)  # the key was changed meanwhile
        if ledger.can_sign_heads:
            self.remember(ledger, ledger.checkpoint())

    def point_to(self, url: str) -> bool:
        """Name another store in this folder's settings, after the ledger has moved there.

        Args:
            url: the store; a relative SQLite path is meant from the working folder.

        Returns:
            False when the ledger was named by URL, so that there are no settings to change.
        """
        if self.folder is None:
            return False
        write_atomically(self.folder / SETTINGS, replace_setting(self.folder, "ledger", absolute_url(url, Path.cwd())))
        return True

    # -- the head last seen ----------------------------------------------------------------

    def recall(self) -> Checkpoint | None:
        """The head last seen, None on first use.

        Raises:
            TrustStateError: the file is damaged.
        """
        remembered = self.remembered()
        return None if remembered is None else remembered.recall()

    def remember(self, ledger: Ledger, note: bytes) -> None:
        """Keep a signed head as the last one seen, after checking that it extends the one kept.

        Raises:
            VerificationError: it does not.
        """
        self.follow(ledger)
        remembered = self.remembered()
        if remembered is None:
            return
        self.pin()  # before the head, which nobody could read without the key
        known = remembered.recall()
        if known is not None:
            check_extends(ledger.recorder, known)
        remembered.remember(note)
        with suppress(ConfigurationError):  # no good entry 0: said elsewhere
            remembered.settle([restore.id for restore in ledger.ledger_state().restores])
        trust, path = self.trust(), self.trust_path
        if trust is not None and path is not None:
            TrustPin(path).keep(trust)

    # -- people ----------------------------------------------------------------------------

    def names(self) -> dict[str, str]:
        """Display names of persons by actor id, from the file beside the ledger.

        Raises:
            ConfigurationError: the file is damaged.
        """
        if self.folder is None or not (self.folder / "people.json").exists():
            return {}
        try:
            data: Any = parse_json((self.folder / "people.json").read_bytes().strip(), what="people.json")
        except (LedgerError, OSError) as error:
            raise ConfigurationError(f"{self.folder / 'people.json'} cannot be read: {error}") from error
        if not isinstance(data, dict) or not all(isinstance(name, str) for name in data.values()):
            raise ConfigurationError(f"{self.folder / 'people.json'} must map actor ids to names")
        return data

    def forget_name(self, actor: str) -> bool:
        """Remove a person's display name; False when there was none."""
        names = self.names()
        if self.folder is None or names.pop(actor, None) is None:
            return False
        write_atomically(self.folder / "people.json", format_json(names) + b"\n")
        return True

    def set_name(self, actor: str, name: str) -> None:
        """Set a person's display name."""
        if self.folder is None:
            raise ConfigurationError("display names live in a .muniment folder, and this ledger was named by URL")
        write_atomically(self.folder / "people.json", format_json({**self.names(), actor: name}) + b"\n")
