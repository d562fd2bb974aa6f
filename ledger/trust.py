"""What this machine knows about a ledger without asking its store.

``trust.json`` pins who the ledger is. The last head seen lives apart, in the user's state folder, and
only moves forward: a store that shrank or forked no longer extends it. A damaged file is an error and
never counts as "nothing known yet".

The state folder also notes what each ``trust.json`` said when Muniment wrote it or last kept a head under it, so that
one that was replaced since, by a good one of another ledger or with another key, is seen too.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from ledger.checkpoint import Checkpoint
from ledger.config import state_folder
from ledger.durable import make_folder, write_atomically
from ledger.errors import LedgerError, TrustStateError
from ledger.identity import Trust
from ledger.note import TYPE_ED25519, format_vkey, parse_vkey
from ledger.statefile import read_state_file
from ledger.strictjson import format_json, parse_json

__all__ = ["RememberedHead", "Trust", "TrustPin", "read_trust", "write_trust"]

_FIELDS = {"genesis", "ledgerid", "origin", "vkeys"}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX = {"genesis": re.compile(r"[0-9a-f]{64}"), "ledgerid": re.compile(r"[0-9a-f]{32}")}


def _to_data(trust: Trust) -> dict[str, Any]:
    data: dict[str, Any] = {
        "genesis": trust.genesis,
        "ledgerid": trust.ledgerid,
        "origin": trust.origin,
        "vkeys": [format_vkey(vkey) for vkey in trust.vkeys],
    }
    if trust.since:  # so that the file stays as it was for as long as there is one key
        data["since"] = list(trust.since)
    return data


def write_trust(path: Path, trust: Trust) -> None:
    """Write ``trust.json``, and note in the state folder that this is what it says.

    Raises:
        TrustStateError: the state folder cannot be written.
        OSError: the file cannot.
    """
    pin = TrustPin(path)
    pin.allow(trust)  # beside what was there before, so that a crash in between is no false alarm
    write_atomically(path, format_json(_to_data(trust)) + b"\n")
    pin.keep(trust)


def _read_since(data: Any, count: int) -> tuple[int, ...]:
    if data is None:
        return ()
    if not isinstance(data, list) or len(data) != count or not all(type(item) is int for item in data):
        raise TrustStateError("since must be a list of one size a verifier key")
    if data[0] != 0 or any(new <= old for old, new in pairwise(data)):
        raise TrustStateError("since must begin with 0 and rise")
    return tuple(data)


def _to_trust(data: Any) -> Trust:
    if not isinstance(data, dict) or set(data) - {"since"} != _FIELDS:
        raise TrustStateError(f"it must have exactly {', '.join(sorted(_FIELDS))}, and since when the key was changed")
    for name, pattern in _HEX.items():  # the ledger's id becomes a file's name
        if not isinstance(data[name], str) or not pattern.fullmatch(data[name]):
            raise TrustStateError(f"{name} must be lower-case hex of its length")
    texts = data["vkeys"]
    if not isinstance(data["origin"], str) or not isinstance(texts, list) or not texts:
        raise TrustStateError("origin must be a string and vkeys a list of them")
    if not all(isinstance(text, str) for text in texts):
        raise TrustStateError("vkeys must be strings")
    vkeys = tuple(parse_vkey(text) for text in texts)
    if any((vkey.name, vkey.type) != (data["origin"], TYPE_ED25519) for vkey in vkeys):
        raise TrustStateError("a verifier key is not one of this origin's own")
    since = _read_since(data.get("since"), len(vkeys))
    return Trust(data["ledgerid"], data["origin"], vkeys, data["genesis"], since)


def read_trust(path: Path) -> Trust | None:
    """Read ``trust.json``.

    Returns:
        None when there is no such file.

    Raises:
        TrustStateError: it is damaged.
    """
    raw = read_state_file(path)
    if raw is None:
        return None
    try:
        data = parse_json(raw.removesuffix(b"\n"), what=str(path))
        return _to_trust(data)
    except LedgerError as error:
        raise TrustStateError(
            f"the trust file {path} is damaged: {error.message}",
            hint="Restore it from a copy, or get the ledger's identity anew from somebody you trust.",
        ) from error


class TrustPin:
    """What a ``trust.json`` said when it was last written, or when a head was last kept under it.

    Args:
        path: the ``trust.json``; one at another place is another one.
        folder: the state folder, the user's own when None.
    """

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        self.trust_path = path
        place = os.fsencode(path.parent.resolve() / path.name)
        self._folder = folder or state_folder()
        self.path = self._folder / "pins" / f"{hashlib.sha256(place).hexdigest()}.json"

    def recall(self) -> tuple[Trust, ...]:
        """The identities it may have: none when nothing was noted, two after a crash while it was changed.

        Raises:
            TrustStateError: the note is damaged.
        """
        raw = read_state_file(self.path, self._folder)
        if raw is None:
            return ()
        try:
            data = parse_json(raw.removesuffix(b"\n"), what=str(self.path))
            if not isinstance(data, dict) or set(data) != {"path", "trust"} or not isinstance(data["trust"], list):
                raise TrustStateError("it must have exactly path, trust")
            return tuple(_to_trust(item) for item in data["trust"])
        except LedgerError as error:
            raise TrustStateError(
                f"the note {self.path} of what {self.trust_path} says is damaged: {error.message}",
                hint="Compare trust.json with a copy you trust, then delete the note to begin anew.",
            ) from error

    def check(self, trust: Trust) -> None:
        """Check that a trust file still says what it said.

        Raises:
            TrustStateError: it was replaced or changed by something else than Muniment.
        """
        known = self.recall()
        if known and trust not in known:
            raise TrustStateError(
                f"{self.trust_path} is not what it was: it pins {trust.origin} ({trust.ledgerid}) with "
                f"{len(trust.vkeys)} key(s), and this machine knows it as {known[0].origin} ({known[0].ledgerid})",
                hint=f"Restore it from a copy you trust; if you replaced it on purpose, delete {self.path}",
            )

    def allow(self, trust: Trust) -> None:
        """Let the file say this or what it said before."""
        known = self.recall()
        if known:
            self._write((trust, known[0]))

    def keep(self, trust: Trust) -> None:
        """Note that the file says this, and nothing else."""
        if self.recall() != (trust,):
            self._write((trust,))

    def _write(self, trust: tuple[Trust, ...]) -> None:
        shown = os.fsencode(self.trust_path).decode("ascii", "backslashreplace")  # for people
        data = {"path": shown, "trust": [_to_data(item) for item in trust]}
        try:
            write_atomically(self.path, format_json(data) + b"\n")
        except OSError as error:
            raise TrustStateError(
                f"what {self.trust_path} says cannot be noted in {self.path}: {error.strerror}",
                hint="Make the folder writable: without it a trust file that is replaced goes unseen.",
            ) from error


class RememberedHead:
    """The last head of a ledger this user saw, as the signed note itself.

    Args:
        trust: the identity the note must be signed under.
        folder: the state folder, the user's own when None.
    """

    def __init__(self, trust: Trust, folder: Path | None = None) -> None:
        self._trust = trust
        self._folder = folder or state_folder()
        self.path = self._folder / "heads" / f"{trust.ledgerid}.checkpoint"

    def recall(self) -> Checkpoint | None:
        """The remembered head, or None on first use.

        Raises:
            TrustStateError: the file is damaged.
        """
        found = self.recall_note()
        return None if found is None else found[1]

    def recall_note(self) -> tuple[bytes, Checkpoint] | None:
        """The signed note that is remembered, and what it says.

        Raises:
            TrustStateError: the file is damaged.
        """
        note = read_state_file(self.path, self._folder)
        if note is None:
            return None
        try:
            return note, self._trust.verify_head(note)
        except LedgerError as error:
            raise TrustStateError(
                f"the remembered head {self.path} is damaged: {error.message}",
                hint="Restore it, or delete it to start anew knowing that a rollback before now goes unseen.",
            ) from error

    def remember(self, note: bytes) -> None:
        """Keep a head if it is larger than the one kept; the caller has proven that it extends it.

        Raises:
            TrustStateError: the file is damaged, or cannot be written.
            AuthenticationError: the note is not this ledger's.
        """
        seen = self._trust.verify_head(note)
        known = self.recall()
        if known is None or seen.size > known.size:
            try:
                self._keep(seen, note)
            except OSError as error:
                raise TrustStateError(
                    f"the head last seen cannot be kept in {self.path}: {error.strerror}",
                    hint="Make the folder writable: without it a rollback of the store goes unseen.",
                ) from error

    def replace(self, known: bytes, note: bytes) -> None:
        """Keep a head in the place of one of a history that was given up (`restoring.accept_restore`).

        Args:
            known: the note that is kept now; another one means that somebody else was faster.
            note: the one to keep.

        Raises:
            TrustStateError: another head is kept by now, or the file cannot be written.
        """
        self._trust.verify_head(note)
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if read_state_file(self.path, self._folder) != known:
                raise TrustStateError("another head was remembered meanwhile", hint="Run it again.")
            write_atomically(self.path, note)
        except OSError as error:
            raise TrustStateError(f"the head cannot be kept in {self.path}: {error.strerror}") from error
        finally:
            os.close(descriptor)

    # -- restores that are part of the history the head is of ------------------------------

    @property
    def _settled_path(self) -> Path:
        return self.path.with_suffix(".restores")

    def settled(self) -> frozenset[str]:
        """Event ids of restores that were in the log already when the remembered head was kept.

        They explain no later difference.

        Raises:
            TrustStateError: the file is damaged.
        """
        found = read_state_file(self._settled_path, self._folder)
        ids = frozenset() if found is None else frozenset(found.decode("ascii", "replace").split())
        if not all(_UUID.fullmatch(one) for one in ids):
            raise TrustStateError(
                f"{self._settled_path} is damaged", hint="Delete it once you know which restores are in the log."
            )
        return ids

    def settle(self, ids: Iterable[str]) -> None:
        """Keep which restores the history of the remembered head has; see `settled`.

        Raises:
            TrustStateError: the file is damaged, or cannot be written.
        """
        known = self.settled()
        if known.issuperset(ids):
            return
        try:
            write_atomically(self._settled_path, "".join(f"{one}\n" for one in sorted(known.union(ids))).encode())
        except OSError as error:
            raise TrustStateError(f"{self._settled_path} cannot be written: {error.strerror}") from error

    def _keep(self, seen: Checkpoint, note: bytes) -> None:
        """Keep a head unless another process has kept a larger one meanwhile."""
        make_folder(self.path.parent, 0o700)
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            known = self.recall()
            if known is None or seen.size > known.size:
                write_atomically(self.path, note)
        finally:
            os.close(descriptor)
